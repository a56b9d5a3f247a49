"""Teachers by name: those that come with ffpt, parameters included, and folders of others."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ffpt_core.base.errors import FfptError
from ffpt_core.base.registry import Registry
from ffpt_core.teachers.qforce.species import SPECIES
from ffpt_core.teachers.qforce.species_teachers import species_teacher
from ffpt_core.teachers.teacher import Teacher

_DATA = Path(__file__).parent / "data"


TEACHERS: Registry[Callable[[], Teacher]] = Registry("ffpt.teachers", "built-in teacher", {})
"""Functions that make a teacher, of packages that add theirs. Ours are the folders in data/, and the species."""


BUILT_IN: tuple[str, ...] = (*sorted(path.parent.name for path in _DATA.glob("*/teacher.json")), *SPECIES)
"""Names of those that come with ffpt: aspirin (GAFF), and the species of hydrogen combustion (Q-Force)."""


def built_in_names() -> tuple[str, ...]:
    """Names of the built-in teachers, and of those that other packages add."""
    return (*BUILT_IN, *TEACHERS.names())


def built_in(name: str) -> Teacher:
    """A built-in teacher by name.

    Raises:
        FfptError: no such teacher.
    """
    if name not in built_in_names():
        raise FfptError(f"no built-in teacher {name!r}; there are {', '.join(built_in_names())}")
    if name in SPECIES:
        return species_teacher(name)
    return TEACHERS.get(name)() if name in TEACHERS.names() else Teacher.load(_DATA / name)


def aspirin() -> Teacher:
    """Aspirin with GAFF-2.11 and AM1-BCC charges; atom order of MD17, rMD17 and the sGDML CCSD data."""
    return built_in("aspirin")


def load_teacher(name: str | os.PathLike[str]) -> Teacher:
    """The teacher in a folder, or a built-in one by name where there is no such folder.

    Raises:
        FfptError: neither, or the folder is damaged.
    """
    folder = Path(name)
    if folder.is_dir():
        return Teacher.load(folder)
    if os.fspath(name) in built_in_names():
        return built_in(os.fspath(name))
    raise FfptError(f"{name} is neither the folder of a teacher nor a built-in one ({', '.join(built_in_names())})")


def open_teacher(name: str, arguments: dict[str, Any], device: object = None) -> Teacher:
    """A teacher as ffpt_core.potentials.sources opens it: ``teacher:FOLDER``, or a built-in one by name.

    Raises:
        FfptError: as load_teacher; arguments, of which it takes none.
    """
    if arguments:
        raise FfptError(f"the teacher {name} takes no {' or '.join(arguments)}")
    return load_teacher(name)


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
            label = str(teacher.provenance.get("name", Path(one).name))
            if label in found:
                raise FfptError(f"two of the teachers are called {label}")
            found[label] = teacher
    return found
