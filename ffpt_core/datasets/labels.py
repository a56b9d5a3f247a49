"""Where the labels of an ``ase.Atoms`` may stand: REF_ keys, a calculator's results, plain keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from ase.calculators.calculator import PropertyNotImplementedError

from ffpt_core.errors import FfptError

if TYPE_CHECKING:
    from ase import Atoms


def _calculated(atoms: Atoms, name: str) -> object | None:
    """A result that atoms' calculator already holds for these very positions, or None."""
    if atoms.calc is None:
        return None
    try:
        return atoms.calc.get_property(name, atoms, allow_calculation=False)
    except PropertyNotImplementedError:
        return None


def energy_of(atoms: Atoms, index: int) -> float | None:
    """The energy label of a frame in eV, or None.

    Raises:
        FfptError: the label is not one number; index names the frame.
    """
    value = atoms.info.get("REF_energy")
    if value is None:
        value = _calculated(atoms, "energy")
    if value is None:
        value = atoms.info.get("energy")
    if value is None:
        return None
    try:
        return float(np.asarray(value, dtype=float).reshape(()))
    except (TypeError, ValueError) as error:
        raise FfptError(f"frame {index}: the energy is not one number: {value!r}") from error


def forces_of(atoms: Atoms, index: int) -> np.ndarray | None:
    """The (n_atoms, 3) force labels of a frame in eV/Angstrom, or None.

    Raises:
        FfptError: the forces have another shape; index names the frame.
    """
    value = atoms.arrays.get("REF_forces")
    if value is None:
        value = _calculated(atoms, "forces")
    if value is None:
        value = atoms.arrays.get("forces")
    if value is None:
        return None
    try:
        forces = np.asarray(value, dtype=float)
    except (TypeError, ValueError) as error:
        raise FfptError(f"frame {index}: the forces are not numbers") from error
    if forces.shape != (len(atoms), 3):
        raise FfptError(f"frame {index}: forces of shape {forces.shape} for {len(atoms)} atoms")
    return forces
