"""One evaluation: positions of fixed atoms in, energies, forces and virial out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from ase import Atoms

from ffpt_core.base.errors import FfptError

Periodicity = Sequence[bool] | np.ndarray
"""Three flags: along which vectors of the cell a structure is periodic."""

ISOLATED: tuple[bool, bool, bool] = (False, False, False)
"""The periodicity of a molecule in vacuum."""


class Prediction(NamedTuple):
    """What an evaluation gives.

    A coordinate that is not finite makes the energy of its own copy NaN and leaves the other copies as they are.
    """

    energies: np.ndarray
    """(copies,) eV, with the energy zero of the potential's level of theory."""

    forces: np.ndarray
    """(copies * n_atoms, 3) eV/Angstrom, copy after copy."""

    virial: np.ndarray | None
    """(3, 3) eV: dE/d(strain) of all copies, not symmetrised; None where the potential gives none."""


class Evaluator(Protocol):
    """A potential for a fixed list of atoms that move, or for copies of it that do not see each other.

    For one thread at a time: lists of neighbours are kept from call to call.
    """

    numbers: np.ndarray
    """(n_atoms,) atomic numbers of one copy."""

    def __call__(self, positions: np.ndarray, cell: np.ndarray | None = None) -> Prediction:
        """Evaluate.

        Args:
            positions: (copies * n_atoms, 3) Angstrom, copy after copy.
            cell: (3, 3) rows are cell vectors, Angstrom, which all copies share; None where nothing is periodic.

        Raises:
            FfptError: what the potential cannot evaluate here, such as an SCF that does not converge.
        """


class Evaluable(Protocol):
    """What makes evaluators: of a Potential, all that its ASE calculator needs."""

    @property
    def gives_virial(self) -> bool:
        """Whether predictions of periodic structures have a virial."""

    @property
    def evaluator(self) -> Callable[..., Evaluator]:
        """Called with atomic numbers and periodicity."""


def energy_forces_stress(evaluator: Evaluator, atoms: Atoms) -> tuple[float, np.ndarray, np.ndarray]:
    """One structure by an evaluator of its atoms. Returns and raises as Potential.energy_forces_stress does."""
    if not np.isfinite(atoms.positions).all():
        raise FfptError("the positions are not finite numbers")
    prediction = evaluator(atoms.positions, np.array(atoms.cell) if atoms.pbc.any() else None)
    volume = atoms.cell.volume if atoms.pbc.all() else 0.0
    if not volume > 0:
        stress = np.zeros((3, 3))
    elif prediction.virial is None:
        stress = np.full((3, 3), np.nan)
    else:
        stress = 0.5 * (prediction.virial + prediction.virial.T) / volume
    return float(prediction.energies[0]), prediction.forces, stress
