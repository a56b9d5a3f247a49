"""MD run folders and trajectory files on disk: which replicas there are, and what became of each."""

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
    return (Path(path) / "run.json").is_file()


def read_run(folder: str | os.PathLike[str]) -> list[Replica]:
    """The replicas of a folder that ``ffpt md`` wrote: run.json, topology.pdb, trajectory-K, state-K.csv.

    Raises:
        FfptError: there is no run.json, or it lists no replicas.
    """
    folder = Path(folder)
    if not is_run(folder):
        raise FfptError(f"{folder} is not a run folder: it has no run.json")
    record = read_json(folder / "run.json")
    outcomes = record.get("replicas")
    if not outcomes:
        raise FfptError(f"{folder / 'run.json'} lists no replicas")
    return [_replica(folder, index, outcome, record) for index, outcome in enumerate(outcomes)]


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


def _replica(folder: Path, index: int, outcome: dict[str, Any], record: dict[str, Any]) -> Replica:
    files = [folder / f"trajectory-{index}{suffix}" for suffix in TRAJECTORIES]
    state = folder / f"state-{index}.csv"
    reference, failure = folder / "reference.xyz", folder / f"failure-{index}.xyz"
    status, settings = outcome.get("status", "unfinished"), record.get("settings", {})
    return Replica(
        name=f"{folder.name}/{index}",
        trajectory=next((file for file in files if file.is_file()), None),
        topology=folder / "topology.pdb",
        state=state if state.is_file() else None,
        status=status if status in ("finished", "failed") else "unfinished",
        time=outcome.get("time_ps"),
        reason=outcome.get("reason") or "",
        # Without friction there is no thermostat: the temperature only set the velocities at the start.
        temperature=settings.get("temperature") if settings.get("friction", 1.0) else None,
        reference=reference if reference.is_file() else None,
        failure=failure if failure.is_file() else None,
    )
