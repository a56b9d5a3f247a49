"""Batches of frames as flat tensors, with their pair lists made once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ffpt_core.datasets import Dataset
from ffpt_core.pairs import all_pairs, periodic_pairs

_BLOCK_FRAMES = 2000  # frames whose pairs are searched at once


class Batch(NamedTuple):
    """Frames behind one another; the first six fields are the arguments of Potential.forward.

    Energies are float64 labels as they stand; forces in the precision of training.
    """

    numbers: Tensor  # (n_atoms,) int64
    positions: Tensor  # (n_atoms, 3) Angstrom
    pairs: Tensor  # (2, n_pairs) int64
    translations: Tensor | None  # (n_pairs, 3) Angstrom, None when no frame is periodic
    frames: Tensor  # (n_atoms,) int64
    n_frames: int
    energies: Tensor | None  # (n_frames,) float64, eV
    forces: Tensor | None  # (n_atoms, 3) eV/Angstrom

    def to(self, device: torch.device, non_blocking: bool = False) -> Batch:
        """The same on a device (Lightning calls it too)."""
        tensors: dict[str, Any] = {name: part for name, part in self._asdict().items() if isinstance(part, Tensor)}
        return self._replace(**{name: part.to(device, non_blocking=non_blocking) for name, part in tensors.items()})


def _ranges(starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The numbers start, start + 1, ... (count of them) of all ranges, behind one another."""
    ends = np.cumsum(counts)
    return np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - (ends - counts), counts)


class FramePairs:
    """The half pair lists of every frame of a dataset, in flat arrays.

    Args:
        dataset: frames, isolated or periodic.
        cutoff: Angstrom.
    """

    def __init__(self, dataset: Dataset, cutoff: float) -> None:
        self.periodic = bool(dataset.pbc.any())
        isolated = ~dataset.pbc.any(axis=1)
        found: list[tuple[np.ndarray, np.ndarray, np.ndarray | None]] = []  # frame, local pairs, translations
        for size in np.unique(dataset.n_atoms[isolated]):
            of_size = np.flatnonzero(isolated & (dataset.n_atoms == size))
            for block in np.array_split(of_size, max(1, len(of_size) // _BLOCK_FRAMES)):
                found.append((*_isolated_block(dataset, block, int(size), cutoff), None))
        for frame in np.flatnonzero(~isolated):
            atoms = slice(dataset.offsets[frame], dataset.offsets[frame + 1])
            pairs, translations = periodic_pairs(
                torch.tensor(dataset.positions[atoms]),
                torch.tensor(dataset.cells[frame]),
                torch.tensor(dataset.pbc[frame]),
                cutoff,
            )
            frames = np.full(pairs.shape[1], frame)
            found.append((frames, pairs.numpy().astype(np.int32), translations.numpy()))
        frames = np.concatenate([entry[0] for entry in found])
        order = np.argsort(frames, kind="stable")
        self.counts = np.bincount(frames, minlength=len(dataset))
        self.starts = np.cumsum(self.counts) - self.counts
        self.pairs = np.concatenate([entry[1] for entry in found], axis=1)[:, order]
        self.translations: np.ndarray | None = None
        if self.periodic:
            blocks = [np.zeros((len(e[0]), 3)) if e[2] is None else e[2] for e in found]
            self.translations = np.concatenate(blocks)[order]


def _isolated_block(dataset: Dataset, frames: np.ndarray, n_atoms: int, cutoff: float) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of isolated frames of one size: (n_pairs,) frame numbers, (2, n_pairs) int32 atoms within the frame."""
    candidates = all_pairs(n_atoms).numpy()
    positions = dataset.positions[dataset.offsets[frames][:, None] + np.arange(n_atoms)]
    displacements = positions[:, candidates[0]] - positions[:, candidates[1]]
    frame, pair = np.nonzero(np.einsum("fpx,fpx->fp", displacements, displacements) < cutoff**2)
    return frames[frame], candidates[:, pair].astype(np.int32)


class FrameBatches(torch.utils.data.Dataset[Batch]):
    """Assembles the batch of any list of frame numbers, without a loop over frames.

    Args:
        dataset: labelled frames.
        cutoff: Angstrom.
        dtype: type of positions and forces.
    """

    def __init__(self, dataset: Dataset, cutoff: float, dtype: torch.dtype) -> None:
        self.dataset = dataset
        self.dtype = dtype
        self.frame_pairs = FramePairs(dataset, cutoff)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, frames: np.ndarray) -> Batch:
        dataset, table = self.dataset, self.frame_pairs
        counts = dataset.n_atoms[frames]
        atoms = _ranges(dataset.offsets[frames], counts)
        first_atoms = np.cumsum(counts) - counts
        pair_rows = _ranges(table.starts[frames], table.counts[frames])
        pairs = table.pairs[:, pair_rows] + np.repeat(first_atoms, table.counts[frames])

        def tensor(array: np.ndarray) -> Tensor:
            return torch.from_numpy(array).to(self.dtype)

        return Batch(
            numbers=torch.from_numpy(dataset.numbers[atoms]),
            positions=tensor(dataset.positions[atoms]),
            pairs=torch.from_numpy(pairs),
            translations=None if table.translations is None else tensor(table.translations[pair_rows]),
            frames=torch.from_numpy(np.repeat(np.arange(len(frames)), counts)),
            n_frames=len(frames),
            energies=None if dataset.energies is None else torch.from_numpy(dataset.energies[frames]),
            forces=None if dataset.forces is None else tensor(dataset.forces[atoms]),
        )


class ShuffledFrames(torch.utils.data.Sampler[np.ndarray]):
    """Shuffled batches of frame numbers that depend on the seed and the epoch alone.

    All frames are passed once before any returns; an epoch is a window of that endless stream. An epoch
    repeated after a crash is therefore the same epoch. Lightning calls set_epoch.

    Args:
        n_frames: number of frames.
        batch_size: frames in a batch; the last batch of an epoch may be smaller.
        frames_per_epoch: length of the window (default: n_frames).
        seed: of the shuffling.
    """

    def __init__(self, n_frames: int, batch_size: int, frames_per_epoch: int | None, seed: int) -> None:
        self.n_frames = n_frames
        self.batch_size = batch_size
        self.frames_per_epoch = frames_per_epoch or n_frames
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the window that the next iteration yields."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-self.frames_per_epoch // self.batch_size)

    def __iter__(self) -> Iterator[np.ndarray]:
        start = self.epoch * self.frames_per_epoch
        stop = start + self.frames_per_epoch
        passes = range(start // self.n_frames, -(-stop // self.n_frames))
        stream = np.concatenate([np.random.default_rng((self.seed, k)).permutation(self.n_frames) for k in passes])
        window = stream[start - passes[0] * self.n_frames :][: self.frames_per_epoch]
        for first in range(0, len(window), self.batch_size):
            yield window[first : first + self.batch_size]
