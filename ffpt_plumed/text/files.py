"""The files that a PLUMED input names: those that PLUMED writes, and those that it reads."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ffpt_core.base.errors import FfptError
from ffpt_core.base.files import atomic_path
from ffpt_plumed.text.script import Action, parse_script, split_values

_DEPOSITS = {"METAD": "HILLS", "PBMETAD": None, "OPES_METAD": "KERNELS", "OPES_METAD_EXPLORE": "KERNELS"}
"""Actions that read their FILE in a restart, and its default name."""

_READERS = ("EXTERNAL", "READ", "INCLUDE")
"""Actions whose FILE is read only."""

_REWRITTEN = ("GRID_WFILE", "STATE_WFILE")


@dataclass(frozen=True)
class Outputs:
    """Names of the files that PLUMED writes.

    Args:
        appended: line after line, such as COLVAR and HILLS.
        rewritten: as a whole, such as grids.
    """

    appended: tuple[str, ...]
    rewritten: tuple[str, ...]

    @property
    def all(self) -> tuple[str, ...]:
        """Of both kinds."""
        return self.appended + self.rewritten


def outputs_of(script: str) -> Outputs:
    """The files that an input writes.

    Raises:
        FfptError: the input cannot be parsed; a file outside of the folder of the run.
    """
    appended: dict[str, None] = {}
    rewritten: dict[str, None] = {}
    for action in parse_script(script):
        if action.name in _DEPOSITS:
            appended.update(dict.fromkeys(_deposits_of(action)))
        elif action.name not in _READERS:
            appended.update(dict.fromkeys(split_values(action.keywords.get("FILE", ""))))
        for key in _REWRITTEN:
            rewritten.update(dict.fromkeys(split_values(action.keywords.get(key, ""))))
    for name in (*appended, *rewritten):
        if Path(name).name != name:
            raise FfptError(f"PLUMED input: {name} is written to another folder; name a file without a folder")
    return Outputs(tuple(appended), tuple(rewritten))


def inputs_of(script: str, folder: str | os.PathLike[str]) -> dict[str, Path]:
    """The files that an input reads, as far as they are in a folder: names in the input, and paths.

    HILLS and the like are among them where the input asks for a restart.
    """
    actions = parse_script(script)
    written = set(outputs_of(script).all)
    continued = {name for action in actions if _continues(action, actions) for name in _deposits_of(action)}
    words = {
        word for action in actions for value in action.keywords.values() for word in split_values(value)
    } | continued
    found = {}
    for word in sorted(words - (written - continued)):
        path = Path(folder, word).resolve()
        if path.is_file():
            found[word] = path
    return found


def _continues(action: Action, actions: Iterable[Action]) -> bool:
    own = action.keywords.get("RESTART", "AUTO").upper()
    everywhere = any(other.name == "RESTART" and "NO" not in other.flags for other in actions)
    return own == "YES" or (own == "AUTO" and everywhere)


def _deposits_of(action: Action) -> tuple[str, ...]:
    if action.name not in _DEPOSITS:
        return ()
    return tuple(split_values(action.keywords.get("FILE", _DEPOSITS[action.name] or "")))


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


def cut_back(folder: Path, sizes: Mapping[str, int]) -> None:
    """Cut files back to sizes; those of size 0 are removed.

    Raises:
        FfptError: a file is shorter than that, or missing.
    """
    for name, size in sizes.items():
        path = folder / name
        if not size:
            path.unlink(missing_ok=True)
            continue
        if not path.is_file() or path.stat().st_size < size:
            raise FfptError(f"{path} is shorter than at its last checkpoint: it was changed, the run cannot continue")
        os.truncate(path, size)
