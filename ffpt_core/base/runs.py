"""The finished parts of unfinished work, in a folder beside its output, from which the same command goes on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ffpt_core.base.errors import FfptError
from ffpt_core.base.files import read_json, write_json


def parts_folder(output: str | os.PathLike[str]) -> Path:
    """Where the finished parts of an unfinished output lie."""
    return Path(f"{os.fspath(output)}.parts")


def open_parts(folder: Path, identity: dict[str, Any]) -> None:
    """Make the folder of parts, or make sure that it belongs to this work.

    Args:
        folder: of the parts.
        identity: what the parts depend on, as JSON values.

    Raises:
        FfptError: the folder holds parts of something else; the message names what differs.
    """
    path = folder / "input.json"
    if not path.is_file():
        if folder.is_dir() and any(folder.glob("*.npz")):
            raise FfptError(f"{folder} holds files of something else: remove it or choose another output")
        write_json(path, identity)
        return
    found = read_json(path)
    if found != identity:
        found = found if isinstance(found, dict) else {}
        keys = [key for key in identity if found.get(key) != identity[key]]
        raise FfptError(
            f"{folder} is the unfinished work of another input (its {' and '.join(keys)} differ): "
            "remove it or choose another output"
        )
