"""DCD trajectories that a killed run can continue, and cutting a file back to a number of frames."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ffpt_core.base.errors import FfptError
from ffpt_core.base.runs import cut_back

if TYPE_CHECKING:
    from openmm.app import Topology

_N_FRAMES, _FIRST, _INTERVAL, _LAST = 8, 12, 16, 20
"""Byte offsets in the header: number of frames, first step, steps between frames, last step (int32 each)."""


class DCDTrajectory:
    """Writes positions as they are (not wrapped into the box); unlike OpenMM's reporter it can be forced to disk.

    Args:
        path: the file.
        topology: the atoms.
        timestep: ps.
        interval: steps between frames; the first frame is at step interval.
        frames: continue behind this many frames of an existing file (see truncate); 0: a new file.
    """

    def __init__(
        self, path: str | os.PathLike[str], topology: Topology, timestep: float, interval: int, frames: int = 0
    ) -> None:
        from openmm.app import DCDFile

        self._stream = open(path, "r+b" if frames else "w+b")  # noqa: SIM115 (see close)
        self._dcd = DCDFile(self._stream, topology, timestep, interval, interval, append=frames > 0)

    def append(self, positions: np.ndarray, box: np.ndarray | None = None) -> None:
        """Append a frame: (n_atoms, 3) nm, and (3, 3) box vectors of a periodic topology."""
        self._dcd.writeModel(positions, periodicBoxVectors=box)

    def sync(self) -> int:
        """Force what was written to disk; returns the size of the file in bytes."""
        self._stream.flush()
        os.fsync(self._stream.fileno())
        return os.fstat(self._stream.fileno()).st_size

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


def truncate(path: str | os.PathLike[str], size: int, frames: int) -> None:
    """Cut a DCD file back to its first frames.

    Args:
        path: the file.
        size: its size in bytes when it held these frames.
        frames: their number.

    Raises:
        FfptError: the file is shorter than that, or missing.
    """
    cut_back(path, size)
    try:
        with open(path, "r+b") as stream:
            stream.seek(_FIRST)
            first, interval = struct.unpack("<2i", stream.read(8))
            stream.seek(_N_FRAMES)
            stream.write(struct.pack("<i", frames))
            stream.seek(_LAST)
            # What OpenMM writes there: 0 before the first frame.
            stream.write(struct.pack("<i", first + (frames - 1) * interval if frames else 0))
    except OSError as error:
        raise FfptError(f"cannot continue {path}: {error.strerror or error}") from error


def to_hdf5(path: str | os.PathLike[str], topology: str | os.PathLike[str], interval: float) -> Path:
    """Replace a DCD file by an HDF5 file of mdtraj (nm, ps) of the same name; returns its path.

    Args:
        path: the DCD file.
        topology: a PDB file of its atoms.
        interval: ps between frames, the first frame being at that time.

    Raises:
        FfptError: PyTables is missing, or the file cannot be written.
    """
    import mdtraj

    from ffpt_core.base.files import atomic_path

    path = Path(path)
    try:
        import tables  # noqa: F401
    except ImportError as error:
        raise FfptError('HDF5 trajectories need PyTables: pip install "ffpt[hdf5]"') from error
    target, start = path.with_suffix(".h5"), 0
    with atomic_path(target) as temporary:
        temporary.unlink()
        with mdtraj.formats.HDF5TrajectoryFile(str(temporary), "w") as file:
            for chunk in mdtraj.iterload(str(path), top=str(topology), chunk=10_000):
                times = interval * np.arange(start + 1, start + 1 + len(chunk))
                boxes = {"cell_lengths": chunk.unitcell_lengths, "cell_angles": chunk.unitcell_angles}
                file.write(coordinates=chunk.xyz, time=times, **boxes)
                start += len(chunk)
            file.topology = mdtraj.load_topology(str(topology))
    path.unlink()
    return target
