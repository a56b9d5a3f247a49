"""Teachers that come with ffpt, parameters included: no RDKit and no AmberTools needed."""

from __future__ import annotations

import os
from pathlib import Path

from ffpt_core.errors import FfptError
from ffpt_core.teachers.teacher import Teacher

_DATA = Path(__file__).parent / "data"

BUILT_IN: tuple[str, ...] = ("aspirin",)
"""Names of the built-in teachers."""


def built_in(name: str) -> Teacher:
    """A built-in teacher by name.

    Raises:
        FfptError: no such teacher.
    """
    if name not in BUILT_IN:
        raise FfptError(f"no built-in teacher {name!r}; there is {', '.join(BUILT_IN)}")
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


def aspirin() -> Teacher:
    """Aspirin with GAFF-2.11 and AM1-BCC charges; atom order of MD17, rMD17 and the sGDML CCSD data."""
    return built_in("aspirin")
