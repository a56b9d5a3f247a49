"""Work that a killed process leaves and the same command goes on with: whose it is, who holds it, what is finished.

A file of such work is one of two kinds. A part is written at once when it is finished, and read again or not at all.
A file that grows (a trajectory, a table) is cut back to the size that it had at the last checkpoint.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import zipfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ffpt_core.base.errors import FfptError
from ffpt_core.base.files import atomic_path, read_json, write_json

_DAMAGED = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)
"""What numpy raises for an npz file that is not whole."""


@contextlib.contextmanager
def locked(folder: str | os.PathLike[str], name: str = "", what: str = "") -> Iterator[None]:
    """Hold a folder, or a part of its work, so that no other process works on it at the same time.

    The lock ends with the process that holds it, however that ends. The folder is made.

    Args:
        folder: where the lock file lies.
        name: which lock of the folder, where its work has several; the file is ``.lock`` or ``.lock-NAME``.
        what: what is held, for the message; the folder where it is empty.

    Raises:
        FfptError: another process holds it; the folder cannot be written to.
    """
    import fcntl

    path = Path(folder) / (f".lock-{name}" if name else ".lock")
    with contextlib.ExitStack() as stack:
        try:
            held = False
            while not held:
                path.parent.mkdir(parents=True, exist_ok=True)
                stream = stack.enter_context(open(path, "w"))
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Whoever held it before may have removed the folder after this file was opened.
                held = path.exists() and os.path.samestat(os.fstat(stream.fileno()), path.stat())
        except BlockingIOError:
            raise FfptError(f"{what or folder} is being run by another process") from None
        except OSError as error:
            raise FfptError(f"cannot write to {folder}: {error.strerror or error}") from error
        yield


def differences(before: Mapping[str, Any], now: Mapping[str, Any], may_grow: Collection[str] = ()) -> list[str]:
    """The keys, with a dot between levels, whose values in now are not those in before.

    Args:
        before: what a record says, JSON values.
        now: what it would say today, JSON values; keys that only the record has do not count.
        may_grow: keys whose value may have become greater.
    """
    found = []
    for key, value in now.items():
        old = before.get(key)
        if isinstance(value, Mapping) and isinstance(old, Mapping):
            found += [f"{key}.{inner}" for inner in differences(old, value)]
        elif old != value and not (key in may_grow and old is not None and value > old):
            found.append(key)
    return found


def cut_back(path: str | os.PathLike[str], size: int) -> None:
    """Cut a file that grows back to its size at a checkpoint; one that was empty then is removed.

    Args:
        path: the file.
        size: bytes; what lies behind them was written after the checkpoint.

    Raises:
        FfptError: the file is shorter than that, or missing; it cannot be changed.
    """
    path = Path(path)
    try:
        if not size:
            path.unlink(missing_ok=True)
        elif not path.is_file() or path.stat().st_size < size:
            raise FfptError(f"{path} is shorter than at its last checkpoint: it was changed, the run cannot continue")
        else:
            os.truncate(path, size)
    except OSError as error:
        raise FfptError(f"cannot continue {path}: {error.strerror or error}") from error


class Parts:
    """The finished parts of an unfinished output, in a folder beside it: OUTPUT.parts.

    Args:
        output: the file or folder that is made from them.
    """

    def __init__(self, output: str | os.PathLike[str]) -> None:
        self.folder = Path(f"{os.fspath(output)}.parts")
        self._identity = self.folder / "input.json"

    @property
    def begun(self) -> bool:
        """Whether there is unfinished work."""
        return self._identity.is_file()

    @property
    def identity(self) -> Any:
        """What they depend on, as claim has written it; None where nothing was begun."""
        return read_json(self._identity) if self.begun else None

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold them while the block runs; nothing is left of a folder in which no work was begun.

        Raises:
            FfptError: another process holds them; the folder cannot be written to.
        """
        with locked(self.folder, what=os.fspath(self.folder).removesuffix(".parts")):
            try:
                yield
            finally:
                if self.folder.is_dir() and [path.name for path in self.folder.iterdir()] == [".lock"]:
                    self.remove()

    def claim(self, identity: dict[str, Any]) -> None:
        """Begin the work, or make sure that what was begun is this work.

        Args:
            identity: what the parts depend on, as JSON values.

        Raises:
            FfptError: they belong to something else; the message names what differs.
        """
        if not self.begun:
            if self.folder.is_dir() and any(self.folder.glob("*.npz")):
                raise FfptError(f"{self.folder} holds files of something else: remove it or choose another output")
            write_json(self._identity, identity)
            return
        found = self.identity
        keys = differences(found if isinstance(found, dict) else {}, identity)
        if keys:
            raise FfptError(
                f"{self.folder} is the unfinished work of another input (its {' and '.join(keys)} differ): "
                "remove it or choose another output"
            )

    def read(self, name: str, *arrays: str) -> dict[str, np.ndarray] | None:
        """The arrays of a part, or None: not there, or damaged by something else than us, and to be made again."""
        path = self.folder / f"{name}.npz"
        if not path.is_file():
            return None
        try:
            with np.load(path, allow_pickle=False) as saved:
                return {array: saved[array] for array in arrays}
        except _DAMAGED:
            return None

    def write(self, name: str, **arrays: np.ndarray) -> None:
        """Write a part, whole or not at all.

        Raises:
            FfptError: it cannot be written.
        """
        with atomic_path(self.folder / f"{name}.npz") as temporary:
            np.savez(temporary, **arrays)  # type: ignore[arg-type]  # numpy's stubs: a keyword could be allow_pickle

    def remove(self) -> None:
        """Remove them: the output is written."""
        shutil.rmtree(self.folder, ignore_errors=True)
