"""One molecule from whatever names it: a SMILES, a file, a teacher."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from ase import Atoms

from ffpt_core.base.errors import FfptError
from ffpt_core.structure.read import read_geometry
from ffpt_core.teachers import BUILT_IN, Teacher, load_teacher


def molecule_of(source: Atoms | Teacher | str | os.PathLike[str]) -> tuple[Atoms, np.ndarray | None]:
    """Geometry and bonds of a molecule.

    Args:
        source: a geometry; a teacher, its folder or its name; a file that ASE reads; or a SMILES, whose geometry is
            RDKit's, relaxed with MMFF or UFF.

    Returns:
        Atoms in Angstrom, and their bonds, (n_bonds, 2) atom indices, where the source knows them.

    Raises:
        FfptError: nothing of all this.
    """
    if isinstance(source, Atoms):
        return source, None
    if isinstance(source, Teacher):
        return source.atoms, source.bonds
    name = os.fspath(source)
    if Path(name).is_file():
        return read_geometry(Path(name)), None
    if Path(name).is_dir() or name in BUILT_IN:
        teacher = load_teacher(name)
        return teacher.atoms, teacher.bonds
    if isinstance(source, os.PathLike) or Path(name).suffix.lower() in (".xyz", ".extxyz", ".pdb", ".sdf", ".mol"):
        raise FfptError(f"there is no file {name}")
    return _from_smiles(name)


def _from_smiles(smiles: str) -> tuple[Atoms, np.ndarray]:
    from ffpt_core.teachers.gaff.molecules import conformer_positions, embedded, from_smiles

    try:
        molecule = embedded(from_smiles(smiles), conformers=10, seed=1)
    except FfptError as error:
        raise FfptError(f"{smiles!r} is no file, no teacher and no molecule: {error}") from error
    numbers = [atom.GetAtomicNum() for atom in molecule.GetAtoms()]
    bonds = sorted(tuple(sorted((bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()))) for bond in molecule.GetBonds())
    return Atoms(numbers, conformer_positions(molecule)[0]), np.array(bonds, dtype=np.int64).reshape(-1, 2)
