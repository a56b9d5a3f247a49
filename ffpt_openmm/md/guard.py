"""The stability guard: a reporter that stops a simulation at its first unphysical frame."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ffpt_core.analysis import Criterion
from ffpt_core.base.files import atomic_path
from ffpt_core.base.units import KJ_PER_MOL, NANOMETRE

if TYPE_CHECKING:
    from openmm import State
    from openmm.app import Simulation


@dataclass(frozen=True, eq=False)
class Unphysical:
    """How a trajectory ended.

    Args:
        reason: one line.
        step: of the first frame that was found unphysical.
        time: of that frame in ps.
        positions: (n_atoms, 3) Angstrom; of the last frame with finite coordinates where that one has none.
        cell: (3, 3) Angstrom, or None for an isolated molecule.
        positions_time: ps, time of positions.
        energy: potential energy in eV where it was known, else None.
    """

    reason: str
    step: int
    time: float
    positions: np.ndarray
    cell: np.ndarray | None
    positions_time: float
    energy: float | None


class UnphysicalFrameError(Exception):
    """Raised by StabilityReporter: the simulation reached a frame that is not physical. See ``outcome``."""

    def __init__(self, outcome: Unphysical) -> None:
        super().__init__(f"unphysical at {outcome.time:.4f} ps: {outcome.reason}")
        self.outcome = outcome


class StabilityReporter:
    """Checks frames while a simulation runs; raises UnphysicalFrameError at the first that is not physical.

    Put it before other reporters, so that none of them writes that frame:

        guard = StabilityReporter(criterion, 10, "failure.xyz")
        simulation.reporters.insert(0, guard)
        try:
            guard.run(simulation, 200_000)
        except UnphysicalFrameError as stop:
            print(stop)

    ``simulation.step`` works as well; guard.run also turns OpenMM's own errors about NaN into this outcome.

    Args:
        criterion: what is physical, such as a StabilityCriterion.
        interval: steps between two checks.
        path: where the unphysical frame goes (extended XYZ, with the reason and the time), or None.
    """

    def __init__(self, criterion: Criterion, interval: int = 10, path: str | os.PathLike[str] | None = None) -> None:
        self.criterion = criterion
        self.interval = interval
        self.path = None if path is None else Path(path)
        self.outcome: Unphysical | None = None
        self._last: tuple[float, np.ndarray, np.ndarray | None] | None = None

    def describeNextReport(self, simulation: Simulation) -> dict[str, Any]:
        """When OpenMM shall call report next, and with what."""
        steps = self.interval - simulation.currentStep % self.interval
        # No energy: it would cost an evaluation of the potential. An energy that is not finite makes coordinates
        # so within a step. Periodic as other reporters have it by default, so that the order among them stays.
        return {"steps": steps, "periodic": None, "include": ["positions"]}

    def report(self, simulation: Simulation, state: State) -> None:
        """Check a frame.

        Raises:
            UnphysicalFrameError: it is not physical; the frame is written first.
        """
        positions = state.getPositions(asNumpy=True)._value * NANOMETRE
        cell = None
        if simulation.system.usesPeriodicBoundaryConditions():
            cell = state.getPeriodicBoxVectors(asNumpy=True)._value * NANOMETRE
        time = state.getTime()._value
        # Where another reporter asked for the energy, it is there.
        energy = None
        if state.getDataTypes() & state.Energy:
            energy = state.getPotentialEnergy()._value * KJ_PER_MOL
        failure = self.criterion.check(positions, cell)
        if failure is not None or (energy is not None and not np.isfinite(energy)):
            reason = "the energy is not finite" if failure is None else failure.reason
            self._stop(reason, simulation.currentStep, (time, positions, cell), energy)
        self._last = (time, positions, cell)

    def check_now(self, simulation: Simulation) -> None:
        """Check the present frame, for instance the first.

        Raises:
            UnphysicalFrameError: it is not physical.
        """
        self.report(simulation, simulation.context.getState(positions=True, energy=True))

    def run(self, simulation: Simulation, steps: int) -> None:
        """``simulation.step(steps)``.

        Raises:
            UnphysicalFrameError: at the first unphysical frame, or when OpenMM itself meets a NaN.
        """
        from openmm import OpenMMException

        try:
            simulation.step(steps)
        except (OpenMMException, ValueError) as error:
            if not is_about_nan(error):
                raise
            here = simulation.context.getState(positions=True)
            frame = (here.getTime()._value, here.getPositions(asNumpy=True)._value * NANOMETRE, None)
            self._stop("coordinates are not finite", simulation.currentStep, frame, None)

    def _stop(
        self, reason: str, step: int, frame: tuple[float, np.ndarray, np.ndarray | None], energy: float | None
    ) -> None:
        time = frame[0]
        if not np.isfinite(frame[1]).all() and self._last is not None:
            frame = self._last
        self.outcome = Unphysical(reason, step, time, frame[1], frame[2], frame[0], energy)
        if self.path is not None:
            write_outcome(self.path, self.outcome, self.criterion.symbols)
        raise UnphysicalFrameError(self.outcome)


def is_about_nan(error: Exception) -> bool:
    """Whether OpenMM stopped at a NaN. It has no class for that: platforms, reporters and files raise with a text."""
    return any(text in str(error) for text in (" is NaN", " is infinite"))


def write_outcome(path: str | os.PathLike[str], outcome: Unphysical, symbols: tuple[str, ...]) -> None:
    """Write the frame of an Unphysical as extended XYZ (Angstrom); its info has reason, step, time_ps, energy_ev.

    Raises:
        FfptError: the file cannot be written.
    """
    import ase.io
    from ase import Atoms

    atoms = Atoms(list(symbols), outcome.positions, cell=outcome.cell, pbc=outcome.cell is not None)
    atoms.info = {
        "reason": outcome.reason,
        "step": outcome.step,
        "time_ps": outcome.time,
        "frame_time_ps": outcome.positions_time,
    }
    if outcome.energy is not None and np.isfinite(outcome.energy):
        atoms.info["potential_energy_ev"] = outcome.energy
    with atomic_path(path) as temporary:
        ase.io.write(temporary, atoms, format="extxyz")
