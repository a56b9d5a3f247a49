"""Trajectories of molecular dynamics, whatever mdtraj reads, as frames without labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ffpt_core.base.errors import FfptError
from ffpt_core.base.units import NANOMETRE
from ffpt_core.datasets.dataset import Dataset
from ffpt_core.datasets.formats.format import SELECTION, Format
from ffpt_core.datasets.options import ReadOptions
from ffpt_core.structure.trajectory_files import load_trajectory

if TYPE_CHECKING:
    import mdtraj


def trajectory_dataset(trajectory: mdtraj.Trajectory, replica: str = "") -> Dataset:
    """The frames of a trajectory, positions and cells in Angstrom and double precision.

    Args:
        trajectory: mdtraj's, in nm.
        replica: label of all its frames in the group "replica"; "": no such group.

    Raises:
        FfptError: an atom without an element (a virtual site); coordinates that are not finite.
    """
    numbers = np.array([atom.element.atomic_number if atom.element else 0 for atom in trajectory.topology.atoms])
    if len(numbers) and numbers.min() < 1:
        atom = trajectory.topology.atom(int(numbers.argmin()))
        raise FfptError(f"the topology does not say which element atom {atom.index} ({atom}) is")
    frames, atoms = len(trajectory), len(numbers)
    vectors = trajectory.unitcell_vectors
    return Dataset(
        numbers=np.tile(numbers, frames),
        offsets=atoms * np.arange(frames + 1),
        positions=NANOMETRE * trajectory.xyz.astype(np.float64).reshape(-1, 3),
        cells=np.zeros((frames, 3, 3)) if vectors is None else NANOMETRE * vectors.astype(np.float64),
        pbc=np.full((frames, 3), vectors is not None),
        groups={"replica": np.full(frames, replica)} if replica else {},
    )


def read(path: Path, options: ReadOptions) -> Dataset:
    """The frames of a trajectory file; options.topology names the atoms where the file does not.

    Raises:
        FfptError: as load_trajectory and trajectory_dataset.
    """
    return trajectory_dataset(load_trajectory(path, options.topology, timed=False)[options.frames])


FORMAT = Format(
    name="trajectory",
    what="a trajectory that mdtraj reads",
    suffixes=(".dcd", ".xtc", ".trr", ".h5", ".hdf5", ".nc", ".ncdf", ".netcdf", ".pdb", ".gro"),
    read=read,
    sniff=Path.is_file,
    takes=SELECTION | {"topology"},
)
