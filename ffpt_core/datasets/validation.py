"""What must hold for the arrays of a Dataset, with errors that name the frame."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ffpt_core.base.errors import FfptError

MAX_ATOMIC_NUMBER = 118


def frozen(array: object, dtype: type, name: str) -> np.ndarray:
    """The array as a read-only contiguous array of dtype, copied if it could still be written to elsewhere.

    Raises:
        FfptError: it cannot be read as such an array, or integers are asked for and it holds fractions.
    """
    try:
        given = np.asarray(array)
        result: np.ndarray = np.ascontiguousarray(given, dtype=dtype).view()
        if given is array and given.flags.writeable and np.may_share_memory(given, result):
            result = result.copy()
    except (TypeError, ValueError, OverflowError) as error:
        raise FfptError(f"{name}: not an array of {np.dtype(dtype).name} ({error})") from error
    if dtype is np.int64 and given.dtype.kind == "f" and not np.array_equal(given, result):
        raise FfptError(f"{name}: whole numbers needed")
    result.flags.writeable = False
    return result


def frozen_groups(groups: Mapping[str, object], frames: int) -> dict[str, np.ndarray]:
    """Read-only group labels, (frames,) texts under each name.

    Raises:
        FfptError: a name that is no plain word, or another number of labels than frames.
    """
    result: dict[str, np.ndarray] = {}
    for name, labels in groups.items():
        array = np.array(labels, dtype=np.str_)
        if not (isinstance(name, str) and name.isidentifier()):
            raise FfptError(f"the name of a group is a plain word, not {name!r}")
        if array.shape != (frames,):
            raise FfptError(f"group {name}: labels of shape {array.shape} for {frames} frames")
        array.flags.writeable = False
        result[name] = array
    return result


def given_away(arrays: dict[str, Any]) -> dict[str, Any]:
    """Make arrays that nobody else holds read-only, in place, so that a Dataset of them need not copy."""
    for array in arrays.values():
        if isinstance(array, np.ndarray):
            array.flags.writeable = False
    return arrays


def check_arrays(arrays: Mapping[str, Any]) -> None:
    """Refuse arrays that are not those of frames.

    Args:
        arrays: every array field of Dataset, in its type; None where there are no such labels.

    Raises:
        FfptError: shapes that do not belong together, a frame without atoms, an unknown element, a NaN or infinite
            value, a periodic direction without a cell; the message names the first frame concerned.
    """
    _check_shapes(arrays)
    _check_values(arrays)
    if arrays["pbc"].any():
        check_cells(arrays["cells"], arrays["pbc"])


def _check_shapes(arrays: Mapping[str, Any]) -> None:
    """Refuse arrays whose shapes do not belong together, and frames without atoms."""
    offsets, total = arrays["offsets"], len(arrays["numbers"])
    if offsets.ndim != 1 or len(offsets) == 0 or offsets[0] != 0 or offsets[-1] != total:
        raise FfptError(f"offsets must run from 0 to the number of atoms, {total}, with one entry more than frames")
    empty = np.flatnonzero(np.diff(offsets) <= 0)
    if len(empty):
        raise FfptError(f"frame {empty[0]} has no atoms")
    frames = len(offsets) - 1
    expected = {
        "numbers": (total,),
        "positions": (total, 3),
        "energies": (frames,),
        "forces": (total, 3),
        "cells": (frames, 3, 3),
        "pbc": (frames, 3),
    }
    for name, shape in expected.items():
        array = arrays[name]
        if array is not None and array.shape != shape:
            raise FfptError(f"{name} of shape {array.shape}; {frames} frames of {total} atoms need {shape}")


def _check_values(arrays: Mapping[str, Any]) -> None:
    """Refuse numbers that mean nothing: unknown elements, NaN or infinite values."""

    def frame_of(atom: int) -> int:
        return int(np.searchsorted(arrays["offsets"], atom, side="right")) - 1

    numbers = arrays["numbers"]
    wrong = np.flatnonzero((numbers < 1) | (numbers > MAX_ATOMIC_NUMBER))
    if len(wrong):
        raise FfptError(f"frame {frame_of(wrong[0])}: {numbers[wrong[0]]} is not an atomic number")
    for name in ("positions", "forces", "energies", "cells"):
        array = arrays[name]
        if array is None or np.isfinite(array).all():
            continue
        row = int(np.argwhere(~np.isfinite(array))[0, 0])
        frame = frame_of(row) if name in ("positions", "forces") else row
        raise FfptError(f"frame {frame}: NaN or infinite {name}")


def check_cells(cells: np.ndarray, pbc: np.ndarray) -> None:
    """Refuse periodic directions along which the cell has no extent.

    Args:
        cells: (n_frames, 3, 3) cell vectors as rows, Angstrom.
        pbc: (n_frames, 3) periodic along each.
    """
    # The Gram determinant of the periodic vectors is their squared area or volume; a direction that is not
    # periodic takes part as a unit vector orthogonal to all others, so that one formula serves all cases.
    gram = cells @ cells.transpose(0, 2, 1)
    both = pbc[:, :, None] & pbc[:, None, :]
    gram = np.where(both, gram, np.eye(3))
    bad = np.flatnonzero(np.linalg.det(gram) < 1e-9)
    if len(bad):
        raise FfptError(f"frame {bad[0]}: periodic, but its cell has no extent along a periodic direction")
