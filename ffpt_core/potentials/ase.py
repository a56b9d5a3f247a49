"""ASE calculator of a potential."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress

from ffpt_core.base.errors import FfptError
from ffpt_core.potentials.backends import Evaluator, choose_kernel, make_evaluator

if TYPE_CHECKING:
    from ffpt_core.potentials.network_potential import Potential


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
        potential: what to evaluate; kernels other than torch copy its weights at the first use.
        kernel: as in ffpt_core.potentials.backends.choose_kernel.

    Raises:
        FfptError: no such kernel.
    """

    implemented_properties = ["energy", "free_energy", "forces", "stress"]  # noqa: RUF012 - as ASE declares it

    def __init__(self, potential: Potential, kernel: str = "auto", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.potential = potential
        self.kernel = choose_kernel(kernel, potential)
        self._evaluator: Evaluator | None = None
        self._pbc = np.zeros(3, dtype=bool)

    def evaluate(self, atoms: Atoms) -> dict[str, Any]:
        """Raises FfptError as Potential.energy_forces_stress does."""
        evaluate = self.potential.energy_forces_stress if self.kernel == "torch" else self._kept
        energy, forces, stress = evaluate(atoms)
        results = {"energy": energy, "free_energy": energy, "forces": forces}
        # Only then is there a volume to divide by; ASE reports a missing property by itself.
        if atoms.pbc.all():
            results["stress"] = full_3x3_to_voigt_6_stress(stress)
        return results

    def _kept(self, atoms: Atoms) -> tuple[float, np.ndarray, np.ndarray]:
        """Potential.energy_forces_stress through an evaluator that is kept for the next call."""
        if not np.isfinite(atoms.positions).all():
            raise FfptError("the positions are not finite numbers")
        kept = self._evaluator
        if kept is None or not np.array_equal(kept.numbers, atoms.numbers) or (self._pbc != atoms.pbc).any():
            kept = self._evaluator = make_evaluator(self.kernel, self.potential, atoms.numbers, atoms.pbc)
            self._pbc = atoms.pbc.copy()
        energies, forces, virial = kept(atoms.positions, np.array(atoms.cell) if atoms.pbc.any() else None)
        volume = atoms.cell.volume if atoms.pbc.all() else np.inf
        return float(energies[0]), forces, 0.5 * (virial + virial.T) / volume
