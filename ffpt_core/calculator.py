"""ASE calculator of a potential."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

if TYPE_CHECKING:
    from ffpt_core.potential import Potential


class SinglePointCalculator(Calculator):
    """A calculator that computes all of its properties at once."""

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        """ASE's entry: fills ``results`` with what ``evaluate`` returns, and raises what it raises."""
        super().calculate(atoms, properties, system_changes)
        self.results = self.evaluate(cast(Atoms, self.atoms))

    def evaluate(self, atoms: Atoms) -> dict[str, Any]:
        """ASE's names of properties, and their values in ASE's units."""
        raise NotImplementedError


class FfptCalculator(SinglePointCalculator):
    """Energy (eV), forces (eV/Angstrom) and, with a cell periodic in three directions, stress (eV/Angstrom^3).

    Args:
        potential: what to evaluate.
    """

    implemented_properties = ["energy", "free_energy", "forces", "stress"]  # noqa: RUF012 - as ASE declares it

    def __init__(self, potential: Potential, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.potential = potential

    def evaluate(self, atoms: Atoms) -> dict[str, Any]:
        """Raises FfptError as Potential.energy_forces_stress does."""
        energy, forces, stress = self.potential.energy_forces_stress(atoms)
        results = {"energy": energy, "free_energy": energy, "forces": forces}
        # Only then is there a volume to divide by; ASE reports a missing property by itself.
        if atoms.pbc.all():
            results["stress"] = full_3x3_to_voigt_6_stress(stress)
        return results
