"""Writing files so that a reader never meets half of one."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from ffpt_core.base.errors import FfptError


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary name beside path that becomes path when the block ends without an error.

    The parent folder is made. On an error the temporary file is removed and whatever stood at path
    before is untouched.

    Raises:
        FfptError: the folder cannot be written to, or the disk is full.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
        os.close(handle)
    except OSError as error:
        raise FfptError(f"cannot write {path}: {error.strerror or error}") from error
    temporary = Path(name)
    try:
        yield temporary
        with open(temporary, "rb") as stream:
            os.fsync(stream.fileno())
        # mkstemp makes the file private; give it the permissions that an ordinary open() would.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, path)
    except OSError as error:
        raise FfptError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str], mode: str = "w") -> Iterator[IO[Any]]:
    """Like ``open(path, mode)``, but the file appears whole or not at all. See atomic_path."""
    with atomic_path(path) as temporary, open(temporary, mode) as stream:
        yield stream
        stream.flush()


def _plain(value: Any) -> Any:
    """Numpy values as the plain ones that JSON knows."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def to_json(data: Any) -> str:
    """data as JSON text; numpy arrays and numbers become lists and plain numbers."""
    return json.dumps(data, indent=1, default=_plain) + "\n"


def write_json(path: str | os.PathLike[str], data: Any) -> None:
    """Write data as JSON, atomically."""
    with atomic_write(path) as stream:
        stream.write(to_json(data))


def read_json(path: str | os.PathLike[str]) -> Any:
    """Read a JSON file.

    Raises:
        FfptError: no such file, or it is not JSON.
    """
    try:
        return json.loads(Path(path).read_text())
    except OSError as error:
        raise FfptError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise FfptError(f"{path} is not a JSON file: {error}") from error


def fingerprint(*arrays: np.ndarray) -> str:
    """SHA-256 over the shapes, types and bytes of arrays, as hexadecimal text."""
    digest = hashlib.sha256()
    for array in arrays:
        array = np.ascontiguousarray(array)
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
