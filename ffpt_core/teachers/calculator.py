"""ASE calculator of a teacher."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms

from ffpt_core.base.errors import FfptError
from ffpt_core.potentials.ase import SinglePointCalculator

if TYPE_CHECKING:
    from ffpt_core.teachers.teacher import Teacher


class TeacherCalculator(SinglePointCalculator):
    """Energy (eV) and forces (eV/Angstrom) of a teacher.

    Args:
        teacher: the force field; atoms must come in its order.
    """

    implemented_properties = ["energy", "free_energy", "forces"]  # noqa: RUF012 - as ASE declares it

    def __init__(self, teacher: Teacher, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.teacher = teacher

    def evaluate(self, atoms: Atoms) -> dict[str, Any]:
        """Energy and forces.

        Raises:
            FfptError: atoms of other elements or in another order than the teacher's, periodic atoms for a teacher in
                vacuum or the reverse, or a cell too thin for its cutoff.
        """
        if not np.array_equal(atoms.numbers, self.teacher.numbers):
            raise FfptError(
                f"this teacher is for {self.teacher.atoms.get_chemical_formula()} in its own atom order "
                f"({self.teacher.atoms.symbols}), not for {atoms.symbols}"
            )
        if atoms.pbc.all() != self.teacher.periodic or atoms.pbc.any() != self.teacher.periodic:
            kind = "a periodic box" if self.teacher.periodic else "a molecule in vacuum"
            raise FfptError(f"this teacher is for {kind}, the atoms have pbc {atoms.pbc.tolist()}")
        cells = atoms.cell.array if self.teacher.periodic else None
        energies, forces = self.teacher.energies_and_forces(atoms.positions[None], cells)
        return {"energy": float(energies[0]), "free_energy": float(energies[0]), "forces": forces[0]}
