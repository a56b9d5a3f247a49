"""An OpenMM System as an evaluator: of a teacher, and of any System that is a potential."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ffpt_core.base.errors import FfptError
from ffpt_core.base.units import KJ_PER_MOL, KJ_PER_MOL_NM, NANOMETRE
from ffpt_core.potentials.evaluation import Prediction
from ffpt_core.teachers.systems import import_openmm

if TYPE_CHECKING:
    import openmm


class SystemEvaluator:
    """A System for copies of its atoms, one after the other, which share its cell.

    Args:
        context: of the System, whose particles are the atoms; others may use it between two calls.
        numbers: (n_atoms,) atomic numbers.
        name: of it, for messages.
        copies: number of copies.
        cell: (3, 3) Angstrom, of a periodic System where a call gives none; None: it is not periodic.
    """

    def __init__(
        self, context: openmm.Context, numbers: np.ndarray, name: str, copies: int = 1, cell: np.ndarray | None = None
    ) -> None:
        self.numbers = np.array(numbers)
        self._name, self._copies, self._cell = name, copies, cell
        self._context = context

    def __call__(self, positions: np.ndarray, cell: np.ndarray | None = None) -> Prediction:
        """Evaluate. Arguments and result are those of ffpt_core.potentials.evaluation.Evaluator.

        Raises:
            FfptError: a cell that is thinner than twice the cutoff or not reduced, or one for a molecule in vacuum.
        """
        if cell is not None and self._cell is None:
            raise FfptError(f"{self._name} is for a molecule in vacuum: its frames have no cells")
        frames = np.reshape(positions, (self._copies, len(self.numbers), 3))
        box = self._cell if cell is None else cell
        energies, forces = np.full(self._copies, np.nan), np.full(frames.shape, np.nan)
        for index, frame in enumerate(frames):
            if np.isfinite(frame).all():
                energies[index], forces[index] = self.single_point(frame, box)
        return Prediction(energies, forces.reshape(-1, 3), None)

    def single_point(self, frame: np.ndarray, cell: np.ndarray | None) -> tuple[float, np.ndarray]:
        """Energy (eV) and (n_atoms, 3) forces (eV/Angstrom) of a frame, in a cell of a box, Angstrom."""
        state = self.state(frame, cell, energy=True, forces=True)
        # _value skips the unit machinery, which costs more than a force field; both are in OpenMM's own units.
        energy, forces = state.getPotentialEnergy()._value, state.getForces(asNumpy=True)._value
        return energy * KJ_PER_MOL, forces * KJ_PER_MOL_NM

    def state(self, frame: np.ndarray, cell: np.ndarray | None, **what: Any) -> openmm.State:
        """OpenMM's State of a frame, in a cell of a box, Angstrom."""
        try:
            if cell is not None:
                self._context.setPeriodicBoxVectors(*(np.asarray(cell) / NANOMETRE))
            self._context.setPositions(frame / NANOMETRE)
            return self._context.getState(**what)
        except import_openmm().OpenMMException as error:
            raise FfptError(f"{self._name} cannot be evaluated: {' '.join(str(error).split())}") from error


def reference_context(system: openmm.System) -> openmm.Context:
    """On the Reference platform, not CPU: for a molecule of tens of atoms it is the faster one and works in float64.

    Raises:
        FfptError: OpenMM refuses the System.
    """
    mm = import_openmm()
    try:
        return mm.Context(system, mm.VerletIntegrator(0.001), mm.Platform.getPlatformByName("Reference"))
    except mm.OpenMMException as error:
        raise FfptError(f"OpenMM cannot evaluate the System: {' '.join(str(error).split())}") from error
