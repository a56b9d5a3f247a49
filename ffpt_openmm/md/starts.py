"""The geometries that replicas start from."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms

from ffpt_core.base.errors import FfptError
from ffpt_core.base.files import fingerprint, read_json
from ffpt_core.base.units import NANOMETRE, PICOSECOND
from ffpt_core.datasets.run_folders import FORMAT, RunFiles, read_run
from ffpt_core.structure.graph import find_bonds
from ffpt_core.structure.periodic import make_whole
from ffpt_core.structure.read import read_geometry

if TYPE_CHECKING:
    from openmm.app import Topology

_ROUNDING = 0.01
"""Angstrom, by which the cells of a PDB file and of a structure may differ."""


def starts_of(topology: Topology, structures: Sequence[Atoms], own_cells: bool = False) -> list[Atoms]:
    """Starting geometries, checked against a topology, with its box, their molecules whole.

    Args:
        topology: the atoms; a box makes the run periodic.
        structures: Angstrom; their own cells, where they have one, are more exact than that of a PDB file.
        own_cells: they may also be other cells, as in frames at constant pressure.

    Raises:
        FfptError: other atoms than those of the topology, coordinates that are not finite, a cell that the topology
            does not have, or another one.
    """
    elements = [atom.element for atom in topology.atoms()]
    if None in elements:
        raise FfptError(f"atom {elements.index(None)} of the topology has no element")
    numbers = [element.atomic_number for element in elements]
    vectors = topology.getPeriodicBoxVectors()
    box = None if vectors is None else np.array([list(vector) for vector in vectors._value]) * NANOMETRE
    bonds = np.array([(bond[0].index, bond[1].index) for bond in topology.bonds()], dtype=int).reshape(-1, 2)
    starts = []
    for structure in structures:
        check_atoms(numbers, structure, "starting geometry")
        if not np.isfinite(structure.positions).all():
            raise FfptError("the starting geometry has coordinates that are not finite")
        atoms = Atoms(
            structure.numbers, structure.positions, cell=_cell(structure, box, own_cells), pbc=box is not None
        )
        if box is not None:
            joined = bonds if len(bonds) else find_bonds(atoms)
            atoms.positions = make_whole(atoms.positions, atoms.cell.array, joined)
        starts.append(atoms)
    return starts


def check_atoms(numbers: list[int], atoms: Atoms, name: str) -> None:
    """Refuse atoms that are not those of the topology."""
    if atoms.numbers.tolist() != numbers:
        raise FfptError(
            f"the topology has {len(numbers)} atoms and the {name} {len(atoms)}, or their elements differ in order"
        )


def _cell(structure: Atoms, box: np.ndarray | None, own_cells: bool) -> np.ndarray | None:
    if not structure.pbc.any():
        return box
    if box is None:
        raise FfptError(
            "the starting geometry has a cell, but the topology has none: give a PDB file with a CRYST1 record, "
            "or a geometry without a cell"
        )
    own = structure.cell.array
    if not own_cells and np.abs(own - box).max() > _ROUNDING:
        raise FfptError(
            f"the cell of the starting geometry ({_lengths(own)} Angstrom) is not that of the topology "
            f"({_lengths(box)} Angstrom)"
        )
    return own


def _lengths(cell: np.ndarray) -> str:
    return " x ".join(f"{length:.3f}" for length in np.linalg.norm(cell, axis=1))


def fingerprint_of(starts: Sequence[Atoms]) -> str:
    """A fingerprint of starting geometries, atoms and cells included."""
    return fingerprint(*(array for atoms in starts for array in (atoms.numbers, atoms.positions, np.array(atoms.cell))))


def frames_of_run(run: str | os.PathLike[str], every: float = 20.0) -> tuple[list[Atoms], Atoms]:
    """Frames of the trajectories of another run, to start replicas from: one after the other.

    Positions and velocities are independent in the canonical ensemble, so frames of a thermostatted run with new
    thermal velocities are samples of it.

    Args:
        run: its folder.
        every: ps between frames, and before the first.

    Returns:
        The frames, and the geometry whose bond lengths were the reference of that run; Angstrom.

    Raises:
        FfptError: not the folder of a run, no frame at these times, or a trajectory that cannot be read.
    """
    folder = RunFiles(run)
    record = read_json(folder.record) if folder.record.is_file() else None
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise FfptError(f"{folder.path} is not the folder of a run of ffpt md")
    settings, reference = record["settings"], read_geometry(folder.reference)
    stride = round(PICOSECOND * every / settings["interval"])
    if stride < 1 or abs(stride * settings["interval"] - PICOSECOND * every) > 1e-6 * PICOSECOND * every:
        raise FfptError(f"{folder.path} has a frame each {settings['interval']:g} fs: {every:g} ps is between them")
    frames: list[Atoms] = []
    for replica in read_run(folder.path):
        if replica.status == "failed" or not replica.has_frames:
            continue
        loaded = replica.load(timed=False)[stride - 1 :: stride]
        for index, positions in enumerate(loaded.xyz):
            atoms = reference.copy()
            atoms.positions = positions.astype(float) * NANOMETRE
            if settings.get("pressure") is not None:  # otherwise the cell of the reference is exact
                atoms.cell = loaded.unitcell_vectors[index].astype(float) * NANOMETRE
            frames.append(atoms)
    if not frames:
        raise FfptError(f"{folder.path} has no frames {every:g} ps apart: its replicas are shorter, or failed")
    return frames, reference
