"""Trajectories of ASE (.traj, extended XYZ of many frames) as mdtraj has trajectories."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms

from ffpt_core.base.errors import FfptError
from ffpt_core.base.units import NANOMETRE
from ffpt_core.structure.graph import find_bonds
from ffpt_core.structure.read import read_geometries

if TYPE_CHECKING:
    import mdtraj

SUFFIXES = (".traj", ".extxyz", ".xyz")
"""Suffixes of such files."""


def ase_trajectory(path: str | os.PathLike[str], topology: str | os.PathLike[str] | None = None) -> mdtraj.Trajectory:
    """All frames of a file, in nm; they have no times, and are numbered.

    Args:
        path: the file.
        topology: a PDB file with the atoms and bonds; None: as such files list no bonds, they are those of the first
            frame, pairs closer than find_bonds allows.

    Raises:
        FfptError: the file cannot be read; frames of different atoms, or with a cell in some frames or directions only.
    """
    import mdtraj

    frames = read_geometries(path)
    first = frames[0]
    for index, atoms in enumerate(frames):
        if not np.array_equal(atoms.numbers, first.numbers):
            raise FfptError(f"frame {index} of {path} has other atoms than the first: a trajectory is of one system")
        if (atoms.pbc != first.pbc.all()).any():
            raise FfptError(f"frame {index} of {path} is periodic in some directions only, or unlike the first frame")
    top = _topology(first) if topology is None else mdtraj.load_topology(topology)
    trajectory = mdtraj.Trajectory(np.array([atoms.positions for atoms in frames]) / NANOMETRE, top)
    if first.pbc.all():
        trajectory.unitcell_vectors = np.array([atoms.cell.array for atoms in frames]) / NANOMETRE
    return trajectory


def load_first_frame(topology: str | os.PathLike[str]) -> mdtraj.Trajectory:
    """The atoms, bonds and first positions of a PDB file, or of a trajectory that holds atoms; nm.

    Raises:
        FfptError: there is no such file, or it cannot be read.
    """
    import mdtraj

    if not Path(topology).is_file():
        raise FfptError(f"there is no file {topology}")
    if Path(topology).suffix in SUFFIXES:
        return ase_trajectory(topology)[0]
    try:
        return mdtraj.load(topology)[0]
    except (OSError, ValueError, RuntimeError) as error:
        raise FfptError(f"cannot read the topology {topology}: {error}") from error


def _topology(atoms: Atoms) -> mdtraj.Topology:
    """Atoms and bonds of a geometry, all in one residue."""
    import mdtraj
    from mdtraj.core.element import Element

    topology = mdtraj.Topology()
    residue = topology.add_residue("MOL", topology.add_chain())
    added = [
        topology.add_atom(f"{symbol}{index}", Element.getBySymbol(symbol), residue)
        for index, symbol in enumerate(atoms.symbols)
    ]
    for one, other in find_bonds(atoms):
        topology.add_bond(added[one], added[other])
    return topology
