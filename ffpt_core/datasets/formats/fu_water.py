"""The water of Fu et al., "Forces are not enough" (TMLR 2023): Zenodo 7196767, water.npy.

The file is a pickled dictionary, which can run any code when it is loaded, so it is never loaded here. Who trusts it
converts it (CONVERT), and the npz is read:

=============== ====================== ==========================================
key             shape                  meaning
=============== ====================== ==========================================
wrapped_coords  (n_frames, n_atoms, 3) positions, atom by atom in the box
atom_types      (n_atoms,)             atomic numbers
energy          (n_frames,) or (.., 1) energies
forces          (n_frames, n_atoms, 3) forces
lengths         (3,) or (n_frames, 3)  edges of the box
angles          (3,) or (n_frames, 3)  its angles, degrees; 90
=============== ====================== ==========================================

Units are kcal/mol and Angstrom.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ffpt_core.base.errors import FfptError
from ffpt_core.datasets.dataset import Dataset
from ffpt_core.datasets.formats.format import Format
from ffpt_core.datasets.options import ReadOptions, scaled
from ffpt_core.datasets.storage import array_names, load_arrays
from ffpt_core.datasets.validation import given_away

KEYS = ("wrapped_coords", "atom_types", "energy", "forces", "lengths", "angles")
MARKS = ("lattices",)
LEVEL = "flexible SPC/E"
CONVERT = "python -c \"import numpy; numpy.savez('water.npz', **numpy.load('water.npy', allow_pickle=True).item())\""
"""What turns water.npy into an npz of plain arrays; it runs what the file holds."""


def sniff(path: Path) -> bool:
    """Whether an npz file looks like water.npy, converted."""
    return {"wrapped_coords", "atom_types", "lengths"} <= array_names(path)


def read(path: Path, options: ReadOptions) -> Dataset:
    """The frames of the converted file, in kcal/mol and Angstrom unless options say other units.

    Raises:
        FfptError: water.npy itself, which is a pickle; as box_arrays.
    """
    if path.suffix.lower() == ".npy":
        raise refuse_npy(path)
    energy, length = options.scales("kcal/mol")
    arrays = box_arrays(load_arrays(path, names=(*KEYS, *MARKS)), path)
    return Dataset(**given_away(scaled(arrays, energy, length)), level=LEVEL)


def box_arrays(arrays: dict[str, np.ndarray], path: Path) -> dict[str, Any]:
    """The arrays of a Dataset, in the units of the file.

    Raises:
        FfptError: a key is missing, shapes that do not fit, atoms that are not water, a box that is not rectangular, or
            the npz that the authors' scripts write for NequIP, whose energies they divide by the unit twice.
    """
    if any(name in arrays for name in MARKS):
        raise FfptError(f"{path} was written for NequIP, with energies divided by their unit twice: convert water.npy")
    missing = [name for name in KEYS[:5] if name not in arrays]
    if missing:
        raise FfptError(f"{path} lacks {', '.join(missing)}")
    positions, forces, numbers = arrays["wrapped_coords"], arrays["forces"], arrays["atom_types"].reshape(-1)
    n_frames, n_atoms = len(positions), len(numbers)
    if positions.shape != (n_frames, n_atoms, 3) or forces.shape != positions.shape:
        raise FfptError(f"{path}: positions {positions.shape} and forces {forces.shape} of {n_atoms} atoms")
    if arrays["energy"].size != n_frames:
        raise FfptError(f"{path}: energies of shape {arrays['energy'].shape} for {n_frames} frames")
    if not np.isin(numbers, (1, 8)).all() or (numbers == 1).sum() != 2 * (numbers == 8).sum():
        raise FfptError(f"{path}: not water: two hydrogen atoms (1) for each oxygen atom (8) are needed")
    if "angles" in arrays and np.abs(np.asarray(arrays["angles"]) - 90).max() > 1e-6:
        raise FfptError(f"{path}: the box is not rectangular")
    try:
        edges = np.broadcast_to(np.asarray(arrays["lengths"], dtype=float), (n_frames, 3))
    except ValueError as error:
        raise FfptError(f"{path}: edges of shape {np.shape(arrays['lengths'])} for {n_frames} frames") from error
    return {
        "numbers": np.tile(numbers, n_frames),
        "offsets": np.arange(n_frames + 1) * n_atoms,
        "positions": positions.reshape(-1, 3).astype(float),
        "energies": arrays["energy"].reshape(-1).astype(float),
        "forces": forces.reshape(-1, 3).astype(float),
        "cells": edges[:, :, None] * np.eye(3),
        "pbc": np.ones((n_frames, 3), dtype=bool),
    }


def refuse_npy(path: Path) -> FfptError:
    """The error for a .npy file, which holds a pickled dictionary or one array."""
    try:
        with open(path, "rb") as stream:
            start = stream.read(256)
    except OSError as error:
        return FfptError(f"cannot read {path}: {error.strerror or error}")
    if b"'|O'" in start:
        return FfptError(
            f"{path} is a pickled object, which can run any code and is never loaded. The water.npy of Fu et al. "
            f"becomes an npz that can be read, if you trust it, by: {CONVERT}"
        )
    return FfptError(f"{path} holds a single array: no data set")


FORMAT = Format(
    name="fu-water",
    what="wrapped_coords, atom_types, energy, forces, lengths (Fu et al.'s water)",
    suffixes=(".npz", ".npy"),
    read=read,
    sniff=sniff,
    takes=frozenset({"energy_unit", "length_unit"}),
)
