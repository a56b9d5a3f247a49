"""ASE calculator of a teacher."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

from ffpt_core.errors import FfptError

if TYPE_CHECKING:
    from ffpt_core.teachers.teacher import Teacher


class TeacherCalculator(Calculator):
    """Energy (eV) and forces (eV/Angstrom) of a teacher.

    Args:
        teacher: the force field; atoms must come in its order.
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "forces"]

    def __init__(self, teacher: Teacher, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.teacher = teacher

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        """ASE's entry: fills ``results``.

        Raises:
            FfptError: atoms of other elements or in another order than the teacher's.
        """
        super().calculate(atoms, properties, system_changes)
        frame = cast(Atoms, self.atoms)
        if not np.array_equal(frame.numbers, self.teacher.numbers):
            raise FfptError(
                f"this teacher is for {self.teacher.atoms.get_chemical_formula()} in its own atom order "
                f"({self.teacher.atoms.symbols}), not for {frame.symbols}"
            )
        energies, forces = self.teacher.energies_and_forces(frame.positions[None])
        self.results = {"energy": float(energies[0]), "free_energy": float(energies[0]), "forces": forces[0]}
