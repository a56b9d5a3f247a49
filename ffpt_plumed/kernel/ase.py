"""The same PLUMED inputs in ASE, through its own Plumed calculator."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ffpt_core.base.errors import FfptError
from ffpt_core.base.units import BOLTZMANN
from ffpt_plumed.kernel.library import find_kernel, new_plumed
from ffpt_plumed.kernel.plumed import message_of
from ffpt_plumed.text.plumed_input import PlumedInput

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator
    from ase.calculators.plumed import Plumed


def input_lines(script: str | PlumedInput) -> list[str]:
    """A PLUMED input as ASE's calculator wants it: one action in each line, without comments.

    ASE hands lines over one by one, where PLUMED understands neither ``#`` nor ``...``.

    Raises:
        FfptError: as parse_script.
    """
    return [action.text for action in PlumedInput.of(script).actions]


def plumed_calculator(
    calculator: Calculator,
    lines: Sequence[str],
    atoms: Atoms,
    *,
    timestep: float,
    temperature: float,
    restart: bool = False,
    log: str = "",
) -> Plumed:
    """ASE's Plumed calculator, with the kernel found and its errors in words.

    It counts a step at every evaluation at new positions, so it is for dynamics of one trajectory.

    Args:
        calculator: of the potential, such as NetworkPotential.calculator().
        lines: from input_lines.
        atoms: with their masses.
        timestep: in ASE's unit of time.
        temperature: K.
        restart: go on with the files that are there.
        log: file for PLUMED's log.

    Raises:
        FfptError: no kernel; what PLUMED says about its input.
    """
    from ase.calculators.plumed import Plumed

    new_plumed().finalize()  # says what is missing
    os.environ.setdefault("PLUMED_KERNEL", str(find_kernel()))  # where ASE's calculator looks
    with one_line_errors(len(atoms)):
        return Plumed(calculator, list(lines), timestep, atoms, kT=BOLTZMANN * temperature, log=log, restart=restart)


@contextlib.contextmanager
def one_line_errors(n_atoms: int) -> Iterator[None]:
    """Turns what PLUMED raises into FfptError."""
    import plumed

    try:
        yield
    except (plumed.PlumedError, plumed.LeptonError) as error:
        raise FfptError(message_of(error, n_atoms)) from error
