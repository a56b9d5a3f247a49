"""Replicas of MD runs, and the part of their trajectories that is physical."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ffpt_core.analysis.trajectories import criterion_for
from ffpt_core.base.errors import FfptError
from ffpt_core.base.progress import console
from ffpt_core.base.units import NANOMETRE
from ffpt_core.datasets.run_folders import TRAJECTORIES, Replica, is_run
from ffpt_core.structure.read import read_geometry

if TYPE_CHECKING:
    import mdtraj


def has_begun(replica: Replica) -> bool:
    """Whether there is something to analyse: a frame, or a failure before the first."""
    return replica.has_frames or replica.status == "failed"


def physical_trajectories(
    replicas: Sequence[Replica],
    frame_interval: float | None = None,
    skip: float = 0.0,
    timed: bool = True,
) -> list[mdtraj.Trajectory]:
    """The trajectory of each replica after skip ps and before its first unphysical frame, where any of it is left."""
    source = replicas[0].reference
    criterion = criterion_for(replicas[0].topology, None if source is None else read_geometry(source))
    found = []
    for one in replicas:
        if not one.has_frames:
            continue  # failed before its first
        trajectory = one.load(frame_interval, timed=timed or skip > 0)
        vectors = trajectory.unitcell_vectors
        failure = criterion.check(NANOMETRE * trajectory.xyz, None if vectors is None else NANOMETRE * vectors)
        end = len(trajectory) if failure is None else failure.frame
        if failure is not None:
            console.print(f"{one.name}: left out from frame {end} on: {failure.reason}")
        kept = slice(int((trajectory.time < skip).sum()) if skip > 0 else 0, end)
        if kept.start < kept.stop:
            found.append(trajectory[kept])
    return found


def physical_by_label(
    groups: Mapping[str, Sequence[Replica]], frame_interval: float | None, skip: float, timed: bool = True
) -> dict[str, list[mdtraj.Trajectory]]:
    """The physical part of each replica, by label; labels without any are left out, which is said."""
    found = {}
    for label, replicas in groups.items():
        trajectories = physical_trajectories(replicas, frame_interval, skip, timed)
        if trajectories:
            found[label] = trajectories
        else:
            console.print(f"left out: {label} has no physical frame after {skip:g} ps")
    if not found:
        raise FfptError(f"the runs have no physical frame after {skip:g} ps")
    return found


def is_data_set(source: str) -> bool:
    """Whether a reference is a file of frames for training, not a run or a trajectory."""
    return not is_run(source) and Path(source).suffix not in TRAJECTORIES
