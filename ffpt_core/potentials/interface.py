"""What a potential is: the one type that dynamics, metadynamics, audits, labels, evaluation and ASE are written for."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.data import chemical_symbols

from ffpt_core.base.errors import FfptError
from ffpt_core.potentials.ase import PotentialCalculator
from ffpt_core.potentials.evaluation import ISOLATED, Evaluator, Periodicity, Prediction, energy_forces_stress

__all__ = ["ISOLATED", "Evaluator", "Periodicity", "Potential", "Prediction", "element_name", "energy_forces_stress"]


class Potential(ABC):
    """Positions to energies and forces.

    A potential says what it is (level, elements, record), what it cannot do (check), and gives an Evaluator for a list
    of atoms. Everything else here follows from these, so whoever writes an ``evaluator`` has the rest.
    """

    level: str
    """Level of theory of its energies, "" where it is unknown."""

    elements: frozenset[int] | None = None
    """Atomic numbers that it knows; None: any."""

    on_gpu: bool = False
    """Whether a GPU evaluates it."""

    frames_at_once: int = 8
    """How many frames are seconds of work, about: labels go to disk after so many."""

    batches: bool = False
    """Whether many copies cost less in one call than one after the other."""

    gives_virial: bool = True
    """Whether predictions of periodic systems have a virial."""

    @abstractmethod
    def evaluator(self, numbers: Sequence[int] | np.ndarray, pbc: Periodicity = ISOLATED, copies: int = 1) -> Evaluator:
        """What evaluates it for a list of atoms.

        Args:
            numbers: atomic numbers of one copy.
            pbc: along which cell vectors the system is periodic.
            copies: how many copies a call evaluates. No pair is ever between two of them, wherever they are.

        Raises:
            FfptError: as check.
        """

    @abstractmethod
    def record(self) -> dict[str, Any]:
        """What it is, as JSON values: with "level", and with a "fingerprint" that changes when its numbers would."""

    @abstractmethod
    def save_into(self, folder: str | os.PathLike[str]) -> None:
        """Write into the folder of a run what ffpt_core.potentials.sources.saved_potential opens again.

        Raises:
            FfptError: it cannot be written, or is an object that has no name to be opened by.
        """

    def check(
        self, numbers: Sequence[int] | np.ndarray, pbc: Periodicity = ISOLATED, *, needs_virial: bool = False
    ) -> None:
        """Refuse what the potential cannot do, in one line, before the first step.

        Args:
            numbers: atomic numbers.
            pbc: along which cell vectors the system is periodic.
            needs_virial: whether something asks for the pressure.

        Raises:
            FfptError: an element that it does not know, a box where it has none, or no virial where one is needed.
        """
        if self.elements is not None:
            unknown = sorted(set(np.unique(np.asarray(numbers)).tolist()) - self.elements)
            if unknown:
                known = ", ".join(element_name(z) for z in sorted(self.elements))
                names = ", ".join(element_name(z) for z in unknown)
                raise FfptError(f"the potential does not know {names}; it knows {known}")
        if needs_virial and np.any(pbc) and not self.gives_virial:
            raise FfptError(f"the potential ({self.level or 'of unknown level'}) gives no virial: it has no pressure")

    def energy_forces_stress(self, atoms: Atoms) -> tuple[float, np.ndarray, np.ndarray]:
        """Energy, forces and stress of one structure.

        Returns:
            eV; (n_atoms, 3) eV/Angstrom; (3, 3) dE/d(strain)/volume, eV/Angstrom^3, positive under tension as in ASE:
            zeros for a structure without a volume, NaN where the potential gives no virial.

        Raises:
            FfptError: as check; positions that are not finite; a periodic structure without a cell.
        """
        return energy_forces_stress(self.evaluator(atoms.numbers, atoms.pbc), atoms)

    def energy_and_forces(self, atoms: Atoms) -> tuple[float, np.ndarray]:
        """Energy (eV) and forces (n_atoms, 3) (eV/Angstrom) of one structure. Errors as energy_forces_stress."""
        energy, forces, _ = self.energy_forces_stress(atoms)
        return energy, forces

    def calculator(self) -> Calculator:
        """An ASE calculator: energy, free_energy, forces, and stress where there is a virial."""
        return PotentialCalculator(self)


def element_name(number: int) -> str:
    """The symbol of an atomic number, or the number itself where there is no such element."""
    return chemical_symbols[number] if 0 <= number < len(chemical_symbols) else str(number)
