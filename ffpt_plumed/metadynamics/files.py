"""The files of a PLUMED input in the folder of a run: those that it reads are copied, those that it writes cut back."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from ffpt_core.base.errors import FfptError
from ffpt_core.base.files import atomic_path
from ffpt_core.base.runs import cut_back


def copy_inputs(inputs: Mapping[str, Path], folder: Path) -> None:
    """Copy files that an input reads into a folder, under the names that the input has for them.

    Raises:
        FfptError: a folder within the folder; a file that cannot be copied; HILLS whose last line is not complete.
    """
    for name, path in inputs.items():
        if Path(name).name != name:
            raise FfptError(f"PLUMED input: {name} is read from another folder; put it beside the input")
        if path.stat().st_size and path.read_bytes()[-1:] != b"\n":
            raise FfptError(f"the last line of {path} is not complete (a run was killed there?): remove it")
        with atomic_path(folder / name) as temporary:
            shutil.copyfile(path, temporary)


def sizes_of(folder: Path, names: Iterable[str]) -> dict[str, int]:
    """Bytes of files, forced to disk; 0 where there is none."""
    sizes = {}
    for name in names:
        path, sizes[name] = folder / name, 0
        if path.is_file():
            with open(path, "rb") as stream:
                os.fsync(stream.fileno())
                sizes[name] = os.fstat(stream.fileno()).st_size
    return sizes


def cut_files_back(folder: Path, sizes: Mapping[str, int]) -> None:
    """Cut files back to what sizes_of returned.

    Raises:
        FfptError: as cut_back.
    """
    for name, size in sizes.items():
        cut_back(folder / name, size)
