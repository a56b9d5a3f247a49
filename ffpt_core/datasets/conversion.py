"""Between ``ase.Atoms`` and the flat arrays of a Dataset, labels included; and arrays one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.singlepoint import SinglePointCalculator

from ffpt_core.base.errors import FfptError


def labels_differ(what: str, index: int, has: bool, unit: str) -> FfptError:
    """The error for labels that stand on some frames (or data sets) only; index is the first to differ from 0."""
    first, other = ("no ", "") if has else ("", "no ")
    return FfptError(f"{unit} 0 has {first}{what} but {unit} {index} has {other}{what}: label all or none")


def joined_arrays(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The arrays of several data sets, one after the other.

    Args:
        parts: the array fields of each Dataset; at least one.

    Raises:
        FfptError: labels that only some have.
    """
    for name in ("energies", "forces"):
        for index, arrays in enumerate(parts):
            has = arrays[name] is not None
            if has != (parts[0][name] is not None):
                raise labels_differ(name, index, has=has, unit="data set")
    starts = np.cumsum([0, *(arrays["offsets"][-1] for arrays in parts)])
    offsets = [start + arrays["offsets"][1:] for start, arrays in zip(starts, parts, strict=False)]
    result: dict[str, Any] = {"offsets": np.concatenate([[0], *offsets])}
    for name in ("numbers", "positions", "energies", "forces", "cells", "pbc"):
        arrays_of_name = [arrays[name] for arrays in parts]
        result[name] = None if arrays_of_name[0] is None else np.concatenate(arrays_of_name)
    return result


def joined_groups(parts: Sequence[tuple[int, Mapping[str, np.ndarray]]]) -> dict[str, np.ndarray]:
    """The groups of several data sets, one after the other; "" for the frames of those that lack one.

    Args:
        parts: (number of frames, groups) of each.
    """
    names = dict.fromkeys(name for _, groups in parts for name in groups)
    return {name: np.concatenate([groups.get(name, np.full(frames, "")) for frames, groups in parts]) for name in names}


def _label(atoms: Atoms, name: str, plain: dict[str, Any]) -> object | None:
    """A label from REF_name, from results that the calculator holds for these very positions, or from name."""
    value = plain.get(f"REF_{name}")
    if value is None and atoms.calc is not None:
        try:
            value = atoms.calc.get_property(name, atoms, allow_calculation=False)
        except PropertyNotImplementedError:
            value = None
    return plain.get(name) if value is None else value


def energy_of(atoms: Atoms, index: int) -> float | None:
    """The energy label of a frame in eV, or None.

    Raises:
        FfptError: the label is not one number; index names the frame.
    """
    value = _label(atoms, "energy", atoms.info)
    if value is None:
        return None
    try:
        return float(np.asarray(value, dtype=float).reshape(()))
    except (TypeError, ValueError) as error:
        raise FfptError(f"frame {index}: the energy is not one number: {value!r}") from error


def forces_of(atoms: Atoms, index: int) -> np.ndarray | None:
    """The (n_atoms, 3) force labels of a frame in eV/Angstrom, or None.

    Raises:
        FfptError: the forces have another shape; index names the frame.
    """
    value = _label(atoms, "forces", atoms.arrays)
    if value is None:
        return None
    forces = np.asarray(value, dtype=float)
    if forces.shape != (len(atoms), 3):
        raise FfptError(f"frame {index}: forces of shape {forces.shape} for {len(atoms)} atoms")
    return forces


def arrays_from_atoms(frames: Sequence[Atoms]) -> dict[str, Any]:
    """The arrays of a Dataset from structures; see Dataset.from_atoms."""
    energies = [energy_of(atoms, index) for index, atoms in enumerate(frames)]
    forces: list[Any] = [forces_of(atoms, index) for index, atoms in enumerate(frames)]
    for what, values in (("energy", energies), ("forces", forces)):
        for index, value in enumerate(values):
            if (value is None) != (values[0] is None):
                raise labels_differ(what, index, has=value is not None, unit="frame")
    return {
        "numbers": np.concatenate([np.zeros(0, np.int64), *(atoms.numbers for atoms in frames)]),
        "offsets": np.concatenate([[0], np.cumsum([len(atoms) for atoms in frames], dtype=np.int64)]),
        "positions": np.concatenate([np.zeros((0, 3)), *(atoms.positions for atoms in frames)]),
        "energies": None if not energies or energies[0] is None else np.array(energies),
        "forces": None if not forces or forces[0] is None else np.concatenate(forces),
        "cells": np.array([atoms.cell.array for atoms in frames]).reshape(-1, 3, 3),
        "pbc": np.array([atoms.pbc for atoms in frames], dtype=bool).reshape(-1, 3),
    }


def to_atoms(
    numbers: np.ndarray,
    positions: np.ndarray,
    cell: np.ndarray,
    pbc: np.ndarray,
    energy: float | None,
    forces: np.ndarray | None,
) -> Atoms:
    """One frame as ase.Atoms with copies of the arrays; a SinglePointCalculator holds the labels there are."""
    atoms = Atoms(numbers, positions, cell=cell, pbc=pbc)
    labels: dict[str, Any] = {} if energy is None else {"energy": float(energy)}
    if forces is not None:
        labels["forces"] = forces.copy()
    if labels:
        atoms.calc = SinglePointCalculator(atoms, **labels)
    return atoms
