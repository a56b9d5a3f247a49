"""Batches of frames as flat tensors, with their pair lists made once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ffpt_core.datasets import Dataset
from ffpt_core.structure.neighbours import half_list
from ffpt_core.structure.pairs import all_pairs

_SMALL = 32  # atoms: up to here, all pairs of many isolated frames at once beat a list for each
_BLOCK = 2_000_000  # candidate pairs examined at once: about 100 MB


class Batch(NamedTuple):
    """Frames behind one another; the first six fields are the arguments of NetworkPotential.forward.

    All in float64: differences of positions, and of labels and their shifts, are taken before a network's own type.
    """

    numbers: Tensor  # (n_atoms,) int64
    positions: Tensor  # (n_atoms, 3) Angstrom
    pairs: Tensor  # (2, n_pairs) int64
    translations: Tensor | None  # (n_pairs, 3) Angstrom, None when no frame is periodic
    frames: Tensor  # (n_atoms,) int64
    n_frames: int
    energies: Tensor | None  # (n_frames,) float64, eV
    forces: Tensor | None  # (n_atoms, 3) eV/Angstrom

    def to(self, device: torch.device) -> Batch:
        """The same on a device, without waiting for the copy to a GPU."""
        if device.type == "cpu":
            return self
        tensors: dict[str, Any] = {name: part for name, part in self._asdict().items() if isinstance(part, Tensor)}
        return self._replace(
            **{name: part.pin_memory().to(device, non_blocking=True) for name, part in tensors.items()}
        )


def _ranges(starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The numbers start, start + 1, ... (count of them) of all ranges, behind one another."""
    ends = np.cumsum(counts)
    return np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - (ends - counts), counts)


def atoms_of(dataset: Dataset, frames: np.ndarray) -> np.ndarray:
    """(n,) where the atoms of these frames are in the arrays of a dataset, one frame behind the other."""
    return _ranges(dataset.offsets[frames], dataset.n_atoms[frames])


class FramePairs:
    """The half pair lists of every frame of a dataset, in flat arrays.

    Args:
        dataset: frames, isolated or periodic.
        cutoff: Angstrom.
    """

    def __init__(self, dataset: Dataset, cutoff: float) -> None:
        self.cells = dataset.cells
        self.counts = np.zeros(len(dataset), dtype=np.int64)
        isolated = np.logical_not(dataset.pbc.any(axis=1))
        together = isolated & (dataset.n_atoms <= _SMALL)
        found: list[tuple[np.ndarray, np.ndarray, np.ndarray | None]] = []  # frames, their pairs one by one, shifts
        for size in np.unique(dataset.n_atoms[together]):
            of_size = np.flatnonzero(together & (dataset.n_atoms == size))
            n_blocks = 1 + len(of_size) * size * (size - 1) // (2 * _BLOCK)
            for block in np.array_split(of_size, n_blocks):
                pairs, self.counts[block] = _isolated_block(dataset, block, int(size), cutoff)
                found.append((block, pairs, None))
        for frame in np.flatnonzero(~together):
            atoms = slice(dataset.offsets[frame], dataset.offsets[frame + 1])
            pairs, shifts = half_list(dataset.positions[atoms], dataset.cells[frame], dataset.pbc[frame], cutoff)
            self.counts[frame] = pairs.shape[1]
            found.append((np.array([frame]), pairs.astype(np.int32), None if isolated[frame] else shifts))
        self.starts = np.cumsum(self.counts) - self.counts
        n_pairs = int(self.counts.sum())
        self.pairs = np.empty((2, n_pairs), dtype=np.int32)
        self.shifts = None if isolated.all() else np.zeros((n_pairs, 3), dtype=np.int32)
        for frames, pairs, some_shifts in found:
            rows = _ranges(self.starts[frames], self.counts[frames])
            self.pairs[:, rows] = pairs
            if self.shifts is not None and some_shifts is not None:
                self.shifts[rows] = some_shifts

    def rows(self, frames: np.ndarray) -> np.ndarray:
        """(n_pairs,) where the pairs of these frames are, one frame behind the other."""
        return _ranges(self.starts[frames], self.counts[frames])

    def translations(self, frames: np.ndarray) -> np.ndarray | None:
        """(n_pairs, 3) Angstrom, of the pairs of these frames; None where no frame of the dataset is periodic."""
        if self.shifts is None:
            return None
        ends = self.starts + self.counts
        return np.concatenate([self.shifts[self.starts[frame] : ends[frame]] @ self.cells[frame] for frame in frames])


def _isolated_block(dataset: Dataset, frames: np.ndarray, n_atoms: int, cutoff: float) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of isolated frames of one size: (2, n_pairs) int32 atoms within the frame, (n_frames,) how many in each."""
    candidates = all_pairs(n_atoms).numpy()
    positions = dataset.positions[dataset.offsets[frames][:, None] + np.arange(n_atoms)]
    displacements = positions[:, candidates[0]] - positions[:, candidates[1]]
    close = np.einsum("fpx,fpx->fp", displacements, displacements) < cutoff**2
    return candidates[:, np.nonzero(close)[1]].astype(np.int32), close.sum(axis=1)


class FrameBatches:
    """Assembles the batch of any list of frame numbers, without a loop over frames.

    Args:
        dataset: labelled frames.
        cutoff: Angstrom.
    """

    def __init__(self, dataset: Dataset, cutoff: float) -> None:
        self.dataset = dataset
        self.frame_pairs = FramePairs(dataset, cutoff)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, frames: np.ndarray) -> Batch:
        """The batch of (n_frames,) frame numbers, in their order."""
        dataset, table = self.dataset, self.frame_pairs
        counts = dataset.n_atoms[frames]
        atoms = atoms_of(dataset, frames)
        first_atoms = np.cumsum(counts) - counts
        pairs = table.pairs[:, table.rows(frames)] + np.repeat(first_atoms, table.counts[frames])

        translations = table.translations(frames)
        return Batch(
            numbers=torch.from_numpy(dataset.numbers[atoms]),
            positions=torch.from_numpy(dataset.positions[atoms]),
            pairs=torch.from_numpy(pairs),
            translations=None if translations is None else torch.from_numpy(translations),
            frames=torch.from_numpy(np.repeat(np.arange(len(frames)), counts)),
            n_frames=len(frames),
            energies=None if dataset.energies is None else torch.from_numpy(dataset.energies[frames]),
            forces=None if dataset.forces is None else torch.from_numpy(dataset.forces[atoms]),
        )


def chunks(frames: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Frame numbers in their order, so many at once; the last ones may be fewer."""
    for first in range(0, len(frames), size):
        yield frames[first : first + size]


def shuffled(n_frames: int, frames_per_epoch: int, seed: int, epoch: int) -> np.ndarray:
    """(frames_per_epoch,) the frame numbers of an epoch, which depend on the seed and the epoch alone.

    All frames are passed once before any returns; an epoch is a window of that endless stream. An epoch
    repeated after a crash is therefore the same epoch.

    Args:
        n_frames: number of frames.
        frames_per_epoch: length of the window.
        seed: of the shuffling.
        epoch: number of the window, from 0.
    """
    start = epoch * frames_per_epoch
    stop = start + frames_per_epoch
    passes = range(start // n_frames, -(-stop // n_frames))
    stream = np.concatenate([np.random.default_rng((seed, k)).permutation(n_frames) for k in passes])
    return stream[start - passes[0] * n_frames :][:frames_per_epoch]
