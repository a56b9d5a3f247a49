"""Teachers that come with ffpt, parameters included: no RDKit and no AmberTools needed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ffpt_core.base.errors import FfptError
from ffpt_core.teachers.qforce.species import SPECIES
from ffpt_core.teachers.qforce.species_teachers import species_teacher
from ffpt_core.teachers.teacher import Teacher

_DATA = Path(__file__).parent / "data"

BUILT_IN: tuple[str, ...] = ("aspirin", *SPECIES)
"""Names of the built-in teachers: aspirin (GAFF), and the species of hydrogen combustion (Q-Force)."""


def built_in(name: str) -> Teacher:
    """A built-in teacher by name.

    Raises:
        FfptError: no such teacher.
    """
    if name not in BUILT_IN:
        raise FfptError(f"no built-in teacher {name!r}; there are {', '.join(BUILT_IN)}")
    if name in SPECIES:
        return species_teacher(name)
    return Teacher.load(_DATA / name)


def load_teacher(name: str | os.PathLike[str]) -> Teacher:
    """The teacher in a folder, or a built-in one by name where there is no such folder.

    Raises:
        FfptError: neither, or the folder is damaged.
    """
    folder = Path(name)
    if folder.is_dir():
        return Teacher.load(folder)
    if os.fspath(name) in BUILT_IN:
        return built_in(os.fspath(name))
    raise FfptError(f"{name} is neither the folder of a teacher nor a built-in one ({', '.join(BUILT_IN)})")


def load_teachers(names: Sequence[str]) -> dict[str, Teacher]:
    """Teachers by name: of folders, of folders of such folders, and built-in ones.

    Raises:
        FfptError: as load_teacher; a folder without any; or two teachers of one name.
    """
    found: dict[str, Teacher] = {}
    for name in names:
        folder = Path(name)
        inner = sorted(path.parent for path in folder.glob("*/teacher.json"))
        several = folder.is_dir() and not (folder / "teacher.json").is_file() and inner
        for one in inner if several else [name]:
            teacher = load_teacher(one)
            label = str(teacher.record.get("name", Path(one).name))
            if label in found:
                raise FfptError(f"two of the teachers are called {label}")
            found[label] = teacher
    return found


def aspirin() -> Teacher:
    """Aspirin with GAFF-2.11 and AM1-BCC charges; atom order of MD17, rMD17 and the sGDML CCSD data."""
    return built_in("aspirin")


def open_teacher(name: str, arguments: dict[str, Any], device: object = None) -> Teacher:
    """The opener of teachers for ffpt_core.potentials.sources.open_potential.

    Raises:
        FfptError: as load_teacher; or arguments, of which teachers take none.
    """
    if arguments:
        raise FfptError(f"a teacher takes no {' or '.join(arguments)}")
    return load_teacher(name)
