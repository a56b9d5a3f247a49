"""Trajectory files, with the times of their frames."""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ffpt_core.base.errors import FfptError
from ffpt_core.base.units import AKMA, NANOMETRE
from ffpt_core.structure import ase_trajectories
from ffpt_core.structure.trajectory_ends import check_end

if TYPE_CHECKING:
    import mdtraj

_SELF_CONTAINED = (".h5", ".hdf5", ".pdb", ".gro")
HOLD_ATOMS = (*_SELF_CONTAINED, *ase_trajectories.SUFFIXES)
"""Suffixes of trajectory files that need no topology; the last ones list no bonds."""

_HOLD_TIMES = (".xtc", ".trr", ".dtr", ".stk")
"""Suffixes of files in which each frame has its time."""

_MAY_HOLD_TIMES = (".h5", ".hdf5", ".nc", ".ncdf", ".netcdf", ".gro")
"""Suffixes of files in which frames may have times. mdtraj numbers the frames of those that do not, and of others."""


def load_trajectory(
    path: str | os.PathLike[str],
    topology: str | os.PathLike[str] | None = None,
    frame_interval: float | None = None,
    *,
    timed: bool = True,
    growing: bool = False,
) -> mdtraj.Trajectory:
    """Read a trajectory with the time of each frame in ps, which mdtraj does not take from DCD files.

    Args:
        path: any trajectory that mdtraj reads, or one of ASE (see ase_trajectory).
        topology: a PDB file (or other) with the atoms; formats that hold them need none.
        frame_interval: ps between frames, the first one included; None: from the file.
        timed: whether times are needed; if not, a file without them is read too, its frames numbered.
        growing: whether the file may still be written to, so that a last frame that is not whole is left out; if not,
            it is refused.

    Raises:
        FfptError: a file is missing, cut off, empty or of another system, or does not say its times.
    """
    path = Path(path)
    for needed in (path, topology):
        if needed is not None and not Path(needed).is_file():
            raise FfptError(f"there is no file {needed}")
    if frame_interval is not None and not frame_interval > 0:
        raise FfptError(f"frames cannot be {frame_interval:g} ps apart")
    top = None if topology is None or Path(topology) == path else Path(topology)
    if top is None and path.suffix not in HOLD_ATOMS:
        raise FfptError(f"{path} holds no atoms: give a topology (PDB) as well")
    if path.suffix == ".dcd" and not dcd_frames(path):
        raise FfptError(f"{path} has no frames")
    if not growing:
        check_end(path)
    try:
        with _quiet_stdout():
            trajectory = _read(path, top)
    except FfptError:
        raise
    # The readers of mdtraj raise whatever their parsing meets, IndexError and AssertionError included.
    except Exception as error:
        # HDF5 reports its whole stack of calls; the last line says what it could not do.
        reason = (str(error).strip().splitlines() or [type(error).__name__])[-1].strip()
        raise FfptError(f"cannot read the trajectory {path}: {reason}") from error
    if frame_interval is not None:
        trajectory.time = frame_interval * np.arange(1, len(trajectory) + 1)
    elif timed and path.suffix == ".dcd":
        trajectory.time = dcd_times(path, len(trajectory))
    elif timed and len(trajectory) > 1 and not _has_times(path):
        raise _without_times(path)
    return trajectory


def _read(path: Path, topology: Path | None) -> mdtraj.Trajectory:
    import mdtraj

    if path.suffix in ase_trajectories.SUFFIXES and (topology is None or path.suffix != ".xyz"):
        return ase_trajectories.ase_trajectory(path, topology)
    given = {} if path.suffix in _SELF_CONTAINED else {"top": mdtraj.load_topology(topology)}
    return mdtraj.load(path, **given)


def _has_times(path: Path) -> bool:
    import mdtraj

    if path.suffix not in _MAY_HOLD_TIMES:
        return path.suffix in _HOLD_TIMES
    with mdtraj.open(path) as stream:
        fields = stream.read(n_frames=1)
    # Named fields in HDF5; in the others times come after coordinates.
    times = fields.time if hasattr(fields, "time") else fields[1]
    return times is not None


def _without_times(path: Path) -> FfptError:
    return FfptError(
        f"{path} does not say when its frames were taken: give the time between frames in ps (--frame-interval)"
    )


@contextlib.contextmanager
def _quiet_stdout() -> Iterator[None]:
    """Send what C code prints to nowhere: mdtraj's DCD reader reports each file it opens on standard output."""
    try:
        original = os.dup(1)
    except OSError:
        # Standard output is closed: there is nothing to keep clean.
        yield
        return
    flush = ctypes.CDLL(None).fflush if os.name == "posix" else lambda _: 0
    sys.stdout.flush()
    flush(None)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 1)
        yield
    finally:
        flush(None)
        os.dup2(original, 1)
        os.close(original)


def with_box(trajectory: mdtraj.Trajectory, edges: Sequence[float]) -> mdtraj.Trajectory:
    """The trajectory in a right-angled box of constant size, for formats that hold none (XYZ).

    Args:
        trajectory: without a cell; one that has a cell is returned as it is.
        edges: one or three edges in Angstrom.

    Raises:
        FfptError: not one or three positive edges.
    """
    import mdtraj

    if trajectory.unitcell_vectors is not None:
        return trajectory
    if len(edges) not in (1, 3) or not all(np.isfinite(edge) and edge > 0 for edge in edges):
        raise FfptError("a box has one edge or three, in Angstrom, such as 12.43 or 12.4,12.4,18.6")
    shape = (len(trajectory), 3)
    return mdtraj.Trajectory(
        trajectory.xyz,
        trajectory.topology,
        time=trajectory.time,
        unitcell_lengths=np.broadcast_to(np.array(edges) / NANOMETRE, shape),
        unitcell_angles=np.full(shape, 90.0),
    )


def dcd_times(path: str | os.PathLike[str], n_frames: int) -> np.ndarray:
    """(n_frames,) times in ps by the header of a DCD file: first step, steps between frames, time step.

    Raises:
        FfptError: the header has no times (mdtraj and others write it without).
    """
    with open(path, "rb") as stream:
        header = stream.read(48)
    if len(header) < 48 or header[4:8] != b"CORD":
        raise FfptError(f"{path} is not a DCD file")
    order = "<" if struct.unpack("<i", header[:4])[0] == 84 else ">"
    first, interval = struct.unpack(f"{order}2i", header[12:20])
    step = struct.unpack(f"{order}f", header[44:48])[0] * AKMA
    # Writers that do not know the times leave a step of zero or of one unit, and frames one step apart from zero.
    if step <= 0 or interval < 1 or (first == 0 and np.isclose(step, AKMA)):
        raise _without_times(Path(path))
    return (first + interval * np.arange(n_frames)) * step


def dcd_frames(path: Path) -> int:
    """The number of frames by the header of a DCD file; 0 where not even that was written."""
    with open(path, "rb") as stream:
        header = stream.read(12)
    if len(header) < 12:
        return 0
    order = "<" if struct.unpack("<i", header[:4])[0] == 84 else ">"
    return int(struct.unpack(f"{order}i", header[8:12])[0])
