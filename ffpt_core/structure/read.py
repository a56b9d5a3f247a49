"""One geometry, or one topology, from a file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from ase import Atoms

from ffpt_core.base.errors import FfptError
from ffpt_core.base.units import NANOMETRE

if TYPE_CHECKING:
    from openmm.app import Topology


def read_geometry(path: str | os.PathLike[str]) -> Atoms:
    """One geometry (Angstrom): the last in any file that ASE reads, or the relaxed one of a teacher's folder.

    Raises:
        FfptError: there is no such file, or no geometry in it.
    """
    path = Path(path)
    return read_geometries(path / "relaxed.xyz" if path.is_dir() else path)[-1]


def read_geometries(path: str | os.PathLike[str]) -> list[Atoms]:
    """All geometries (Angstrom) of a file that ASE reads, one or more.

    Raises:
        FfptError: there is no such file, or no geometry in it.
    """
    import ase.io
    from ase.io.formats import UnknownFileTypeError

    try:
        found = cast("list[Atoms]", ase.io.read(Path(path), index=":"))  # a slice gives a list
    except (OSError, UnknownFileTypeError, ValueError, KeyError, IndexError, StopIteration) as error:
        reason = " ".join(str(getattr(error, "strerror", None) or error).split())
        raise FfptError(f"cannot read the structure {path}: {reason}") from error
    if not found:
        raise FfptError(f"cannot read the structure {path}: it holds none")
    return found


def read_topology(path: str | os.PathLike[str]) -> tuple[Topology, Atoms]:
    """Atoms, bonds, box and positions (Angstrom) of a PDB file; virtual sites have the atomic number 0.

    Raises:
        FfptError: there is no such file, or it is no PDB file.
    """
    from openmm.app import PDBFile

    try:
        file = PDBFile(os.fspath(path))
    except (OSError, ValueError, IndexError, KeyError) as error:
        raise FfptError(f"cannot read the topology {path}: {error}") from error
    numbers = [0 if atom.element is None else atom.element.atomic_number for atom in file.topology.atoms()]
    positions = np.asarray(file.getPositions(asNumpy=True)._value)
    return file.topology, Atoms(numbers, NANOMETRE * positions)
