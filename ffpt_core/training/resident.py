"""Frames that live on the training device, and batches of few, fixed shapes gathered from them there.

A CUDA graph repeats what it recorded, shapes included. So a batch is padded to a capacity: atoms behind those of its
frames, in pairs farther apart than the cutoff, where radial functions and their slopes are exactly zero. They belong
to a frame that no mean sees.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ffpt_core.datasets import Dataset
from ffpt_core.training.batches import FrameBatches

_PADDING = 16
"""Padding atoms in any batch, at the least: sums over pairs wait for one another where all pairs share an atom."""

_LIKELY = (1.0, 4.0)
"""Standard deviations above the mean: sizes that 84 % and almost all of shuffled batches do not exceed."""

_WORTH_ITS_OWN = 0.95
"""A size that saves less than this of the next one's rows is left out: each costs a recording."""


class Capacity(NamedTuple):
    """The rows of a batch, padding included."""

    atoms: int
    pairs: int


class PaddedBatch(NamedTuple):
    """A batch of one capacity; the first six fields are the arguments of NetworkPotential.forward.

    Labels of padding are zero, and so are a potential's forces on padding atoms and energies of unused slots: an error
    summed over all rows is that of the real ones, and their mean is the mean over all rows divided by the share.
    """

    numbers: Tensor  # (atoms,) int64, 0 for padding
    positions: Tensor  # (atoms, 3) float64, Angstrom
    pairs: Tensor  # (2, pairs) int64
    translations: Tensor | None  # (pairs, 3) float64, Angstrom
    frames: Tensor  # (atoms,) int64: the slot of each atom, the last one for padding
    n_frames: int  # slots, and one for padding
    energies: Tensor | None  # (slots,) float64, eV, without shifts
    forces: Tensor | None  # (atoms, 3) float64, eV/Angstrom
    frame_share: Tensor  # () float64: frames over slots
    atom_share: Tensor  # () float64: atoms of frames over all


def capacities(n_atoms: np.ndarray, n_pairs: np.ndarray, batch_size: int) -> list[Capacity]:
    """A few capacities, ascending; any batch of that many frames fits the last one, and nearly all the one before.

    Args:
        n_atoms, n_pairs: (n_frames,) of the frames that batches are drawn from.
        batch_size: frames in a batch.
    """
    counts = np.stack([n_atoms, n_pairs], axis=1)
    largest = counts.max(axis=0) * batch_size  # a frame may come twice, at the border of two passes
    mean, deviation = counts.mean(axis=0) * batch_size, counts.std(axis=0) * np.sqrt(batch_size)
    kept = [largest]
    for size in (np.minimum(mean + factor * deviation, largest) for factor in reversed(_LIKELY)):
        if (size < _WORTH_ITS_OWN * kept[-1]).any():
            kept.append(size)
    return [_rounded(size[0] + _PADDING, size[1]) for size in reversed(kept)]


def _rounded(atoms: float, pairs: float) -> Capacity:
    """Up to whole multiples of 16 rows, at least one."""
    return Capacity(*(16 * max(1, int(np.ceil(rows / 16))) for rows in (atoms, pairs)))


class ResidentFrames:
    """All frames of a dataset on a device, where batches are gathered by frame number.

    What a batch costs the host is the upload of its frame numbers. Behind the last frame follows padding, as
    if it were one more frame, with the number ``padding``.

    Args:
        batches: the frames with their pairs.
        shifts: (n_atomic_numbers,) eV, of the potential that is trained, taken off the labels once.
        cutoff: Angstrom, of the pairs.
        batch_size: frames in a batch, at most.
        device: where to put them.
    """

    def __init__(
        self, batches: FrameBatches, shifts: np.ndarray, cutoff: float, batch_size: int, device: torch.device
    ) -> None:
        dataset, table = batches.dataset, batches.frame_pairs
        self.device = device
        self.batch_size = batch_size
        self.padding = len(dataset)
        self.capacities = capacities(dataset.n_atoms, table.counts, batch_size)
        # Atoms and pairs of each frame; none for padding, which fills what frames leave.
        self.counts = np.append(np.stack([dataset.n_atoms, table.counts], axis=1), [[0, 0]], axis=0)
        last = self.capacities[-1]
        spread = np.arange(last.pairs) % (_PADDING - 1)
        far = np.zeros((last.atoms, 3))
        far[:, 0] = 2.0 * cutoff * np.arange(last.atoms)

        def put(values: np.ndarray, dtype: type) -> Tensor:
            return torch.tensor(np.ascontiguousarray(values, dtype=dtype), device=device)

        def followed_by(values: np.ndarray, padding: np.ndarray | int) -> np.ndarray:
            rows = np.broadcast_to(np.asarray(padding, values.dtype), (last.atoms, *values.shape[1:]))
            return np.concatenate([values, rows])

        self._counts = put(self.counts.T, np.int64)
        self._starts = put(np.stack([dataset.offsets, np.append(table.starts, table.counts.sum())]), np.int64)
        self._numbers = put(followed_by(dataset.numbers, 0), np.int64)
        self._positions = put(followed_by(dataset.positions, far), np.float64)
        self._forces = None if dataset.forces is None else put(followed_by(dataset.forces, 0), np.float64)
        self._energies = (
            None if dataset.energies is None else put(np.append(_unshifted(dataset, shifts), 0.0), np.float64)
        )
        self._pairs = put(np.concatenate([table.pairs, [spread, spread + 1]], axis=1), np.int32)
        self._shifts: Tensor | None = None
        if table.shifts is not None:
            self._shifts = put(np.concatenate([table.shifts, np.zeros((last.pairs, 3))]), np.int32)
            self._cells = put(np.append(table.cells, np.zeros((1, 3, 3)), axis=0), np.float64)
        self._rows = torch.arange(max(last), device=device)

    @staticmethod
    def n_bytes(batches: FrameBatches) -> int:
        """About what the frames take on the device."""
        dataset, table = batches.dataset, batches.frame_pairs
        parts = [dataset.positions, dataset.forces, dataset.numbers, table.pairs, table.shifts]
        return sum(part.nbytes for part in parts if part is not None)

    def tensors(self) -> list[Tensor]:
        """All that batches are gathered from."""
        return [tensor for tensor in vars(self).values() if isinstance(tensor, Tensor)]

    def slots(self, frames: np.ndarray) -> np.ndarray:
        """(n_batches, batch_size + 1) frame numbers, as gather takes a row: unused slots and the last one are padding.

        Args:
            frames: (n,) frame numbers, divided into batches in their order; the last one may be smaller.
        """
        slots = np.full((-(-len(frames) // self.batch_size), self.batch_size + 1), self.padding)
        for batch, start in zip(slots, range(0, len(frames), self.batch_size), strict=True):
            part = frames[start : start + self.batch_size]
            batch[: len(part)] = part
        return slots

    def capacity(self, slots: np.ndarray) -> Capacity:
        """The smallest capacity that a row of slots fits."""
        atoms, pairs = self.counts[slots].sum(axis=0)
        return next(size for size in self.capacities if atoms + _PADDING <= size.atoms and pairs <= size.pairs)

    def gather(self, slots: Tensor, capacity: Capacity) -> PaddedBatch:
        """The batch of a row of slots: shapes and what is launched depend on the capacity alone.

        Args:
            slots: (batch_size + 1,) int64 on the device.
            capacity: that of the row, or a larger one.
        """
        n_slots = self.batch_size
        counts = self._counts.index_select(1, slots)
        ends = torch.cumsum(counts, 1)
        first = ends - counts  # of the last slot: the padding's
        offsets = self._starts.index_select(1, slots) - first
        rows, pair_rows = self._rows[: capacity.atoms], self._rows[: capacity.pairs]
        frames = torch.searchsorted(ends[0, :n_slots], rows, right=True)
        atoms = rows + offsets[0].index_select(0, frames)
        pair_frames = torch.searchsorted(ends[1, :n_slots], pair_rows, right=True)
        pair_rows = pair_rows + offsets[1].index_select(0, pair_frames)
        pairs = self._pairs.index_select(1, pair_rows) + first[0].index_select(0, pair_frames)
        translations = None
        if self._shifts is not None:
            cells = self._cells.index_select(0, slots).index_select(0, pair_frames)
            translations = (self._shifts.index_select(0, pair_rows).unsqueeze(2) * cells).sum(1)
        return PaddedBatch(
            numbers=self._numbers.index_select(0, atoms),
            positions=self._positions.index_select(0, atoms),
            pairs=pairs,
            translations=translations,
            frames=frames,
            n_frames=n_slots + 1,
            energies=None if self._energies is None else self._energies.index_select(0, slots[:n_slots]),
            forces=None if self._forces is None else self._forces.index_select(0, atoms),
            frame_share=(slots[:n_slots] != self.padding).double().mean(),
            atom_share=ends[0, -1].double() / capacity.atoms,
        )


def _unshifted(dataset: Dataset, shifts: np.ndarray) -> np.ndarray:
    """(n_frames,) eV: the labels of energies without the shifts of their elements."""
    assert dataset.energies is not None
    of_atom = np.repeat(np.arange(len(dataset)), dataset.n_atoms)
    return dataset.energies - np.bincount(of_atom, shifts[dataset.numbers], len(dataset))
