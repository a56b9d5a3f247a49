"""Replicas that run together in one Context, on disk: start, checkpoint, continue, stop one by one."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from ffpt_core.base.errors import FfptError
from ffpt_core.base.files import atomic_write, read_json
from ffpt_core.base.units import KJ_PER_MOL, NANOMETRE, PICOSECOND
from ffpt_core.datasets.run_folders import Outcome
from ffpt_core.potentials.sources import saved_potential
from ffpt_core.structure.graph import molecules
from ffpt_core.structure.read import read_geometries, read_geometry
from ffpt_openmm.md.biasing import UNBIASED, Biasing
from ffpt_openmm.md.dcd import to_hdf5
from ffpt_openmm.md.folder import RunFolder, criterion_of
from ffpt_openmm.md.guard import Unphysical, is_about_nan, write_outcome
from ffpt_openmm.md.replicas import Replicas
from ffpt_openmm.md.settings import MDSettings, settings_of
from ffpt_openmm.md.writer import ReplicaWriter

_SLICE = 200
"""Steps between two reports of progress."""


@dataclass
class _Checkpoint:
    """Where a group continues.

    Args:
        step: of the replicas that run.
        seconds: spent until there.
        failed: outcomes of the others.
        sizes: bytes of the trajectory and the table of each that runs.
        state: of its Context.
    """

    step: int = 0
    seconds: float = 0.0
    failed: dict[int, Outcome] = field(default_factory=dict)
    sizes: dict[int, tuple[int, int]] = field(default_factory=dict)
    state: bytes = b""


class ReplicaGroup:
    """Langevin trajectories that share a Context, each until its end or its first unphysical frame.

    When one fails, it is written out and the others go on, in a new Context without it. All that happens is a function
    of the step and the state, so that a group that was killed goes through the same from its last checkpoint.

    Args:
        folder: of the run, prepared.
        replicas: indices of all replicas of the group.
        biasing: what biases them.
    """

    def __init__(self, folder: RunFolder, replicas: Sequence[int], biasing: Biasing = UNBIASED) -> None:
        from openmm import app

        self.folder = folder
        self.replicas = tuple(replicas)
        self.settings: MDSettings = settings_of(read_json(folder.record))
        self.topology = app.PDBFile(str(folder.topology)).topology
        reference = read_geometry(folder.reference)
        self.biasing = biasing
        self.criterion = biasing.criterion(self.topology, reference, self.settings)
        bonds = criterion_of(self.topology, reference, self.settings).bonds
        self._molecules = molecules(len(self.criterion.symbols), bonds)
        self._failed: dict[int, Outcome] = {}
        self._writers: dict[int, ReplicaWriter] = {}
        self._last = (0, np.empty(0))
        self._began = 0.0

    def run(self, advance: Callable[[int], None], ended: Callable[[int, Outcome], None]) -> None:
        """Simulate from the last checkpoint, if there is one, until every replica has ended.

        Args:
            advance: told how many more steps are done, summed over replicas.
            ended: told what became of a replica, of those too that had ended before.

        Raises:
            FfptError: another process runs these replicas; a file cannot be written or was changed.
        """
        with self.folder.locked(self.replicas[0]):
            try:
                self._run(advance, ended)
            except OSError as error:
                which = f"replica{'s' if len(self.replicas) > 1 else ''} {', '.join(map(str, self.replicas))}"
                raise FfptError(
                    f"{which} of {self.folder.path} stopped: {error.strerror or error}; "
                    "what was written stays valid, the same command continues it"
                ) from error

    def _run(self, advance: Callable[[int], None], ended: Callable[[int, Outcome], None]) -> None:
        saved = self._read_checkpoint()
        self._began = time.perf_counter() - saved.seconds
        self._failed = saved.failed
        running = [replica for replica in self.replicas if replica not in saved.failed]
        advance(saved.step * len(running) + self.settings.steps * len(saved.failed))
        for replica, outcome in saved.failed.items():
            self._end(replica, outcome, ended)
        if not running or saved.step >= self.settings.steps:
            finished = self._outcome("finished", saved.step)
        else:
            with contextlib.ExitStack() as stack:
                stack.callback(self._close)
                ensemble = self._restored(saved, running)
                stack.callback(ensemble.close)
                step = self._simulate(ensemble, advance, ended)
                finished = self._outcome("finished", step)
        for replica in self.replicas:
            if replica not in self._failed:
                self._end(replica, finished, ended)

    def _simulate(
        self, ensemble: Replicas, advance: Callable[[int], None], ended: Callable[[int, Outcome], None]
    ) -> int:
        """Run until the end or the last failure; returns the step."""
        self._last = (ensemble.step, ensemble.positions())
        left: Replicas | None = ensemble
        looked, pending = ensemble.step > 0, 0
        while left is not None and left.step < self.settings.steps:
            ensemble, before = left, left.step
            if looked:
                self._advance(ensemble)
            left, looked = self._stop(ensemble, ended), True
            lost = len(ensemble.replicas) - (0 if left is None else len(left.replicas))
            pending += (ensemble.step - before) * len(ensemble.replicas)
            pending += (self.settings.steps - ensemble.step) * lost  # nothing more will come of them
            if pending >= _SLICE:
                advance(pending)
                pending = 0
        advance(pending)
        return ensemble.step

    def _advance(self, ensemble: Replicas) -> None:
        """To the next step at which something is due."""
        from openmm import OpenMMException

        settings, step = self.settings, ensemble.step
        intervals = (settings.check_steps, settings.frame_steps, settings.log_steps, settings.checkpoint_steps)
        try:
            ensemble.advance(min(settings.steps - step, *(every - step % every for every in intervals)))
        except OpenMMException as error:
            # Some platforms notice coordinates that are not finite before the guard does.
            if not is_about_nan(error) or np.isfinite(ensemble.positions()).all():
                raise FfptError(
                    f"replica {ensemble.replicas[0]} of {self.folder.path} stopped at step {ensemble.step}: {error}"
                ) from error

    def _stop(self, ensemble: Replicas, ended: Callable[[int, Outcome], None]) -> Replicas | None:
        """Look at every replica, and write what is due at this step. Returns those that are still physical."""
        settings, step = self.settings, ensemble.step
        frame_due, row_due, checkpoint_due = (
            step > self._last[0] and step % every == 0
            for every in (settings.frame_steps, settings.log_steps, settings.checkpoint_steps)
        )
        left: Replicas | None = ensemble
        positions = ensemble.positions()
        energies = ensemble.potential_energies() if row_due or step == 0 else None
        reasons = self._reasons(ensemble, positions, energies)
        if reasons:
            left = self._without(ensemble, positions, reasons)
            if left is not None:
                kept = [row for row, replica in enumerate(ensemble.replicas) if replica not in reasons]
                positions, energies = positions[kept], None if energies is None else energies[kept]
        self._last = (step, positions)
        if left is not None:
            if frame_due:
                for replica, frame in zip(left.replicas, positions, strict=True):
                    self._writers[replica].frame(frame, left.box)
            if row_due and energies is not None:
                kinetic = left.kinetic_energies()
                rows = np.stack([energies, kinetic, left.temperatures(kinetic)], axis=1).tolist()
                for replica, row in zip(left.replicas, rows, strict=True):
                    self._writers[replica].row(step, *row)
            if checkpoint_due:
                left.hold_centres()
        if reasons or checkpoint_due or step == settings.steps:
            self._save(left, step)
        for replica in reasons:
            self._end(replica, self._failed[replica], ended)
        return left

    def _reasons(self, ensemble: Replicas, positions: np.ndarray, energies: np.ndarray | None) -> dict[int, str]:
        """Replicas that are not physical any more, and why."""
        cell = None if ensemble.box is None else ensemble.box * NANOMETRE
        failures = self.criterion.failures(positions * NANOMETRE, cell)
        reasons = {ensemble.replicas[failure.frame]: failure.reason for failure in failures}
        finite = np.isfinite(positions).all(axis=(1, 2))
        if energies is not None:
            for row in np.flatnonzero(~np.isfinite(energies)):
                reasons.setdefault(ensemble.replicas[row], "the energy is not finite")
            finite &= np.isfinite(energies)
        if ensemble.fault:  # what failed to give numbers says why
            reasons |= {ensemble.replicas[row]: ensemble.fault for row in np.flatnonzero(~finite)}
        return reasons

    def _without(self, ensemble: Replicas, positions: np.ndarray, reasons: dict[int, str]) -> Replicas | None:
        """Write out replicas that failed, and go on with the others."""
        step, picosecond = ensemble.step, self.settings.timestep / PICOSECOND
        cell = None if ensemble.box is None else ensemble.box * NANOMETRE
        energies = ensemble.potential_energies() * KJ_PER_MOL
        for row, replica in enumerate(ensemble.replicas):
            if replica not in reasons:
                continue
            shown = (step, positions) if np.isfinite(positions[row]).all() else self._last
            failure = Unphysical(
                reason=reasons[replica],
                step=step,
                time=step * picosecond,
                positions=shown[1][row] * NANOMETRE,
                cell=cell,
                positions_time=shown[0] * picosecond,
                energy=float(energies[row]) if shown[0] == step else None,
            )
            write_outcome(self.folder.failure(replica), failure, self.criterion.symbols)
            self._failed[replica] = self._outcome("failed", step, reasons[replica])
            writer = self._writers.pop(replica)
            writer.sync()
            writer.close()
        return ensemble.without(reasons) if len(reasons) < len(ensemble.replicas) else None

    def _outcome(self, status: str, step: int, reason: str = "") -> Outcome:
        picoseconds = round(step * self.settings.timestep / PICOSECOND, 9)
        return Outcome(status, picoseconds, step, reason, step / self._seconds if step else None)

    def _end(self, replica: int, outcome: Outcome, ended: Callable[[int, Outcome], None]) -> None:
        trajectory = self.folder.trajectory(replica)
        if self.settings.format == "h5" and trajectory.is_file():
            to_hdf5(trajectory, self.folder.topology, self.settings.interval / PICOSECOND)
        ended(replica, outcome)

    @property
    def _seconds(self) -> float:
        """Spent on the group by this and earlier calls."""
        return time.perf_counter() - self._began

    def _save(self, ensemble: Replicas | None, step: int) -> None:
        record = {
            "step": step,
            "seconds": self._seconds,
            "failed": {replica: dataclasses.asdict(outcome) for replica, outcome in self._failed.items()},
            "sizes": {replica: writer.sync() for replica, writer in self._writers.items()},
        }
        state = np.frombuffer(b"" if ensemble is None else ensemble.save(), dtype=np.uint8)
        with atomic_write(self.folder.checkpoint(self.replicas[0]), "wb") as stream:
            np.savez(stream, openmm=state, record=np.array(json.dumps(record)))

    def _read_checkpoint(self) -> _Checkpoint:
        path = self.folder.checkpoint(self.replicas[0])
        if not path.is_file():
            return _Checkpoint()
        try:
            with np.load(path, allow_pickle=False) as saved:
                record, state = json.loads(str(saved["record"])), saved["openmm"].tobytes()
            failed = {int(replica): Outcome(**outcome) for replica, outcome in record["failed"].items()}
            sizes = {int(replica): tuple(bytes_) for replica, bytes_ in record["sizes"].items()}
            return _Checkpoint(record["step"], record["seconds"], failed, sizes, state)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise FfptError(f"cannot continue from {path}: it is damaged ({error})") from error

    def _restored(self, saved: _Checkpoint, running: Sequence[int]) -> Replicas:
        """The replicas that run, at the checkpoint or at the start, with their files open."""
        from openmm import OpenMMException

        device = read_json(self.folder.record).get("device")
        potential, starts = saved_potential(self.folder.path, device), read_geometries(self.folder.start)
        try:
            ensemble = self.biasing.ensemble(
                self.folder, potential, self.topology, self.settings, starts, running, saved.state
            )
        except OpenMMException as error:
            if not saved.state:
                raise
            path = self.folder.checkpoint(self.replicas[0])
            raise FfptError(f"cannot continue from {path}: it is of another OpenMM ({error})") from error
        _allow_open_files(2 * len(running))
        for replica in running:
            sizes = saved.sizes.get(replica, (0, 0))
            self._writers[replica] = ReplicaWriter(
                self.folder, replica, self.topology, self.settings, saved.step, sizes, self._molecules
            )
        return ensemble

    def _close(self) -> None:
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()


def _allow_open_files(count: int) -> None:
    """Raise this process's own limit, usually 1024, where it is less than these and what else may be open."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + 256
    if soft != resource.RLIM_INFINITY and soft < wanted:
        within = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (within, hard))
