"""What an MD run recorded beside its trajectories: tables of energies, and the criterion of its stability."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from ffpt_core.analysis.criterion import StabilityCriterion
from ffpt_core.base.errors import FfptError
from ffpt_core.base.units import NANOMETRE
from ffpt_core.structure.ase_trajectories import load_first_frame


def count_atoms(topology: str | os.PathLike[str]) -> int:
    """Number of atoms in a PDB file."""
    import mdtraj

    if not Path(topology).is_file():
        raise FfptError(f"there is no file {topology}")
    return int(mdtraj.load_topology(topology).n_atoms)


def read_state(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """The columns of a table that OpenMM's StateDataReporter wrote, by name: (n_rows,) arrays in its units.

    A last line that a killed run left unfinished is ignored.

    Raises:
        FfptError: no such file, no rows, or not such a table.
    """
    try:
        with open(path, newline="") as stream:
            rows = list(csv.reader(stream))
    except OSError as error:
        raise FfptError(f"cannot read {path}: {error.strerror or error}") from error
    if not rows or not rows[0] or not rows[0][0].startswith("#"):
        raise FfptError(f"{path} is not a table of OpenMM's StateDataReporter: its first line must start with #")
    names = [name.lstrip("#").strip('"') for name in rows[0]]
    # A resumed run may have written its header again.
    body = [row for row in rows[1:] if row and not row[0].startswith("#")]
    body = body[:-1] if body and len(body[-1]) != len(names) else body
    wrong = next((number for number, row in enumerate(body, 2) if len(row) != len(names)), None)
    if wrong is not None:
        raise FfptError(f"{path}, row {wrong}: expected {len(names)} values")
    if not body:
        raise FfptError(f"{path} has no rows yet")
    table = np.array([[_number(cell) for cell in row] for row in body])
    return dict(zip(names, table.T, strict=True))


def _number(cell: str) -> float:
    """A cell's number; NaN for the columns that hold text, such as the speed before the first interval is over."""
    try:
        return float(cell)
    except ValueError:
        return float("nan")


def criterion_for(
    topology: str | os.PathLike[str], reference: Atoms | None = None, **settings: Any
) -> StabilityCriterion:
    """The stability criterion of the atoms and bonds of a PDB file.

    Args:
        topology: a PDB file, whose bonds (CONECT records) count where it has any, or a trajectory that holds atoms.
        reference: equilibrium geometry in Angstrom; None: the positions in the PDB file, as a run starts from them.
        settings: max_stretch, contact_factor, min_distance of StabilityCriterion.from_reference.

    Raises:
        FfptError: the file cannot be read, or the reference has other atoms.
    """
    frame = load_first_frame(topology)
    if reference is None:
        cell = None if frame.unitcell_vectors is None else NANOMETRE * frame.unitcell_vectors[0]
        numbers = [atom.element.atomic_number for atom in frame.topology.atoms]
        reference = Atoms(numbers, positions=NANOMETRE * frame.xyz[0], cell=cell, pbc=cell is not None)
    if len(reference) != frame.n_atoms:
        raise FfptError(f"the reference geometry has {len(reference)} atoms and {topology} {frame.n_atoms}")
    bonds = [(bond[0].index, bond[1].index) for bond in frame.topology.bonds]
    return StabilityCriterion.from_reference(reference, bonds or None, **settings)
