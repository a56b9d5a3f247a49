"""One replica of a molecular dynamics run, on disk: start, checkpoint, continue, stop."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np
import torch

from ffpt_core import load
from ffpt_core.analysis import StabilityCriterion
from ffpt_core.errors import FfptError
from ffpt_core.files import atomic_write, read_json
from ffpt_core.units import NANOMETRE
from ffpt_openmm.dcd import DCDTrajectory, to_hdf5, truncate
from ffpt_openmm.force import create_system
from ffpt_openmm.guard import StabilityReporter, UnphysicalFrameError
from ffpt_openmm.settings import MDSettings, Outcome, settings_of

if TYPE_CHECKING:
    from ase import Atoms
    from openmm.app import Simulation, Topology

_SLICE = 200
"""Steps between two reports of progress."""

_TABLE_HEADER = (
    '#"Step","Time (ps)","Potential Energy (kJ/mole)","Kinetic Energy (kJ/mole)",'
    '"Total Energy (kJ/mole)","Temperature (K)"\n'
)
"""OpenMM's own for these columns."""


class RunFolder:
    """The files of a run. What replicas share is written before the first of them starts.

    Args:
        path: the folder.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.record = self.path / "run.json"
        self.potential = self.path / "potential.pt"
        self.topology = self.path / "topology.pdb"
        self.start = self.path / "start.xyz"
        self.reference = self.path / "reference.xyz"

    def trajectory(self, replica: int) -> Path:
        """The DCD file of a replica."""
        return self.path / f"trajectory-{replica}.dcd"

    def state(self, replica: int) -> Path:
        """The table of energies and temperatures of a replica."""
        return self.path / f"state-{replica}.csv"

    def checkpoint(self, replica: int) -> Path:
        """The checkpoint of a replica."""
        return self.path / f"checkpoint-{replica}.npz"

    def failure(self, replica: int) -> Path:
        """The unphysical frame that stopped a replica."""
        return self.path / f"failure-{replica}.xyz"

    @contextlib.contextmanager
    def locked(self, replica: int | None = None) -> Iterator[None]:
        """Hold the run, or one of its replicas, so that no other process continues it at the same time.

        Raises:
            FfptError: another process holds it; the folder cannot be written to.
        """
        import fcntl

        name, what = (".lock", "") if replica is None else (f".lock-{replica}", f"replica {replica} of ")
        with contextlib.ExitStack() as stack:
            try:
                self.path.mkdir(parents=True, exist_ok=True)
                stream = stack.enter_context(open(self.path / name, "w"))
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise FfptError(f"{what}{self.path} is being run by another process") from None
            except OSError as error:
                raise FfptError(f"cannot write to {self.path}: {error.strerror or error}") from error
            yield


class Replica:
    """One Langevin trajectory.

    Args:
        folder: of the run, prepared.
        index: of the replica.
    """

    def __init__(self, folder: RunFolder, index: int) -> None:
        import openmm
        from openmm import app

        self.folder = folder
        self.index = index
        self.settings: MDSettings = settings_of(read_json(folder.record))
        self.topology = app.PDBFile(str(folder.topology)).topology
        velocity_seed, noise_seed = self.settings.seeds(index)
        self._velocity_seed = velocity_seed
        integrator = openmm.LangevinMiddleIntegrator(
            self.settings.temperature, self.settings.friction, self.settings.timestep / 1000
        )
        integrator.setRandomNumberSeed(noise_seed)
        system = create_system(load(folder.potential), self.topology, backend=self.settings.backend)
        platform = openmm.Platform.getPlatformByName(self.settings.platform)
        # OpenMM's own threads only where they have work; PyTorch's are set by the caller.
        properties = {"CPU": {"Threads": str(torch.get_num_threads())}, "CUDA": {"Precision": "mixed"}}
        self.simulation: Simulation = app.Simulation(
            self.topology, system, integrator, platform, properties.get(self.settings.platform)
        )
        criterion = criterion_of(self.topology, read_structure(folder.reference), self.settings)
        self.guard = StabilityReporter(criterion, self.settings.check_steps, folder.failure(index))
        self._seconds = 0.0

    def run(self, advance: Callable[[int], None]) -> Outcome:
        """Simulate to the end or to the first unphysical frame, from the last checkpoint if there is one.

        Args:
            advance: told how many more steps are done.

        Raises:
            FfptError: another process runs this replica; a file cannot be written or was changed.
        """
        with self.folder.locked(self.index):
            try:
                return self._run(advance)
            except OSError as error:
                raise FfptError(
                    f"replica {self.index} of {self.folder.path} stopped: {error.strerror or error}; "
                    "what was written stays valid, the same command continues it"
                ) from error

    def _run(self, advance: Callable[[int], None]) -> Outcome:
        saved = self._restore()
        outcome = saved.get("outcome")
        if outcome is None:
            with contextlib.ExitStack() as stack:
                stack.callback(self.simulation.reporters.clear)
                trajectory, table = self._reporters(saved["frames"], stack)
                outcome = self._simulate(trajectory, table, advance)
                self._save(trajectory, table, outcome)
        if self.settings.format == "h5" and self.folder.trajectory(self.index).is_file():
            to_hdf5(self.folder.trajectory(self.index), self.folder.topology, self.settings.interval / 1000)
        return outcome

    def _simulate(self, trajectory: DCDTrajectory, table: TextIO, advance: Callable[[int], None]) -> Outcome:
        simulation, settings = self.simulation, self.settings
        advanced = simulation.currentStep
        advance(advanced)
        reason = ""
        started = time.perf_counter()
        try:
            if simulation.currentStep == 0:
                self.guard.check_now(simulation)
            while simulation.currentStep < settings.steps:
                steps = self._slice()
                self.guard.run(simulation, steps)
                advance(steps)
                advanced += steps
                if simulation.currentStep % settings.checkpoint_steps == 0 and simulation.currentStep < settings.steps:
                    self._seconds, started = self._seconds + time.perf_counter() - started, time.perf_counter()
                    self._save(trajectory, table, None)
            done = simulation.currentStep
        except UnphysicalFrameError as stop:
            reason, done = stop.outcome.reason, stop.outcome.step
            advance(settings.steps - advanced)  # nothing more will come of this replica
        self._seconds += time.perf_counter() - started
        rate = done / self._seconds if done else None
        picoseconds = round(done * settings.timestep / 1000, 9)
        return Outcome("failed" if reason else "finished", picoseconds, done, reason, rate)

    def _slice(self) -> int:
        """Steps to the next report of progress, at most to the next checkpoint or the end."""
        step, every = self.simulation.currentStep, self.settings.checkpoint_steps
        return min(_SLICE, every - step % every, self.settings.steps - step)

    def _save(self, trajectory: DCDTrajectory, table: TextIO, outcome: Outcome | None) -> None:
        table.flush()
        os.fsync(table.fileno())
        record = {
            "frames": trajectory.frames,
            "trajectory_bytes": trajectory.sync(),
            "state_bytes": os.fstat(table.fileno()).st_size,
            "seconds": self._seconds,
            "outcome": None if outcome is None else dataclasses.asdict(outcome),
        }
        state = np.frombuffer(self.simulation.context.createCheckpoint(), dtype=np.uint8)
        with atomic_write(self.folder.checkpoint(self.index), "wb") as stream:
            np.savez(stream, openmm=state, record=np.array(json.dumps(record)))

    def _restore(self) -> dict[str, Any]:
        """Bring the simulation to its last checkpoint, or to its start.

        Returns:
            "frames" of the trajectory up to there, and "outcome" where the replica has ended for good.
        """
        import openmm

        path = self.folder.checkpoint(self.index)
        context = self.simulation.context
        if not path.is_file():
            start = read_structure(self.folder.start)
            if start.pbc.all():
                # The PDB file has the box too, but rounded.
                context.setPeriodicBoxVectors(*(np.array(start.cell) / NANOMETRE))
            context.setPositions(start.positions / NANOMETRE)
            context.setVelocitiesToTemperature(self.settings.temperature, self._velocity_seed)
            return {"frames": 0}
        try:
            with np.load(path, allow_pickle=False) as saved:
                record, state = json.loads(str(saved["record"])), saved["openmm"].tobytes()
            outcome = None if record["outcome"] is None else Outcome(**record["outcome"])
            # A finished replica goes on where the length was raised since; a failed one is over.
            if outcome is not None and (outcome.status == "failed" or outcome.steps >= self.settings.steps):
                return {"frames": record["frames"], "outcome": outcome}
            context.loadCheckpoint(state)
        except (OSError, ValueError, KeyError, TypeError, openmm.OpenMMException) as error:
            raise FfptError(f"cannot continue from {path}: it is of another OpenMM, or damaged ({error})") from error
        self._seconds = record["seconds"]
        truncate(self.folder.trajectory(self.index), record["trajectory_bytes"], record["frames"])
        with open(self.folder.state(self.index), "r+b") as stream:
            stream.truncate(record["state_bytes"])
        return {"frames": record["frames"]}

    def _reporters(self, frames: int, stack: contextlib.ExitStack) -> tuple[DCDTrajectory, TextIO]:
        from openmm.app import StateDataReporter

        settings, fresh = self.settings, self.simulation.currentStep == 0
        trajectory = DCDTrajectory(
            self.folder.trajectory(self.index), self.topology, settings.timestep / 1000, settings.frame_steps, frames
        )
        stack.callback(trajectory.close)
        table = stack.enter_context(open(self.folder.state(self.index), "w" if fresh else "a"))  # noqa: SIM115
        columns = ("step", "time", "potentialEnergy", "kineticEnergy", "totalEnergy", "temperature")
        if fresh:
            table.write(_TABLE_HEADER)  # also where a replica fails before its first row
        log = StateDataReporter(table, settings.log_steps, **dict.fromkeys(columns, True), append=True)
        self.simulation.reporters.extend([self.guard, trajectory, log])
        return trajectory, table


def criterion_of(topology: Topology, reference: Atoms, settings: MDSettings) -> StabilityCriterion:
    """What is physical in a run: the bonds of its topology, or of its reference geometry if it lists none."""
    bonds = [(bond[0].index, bond[1].index) for bond in topology.bonds()] or None
    return StabilityCriterion.from_reference(
        reference, bonds, max_stretch=settings.max_stretch, min_distance=settings.min_distance
    )


def read_structure(path: Path) -> Atoms:
    """The geometry (Angstrom) in an extended XYZ file of a run."""
    import ase.io

    return ase.io.read(path, index=0, format="extxyz")  # type: ignore[return-value]  # one index, one structure
