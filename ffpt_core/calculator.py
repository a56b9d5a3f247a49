"""ASE calculator of a potential."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

if TYPE_CHECKING:
    from ffpt_core.potential import Potential


class FfptCalculator(Calculator):
    """Energy (eV), forces (eV/Angstrom) and, with a cell periodic in three directions, stress (eV/Angstrom^3).

    Args:
        potential: what to evaluate.
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "forces", "stress"]

    def __init__(self, potential: Potential, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.potential = potential

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        """ASE's entry: fills ``results``. Raises FfptError as Potential.energy_forces_stress does."""
        super().calculate(atoms, properties, system_changes)
        energy, forces, stress = self.potential.energy_forces_stress(self.atoms)
        self.results = {"energy": energy, "free_energy": energy, "forces": forces}
        # Only then is there a volume to divide by; ASE reports a missing property by itself.
        if self.atoms.pbc.all():
            self.results["stress"] = full_3x3_to_voigt_6_stress(stress)
