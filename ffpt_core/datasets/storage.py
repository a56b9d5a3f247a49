"""Our own data set file: a plain npz that ``numpy.load`` reads without us.

========= =================== ================= ============================================================
key       shape               type              meaning
========= =================== ================= ============================================================
record    ()                  str               JSON: format, version, level, units, precision, frames, atoms
numbers   (n_atoms_total,)    uint8             atomic numbers
n_atoms   (n_frames,)         int32             atoms of each frame
positions (n_atoms_total, 3)  float64 or 32     Angstrom
energies  (n_frames,)         float64           eV; absent where unlabelled
forces    (n_atoms_total, 3)  float64 or 32     eV/Angstrom; absent where unlabelled
cells     (n_frames, 3, 3)    float64           Angstrom; absent where no frame has a cell or is periodic
pbc       (n_frames, 3)       bool              absent with cells
group_X   (n_frames,)         str               Dataset.groups["X"]; any number of them
========= =================== ================= ============================================================

Energies always keep 64 bits: 32 would round the total energy of aspirin (-17,592 eV) to 2 meV.
"""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ffpt_core.base.errors import FfptError
from ffpt_core.base.files import atomic_write
from ffpt_core.datasets.validation import given_away

FORMAT = "ffpt-dataset"
VERSION = 1
UNITS = {"positions": "Angstrom", "energies": "eV", "forces": "eV/Angstrom", "cells": "Angstrom"}
"""Of the fields of a data set."""

STORED_KEYS = ("record", "numbers", "n_atoms", "positions", "energies", "forces", "cells", "pbc")
GROUP_PREFIX = "group_"
PRECISIONS = ("float64", "float32")


def save(
    path: str | os.PathLike[str],
    arrays: Mapping[str, Any],
    groups: Mapping[str, np.ndarray],
    level: str,
    compressed: bool = True,
    precision: str = "float64",
) -> None:
    """Write the fields of a Dataset to path, atomically; see Dataset.save."""
    if precision not in PRECISIONS:
        raise FfptError(f"precision {precision!r} is not one of {', '.join(PRECISIONS)}")
    n_atoms = np.diff(arrays["offsets"])
    record = {
        "format": FORMAT,
        "version": VERSION,
        "level": level,
        "units": UNITS,
        "precision": precision,
        "frames": len(n_atoms),
        "atoms": len(arrays["numbers"]),
    }
    stored: dict[str, Any] = {
        "record": np.array(json.dumps(record)),
        "numbers": arrays["numbers"].astype(np.uint8),
        "n_atoms": n_atoms.astype(np.int32),
        "positions": arrays["positions"].astype(precision, copy=False),
    }
    if arrays["energies"] is not None:
        stored["energies"] = arrays["energies"]
    if arrays["forces"] is not None:
        stored["forces"] = arrays["forces"].astype(precision, copy=False)
    if arrays["pbc"].any() or arrays["cells"].any():
        stored |= {"cells": arrays["cells"], "pbc": arrays["pbc"]}
    stored |= {GROUP_PREFIX + name: labels for name, labels in groups.items()}
    with atomic_write(path, "wb") as stream:
        (np.savez_compressed if compressed else np.savez)(stream, **stored)


@contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[Mapping[str, np.ndarray]]:
    """The arrays of an npz file, each unpacked when it is asked for; see load_arrays for what is refused."""
    path = Path(path)
    try:
        with open(path, "rb") as stream:
            start = stream.read(4)
            if start != b"PK\x03\x04":
                kind = "a pickle, which is never loaded" if start[:1] == b"\x80" else "not an npz file"
                raise FfptError(f"{path} is {kind}" if start else f"{path} is empty")
            stream.seek(0)
            with np.load(stream, allow_pickle=False) as archive:
                yield archive
    except OSError as error:
        raise FfptError(f"cannot read {path}: {error.strerror or error}") from error
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise FfptError(f"{path} is truncated or damaged: {error}") from error
    except ValueError as error:
        if "pickle" in str(error).lower():
            raise FfptError(f"{path} holds pickled Python objects, which are never loaded") from error
        raise FfptError(f"{path} is damaged: {error}") from error


def load_arrays(path: str | os.PathLike[str], names: Collection[str] | None = None) -> dict[str, np.ndarray]:
    """The arrays of an npz file, each unpacked once; pickled objects are refused, never loaded.

    Args:
        path: the file.
        names: arrays to unpack where the file has them; all when None. The others are not looked at.

    Raises:
        FfptError: no such file, not an npz, truncated, or it holds pickled objects.
    """
    with _opened(path) as archive:
        return {name: archive[name] for name in archive if names is None or name in names}


def array_names(path: str | os.PathLike[str]) -> set[str]:
    """The names of the arrays in an npz file; raises what load_arrays does for what is none."""
    with _opened(path) as archive:
        return set(archive)


def is_ours(path: str | os.PathLike[str]) -> bool:
    """Whether an npz file is a data set of ours; raises what load_arrays does for what is no npz file."""
    return record_of(load_arrays(path, ("record",))) is not None


def record_of(arrays: dict[str, np.ndarray]) -> dict[str, object] | None:
    """The JSON record among arrays when they are a data set of ours, else None."""
    text = arrays.get("record")
    if text is None or text.dtype.kind != "U" or text.shape != ():
        return None
    try:
        record = json.loads(str(text))
    except ValueError:
        return None
    return record if isinstance(record, dict) and record.get("format") == FORMAT else None


def load(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The fields of a Dataset from a file written by save, by name; see Dataset.load."""
    arrays = load_arrays(path)
    record = record_of(arrays)
    if record is None:
        raise FfptError(f"{path} is not an ffpt data set (its keys: {', '.join(sorted(arrays)) or 'none'})")
    if record.get("version") != VERSION:
        raise FfptError(f"{path} is an ffpt data set of version {record.get('version')}; this ffpt reads {VERSION}")
    missing = [name for name in ("numbers", "n_atoms", "positions") if name not in arrays]
    if missing:
        raise FfptError(f"{path} lacks {', '.join(missing)}")
    kept: dict[str, Any] = {
        name: arrays[name] for name in STORED_KEYS if name in arrays and name not in ("record", "n_atoms")
    }
    kept["offsets"] = np.concatenate([[0], np.cumsum(arrays["n_atoms"], dtype=np.int64)])
    groups = {
        name.removeprefix(GROUP_PREFIX): labels for name, labels in arrays.items() if name.startswith(GROUP_PREFIX)
    }
    return {**given_away(kept), "level": str(record.get("level", "")), "groups": groups}
