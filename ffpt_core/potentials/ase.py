"""ASE calculators of potentials."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from ffpt_core.potentials.evaluation import Evaluable, Evaluator, energy_forces_stress


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


class PotentialCalculator(SinglePointCalculator):
    """Energy (eV), forces (eV/Angstrom) and, with a cell periodic in three directions, stress (eV/Angstrom^3).

    Args:
        potential: what to evaluate; its weights, where it has some, are copied at the first use.
        options: further arguments of its ``evaluator``, such as ``backend`` of a NetworkPotential.
    """

    implemented_properties = ["energy", "free_energy", "forces", "stress"]  # noqa: RUF012 - as ASE declares it

    def __init__(self, potential: Evaluable, options: dict[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.potential = potential
        self._options = options or {}
        self._evaluator: Evaluator | None = None
        self._pbc = np.zeros(3, dtype=bool)

    def evaluate(self, atoms: Atoms) -> dict[str, Any]:
        """Raises FfptError as Potential.energy_forces_stress does."""
        kept = self._evaluator
        if kept is None or not np.array_equal(kept.numbers, atoms.numbers) or (self._pbc != atoms.pbc).any():
            kept = self._evaluator = self.potential.evaluator(atoms.numbers, atoms.pbc, **self._options)
            self._pbc = atoms.pbc.copy()
        energy, forces, stress = energy_forces_stress(kept, atoms)
        results = {"energy": energy, "free_energy": energy, "forces": forces}
        # Only then is there a volume to divide by; ASE reports a missing property by itself.
        if atoms.pbc.all() and self.potential.gives_virial:
            results["stress"] = full_3x3_to_voigt_6_stress(stress)
        return results
