"""Data sets that several test files use."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.morse import MorsePotential
from hypothesis import strategies as st

from ffpt_core.datasets import Dataset

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
FIELDS = ("numbers", "offsets", "positions", "energies", "forces", "cells", "pbc")


def make(sizes, seed=0, energies=True, forces=True, periodic=False, level="made up") -> Dataset:
    """Frames of the given sizes with random numbers in them."""
    rng = np.random.default_rng(seed)
    total, frames = sum(sizes), len(sizes)
    return Dataset(
        numbers=rng.choice([1, 6, 8, 17], size=total),
        offsets=np.concatenate([[0], np.cumsum(sizes, dtype=int)]),
        positions=rng.normal(size=(total, 3)),
        energies=rng.normal(-1e4, 1, size=frames) if energies else None,
        forces=rng.normal(size=(total, 3)) if forces else None,
        cells=np.eye(3) * 9 + rng.normal(size=(frames, 3, 3)) if periodic else None,
        pbc=rng.integers(0, 2, size=(frames, 3)).astype(bool) if periodic else None,
        level=level,
    )


def aspirin_like(frames=40, seed=0, **options) -> Dataset:
    rng = np.random.default_rng(seed)
    numbers = [6] * 9 + [8] * 4 + [1] * 8
    positions = rng.normal(size=(frames, 21, 3))
    return Dataset.from_arrays(numbers, positions, rng.normal(size=frames), rng.normal(size=(frames, 21, 3)), **options)


def assert_same(left: Dataset, right: Dataset) -> None:
    for name in FIELDS:
        a, b = getattr(left, name), getattr(right, name)
        assert (a is None) == (b is None), name
        assert a is None or np.array_equal(a, b), name
    assert left.level == right.level


any_dataset = st.builds(
    make,
    sizes=st.lists(st.integers(1, 5), max_size=8),
    seed=st.integers(0, 99),
    energies=st.booleans(),
    forces=st.booleans(),
    periodic=st.booleans(),
)


def morse_frames(n_frames: int, seed: int = 0, zero: float = 0.0, size: float = 1.0) -> Dataset:
    """Rattled four-atom clusters with the labels of ASE's Morse potential, and a given energy zero per atom."""
    random = np.random.default_rng(seed)
    frames = []
    for _ in range(n_frames):
        atoms = Atoms("OOHH", [[0, 0, 0], [1.1, 0, 0], [0, 1.0, 0], [0, 0.2, 1.1]])
        atoms.positions = size * atoms.positions + random.normal(0, 0.05, (4, 3))
        atoms.calc = MorsePotential(epsilon=0.8, r0=1.1, rho0=4.0)
        atoms.get_forces()
        frames.append(atoms)
    dataset = Dataset.from_atoms(frames, level="Morse")
    energies = dataset.energies + zero * dataset.n_atoms
    return Dataset(dataset.numbers, dataset.offsets, dataset.positions, energies, dataset.forces, level="Morse")
