"""MD run folders and trajectory files on disk: what they are called, which replicas there are, what became of each."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ffpt_core.base.errors import FfptError
from ffpt_core.base.files import read_json
from ffpt_core.structure.trajectory_files import HOLD_ATOMS, dcd_frames, load_trajectory, with_box

if TYPE_CHECKING:
    import mdtraj

TRAJECTORIES = (".dcd", ".h5", ".xtc", ".trr", ".nc", ".pdb")
"""Suffixes of trajectory files; a run folder holds one of the first two."""


FORMAT = "ffpt-md"
"""The "format" in the run.json of ``ffpt md`` and ``ffpt metad``."""


class RunFiles:
    """What the files of a run of ``ffpt md`` or ``ffpt metad`` are called, whether they are there or not.

    Args:
        path: the folder.

    Attributes:
        path: the folder.
        record: settings ("settings") and what became of each replica ("replicas", the fields of Outcome), JSON.
        topology: the atoms, PDB.
        reference: the geometry whose bond lengths the guard compares with, extended XYZ.
        start: the geometry that all replicas start from, or one for each, extended XYZ.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.record = self.path / "run.json"
        self.topology = self.path / "topology.pdb"
        self.reference = self.path / "reference.xyz"
        self.start = self.path / "start.xyz"

    def trajectory(self, replica: int, suffix: str = ".dcd") -> Path:
        """The frames of a replica, in the format of the suffix."""
        return self.path / f"trajectory-{replica}{suffix}"

    def state(self, replica: int) -> Path:
        """The table of energies and temperatures of a replica."""
        return self.path / f"state-{replica}.csv"

    def failure(self, replica: int) -> Path:
        """The unphysical frame that stopped a replica."""
        return self.path / f"failure-{replica}.xyz"

    def checkpoint(self, group: int) -> Path:
        """The checkpoint of the replicas that run together, called by the first of them."""
        return self.path / f"checkpoint-{group}.npz"

    def read_record(self) -> dict[str, Any]:
        """What run.json says.

        Raises:
            FfptError: there is none, or it lists no replicas.
        """
        if not self.record.is_file():
            raise FfptError(f"{self.path} is not a run folder: it has no {self.record.name}")
        record = read_json(self.record)
        if not (isinstance(record, dict) and record.get("replicas")):
            raise FfptError(f"{self.record} lists no replicas")
        return record


@dataclass
class Outcome:
    """What became of a replica, as run.json keeps it.

    Args:
        status: "running" (or waiting, or interrupted), "finished" or "failed" (reached an unphysical frame).
        time_ps: simulated, physical time.
        steps: time steps taken.
        reason: why it failed, or "".
        steps_per_second: of this and earlier calls, or None. Replicas that share a Context take their steps together.
    """

    status: str = "running"
    time_ps: float = 0.0
    steps: int = 0
    reason: str = ""
    steps_per_second: float | None = None


@dataclass(frozen=True, eq=False)
class Replica:
    """One replica of an MD run on disk.

    Args:
        name: such as "run/0".
        trajectory: path of the trajectory, or None where the run stopped before its first frame.
        topology: path of the PDB file.
        state: path of the table of energies and temperatures, or None.
        status: "finished", "failed" (stopped by its guard) or "unfinished" (killed, or still running).
        time: ps simulated according to the run's record, or None.
        reason: why a failed replica was stopped, or "".
        temperature: the thermostat's temperature in K; None without one, or where it is unknown.
        reference: path of the equilibrium geometry that its bonds are compared with, or None.
        box: one or three edges in Angstrom of the right-angled cell of a trajectory that holds none.
        failure: path of the frame that its guard stopped it at, which the trajectory lacks, or None.
    """

    name: str
    trajectory: Path | None
    topology: Path
    state: Path | None
    status: str = "unfinished"
    time: float | None = None
    reason: str = ""
    temperature: float | None = None
    reference: Path | None = None
    box: tuple[float, ...] | None = None
    failure: Path | None = None

    @property
    def has_frames(self) -> bool:
        """Whether a frame was saved. Replicas that wait for their turn, or were killed early, have none."""
        if self.trajectory is None:
            return False
        return self.trajectory.suffix != ".dcd" or dcd_frames(self.trajectory) > 0

    def load(self, frame_interval: float | None = None, *, timed: bool = True) -> mdtraj.Trajectory:
        """The trajectory (nm, ps), of an unfinished replica as far as it is. See load_trajectory."""
        if self.trajectory is None:
            raise FfptError(f"{self.name} has no trajectory")
        growing = self.state is not None and self.status == "unfinished"
        trajectory = load_trajectory(self.trajectory, self.topology, frame_interval, timed=timed, growing=growing)
        return trajectory if self.box is None else with_box(trajectory, self.box)


def is_run(path: str | os.PathLike[str]) -> bool:
    """Whether path is a folder that ``ffpt md`` wrote."""
    return RunFiles(path).record.is_file()


def read_run(folder: str | os.PathLike[str]) -> list[Replica]:
    """The replicas of a folder that ``ffpt md`` wrote.

    Raises:
        FfptError: there is no run.json, or it lists no replicas.
    """
    files = RunFiles(folder)
    record = files.read_record()
    return [_replica(files, index, outcome, record) for index, outcome in enumerate(record["replicas"])]


def replicas_at(path: str | os.PathLike[str], topology: str | os.PathLike[str] | None = None) -> list[Replica]:
    """The replicas of a run folder, or the one in a trajectory file or a table of energies (.csv).

    Args:
        path: run folder, trajectory or table.
        topology: PDB file with the atoms, for files that do not hold them.

    Raises:
        FfptError: there is nothing at path, or a topology is needed.
    """
    path = Path(path)
    if path.is_dir():
        return read_run(path)
    if not path.is_file():
        raise FfptError(f"there is no run folder or trajectory {path}")
    if topology is None and path.suffix not in HOLD_ATOMS:
        raise FfptError(f"{path} holds no atoms: give a topology (PDB) as well")
    table = path.suffix == ".csv"
    return [Replica(path.name, None if table else path, Path(topology or path), path if table else None)]


def _replica(files: RunFiles, index: int, outcome: dict[str, Any], record: dict[str, Any]) -> Replica:
    status, settings = outcome.get("status"), record.get("settings", {})
    trajectories = (files.trajectory(index, suffix) for suffix in TRAJECTORIES)
    return Replica(
        name=f"{files.path.name}/{index}",
        trajectory=next((file for file in trajectories if file.is_file()), None),
        topology=files.topology,
        state=_existing(files.state(index)),
        status=status if status in ("finished", "failed") else "unfinished",
        time=outcome.get("time_ps"),
        reason=outcome.get("reason") or "",
        # Without friction there is no thermostat: the temperature only set the velocities at the start.
        temperature=settings.get("temperature") if settings.get("friction", 1.0) else None,
        reference=_existing(files.reference),
        failure=_existing(files.failure(index)),
    )


def _existing(path: Path) -> Path | None:
    return path if path.is_file() else None
