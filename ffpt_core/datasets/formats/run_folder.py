"""Folders of ``ffpt md`` and ``ffpt metad``: the frames of all replicas, without labels."""

from __future__ import annotations

import warnings
from pathlib import Path

from ffpt_core.base.errors import FfptError
from ffpt_core.datasets.dataset import Dataset
from ffpt_core.datasets.formats.format import FOLDER, SELECTION, DatasetWarning, Format
from ffpt_core.datasets.formats.trajectories import trajectory_dataset
from ffpt_core.datasets.options import ReadOptions
from ffpt_core.datasets.run_folders import Replica, is_run, read_run


def _frames(replica: Replica, frames: slice) -> Dataset | None:
    """The chosen frames of a replica before its failure; None where there are none.

    A run of ours writes no frame that its guard did not find physical: to leave out what comes at the time of the
    failure or later is all there is to do.
    """
    if not replica.has_frames:
        return None
    trajectory = replica.load(timed=replica.status == "failed")
    if replica.status == "failed" and replica.time is not None:
        trajectory = trajectory[trajectory.time < replica.time * (1 - 1e-6)]  # times of single precision
    trajectory = trajectory[frames]
    return trajectory_dataset(trajectory, replica.name.rpartition("/")[2]) if len(trajectory) else None


def read(path: Path, options: ReadOptions) -> Dataset:
    """The physical frames of a run, replica by replica; groups["replica"] has the number of each frame's replica.

    Raises:
        FfptError: not a run folder, or one without frames; as load_trajectory.
    """
    replicas = read_run(path)
    found = [_frames(replica, options.frames) for replica in replicas]
    parts = [frames for frames in found if frames is not None]
    if not parts:
        raise FfptError(f"{path} has no frames {f'from {options.first} on' if options.first else 'yet'}")
    going = [replica.name for replica in replicas if replica.status == "unfinished"]
    if going:
        message = f"{path} is not finished ({', '.join(going)}): read as far as it is"
        warnings.warn(message, DatasetWarning, stacklevel=3)
    return Dataset.concatenate(parts)


FORMAT = Format(
    name="run",
    what="a folder of ffpt md or ffpt metad",
    suffixes=(FOLDER,),
    read=read,
    sniff=is_run,
    takes=SELECTION,
)
