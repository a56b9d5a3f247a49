"""Distances between the atoms of one system, in many frames: as they are, and their distribution h(r)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ffpt_core.base.errors import FfptError
from ffpt_core.structure.periodic import nearest_image

BIN = 0.03
"""Default width of a bin in Angstrom."""

_CHUNK = 1_000_000
"""Distances held in memory at once."""


@dataclass(frozen=True, eq=False)
class DistanceDistribution:
    """h(r): how the distances between all pairs of atoms are distributed.

    Fu et al., TMLR 2023: h(r) = 1/(N(N-1)) sum_i sum_(j != i) delta(r - |r_i - r_j|), averaged over frames,
    so that its integral over r is one.

    Args:
        edges: (n_bins + 1,) limits of the bins in Angstrom.
        density: (n_bins,) h(r) in 1/Angstrom.
        blocks: (n_blocks, n_bins) the same for each block of consecutive frames (or each replica's blocks).
        n_frames: number of frames.
        outside: fraction of all distances that lie beyond the last edge, and are missing from the integral.
    """

    edges: np.ndarray
    density: np.ndarray
    blocks: np.ndarray
    n_frames: int
    outside: float

    @property
    def centres(self) -> np.ndarray:
        """(n_bins,) middles of the bins in Angstrom."""
        return 0.5 * (self.edges[1:] + self.edges[:-1])

    @property
    def error(self) -> np.ndarray:
        """(n_bins,) standard error of the density in 1/Angstrom, from the scatter of the blocks."""
        if len(self.blocks) < 2:
            return np.full(len(self.density), np.nan)
        return self.blocks.std(axis=0, ddof=1) / np.sqrt(len(self.blocks))


def distance_chunks(
    positions: np.ndarray, pairs: np.ndarray | None = None, cells: np.ndarray | None = None
) -> Iterator[np.ndarray]:
    """Distances between the atoms of one system, so many frames at a time that they fit in memory.

    Args:
        positions: (n_frames, n_atoms, 3).
        pairs: (n_pairs, 2) atom indices; None: all pairs, as numpy.triu_indices orders them.
        cells: (n_frames, 3, 3) lattice vectors of periodic frames; distances are those of nearest images.

    Yields:
        (some frames, n_pairs) in the unit of the positions.
    """
    first, second = np.triu_indices(positions.shape[1], k=1) if pairs is None else np.asarray(pairs).T
    step = max(1, _CHUNK // max(1, len(first)))
    for start in range(0, len(positions), step):
        vectors = positions[start : start + step, first] - positions[start : start + step, second]
        if cells is not None:
            vectors = nearest_image(vectors, cells[start : start + step])
        yield np.linalg.norm(vectors, axis=-1)


def distance_distribution(
    frames: np.ndarray | Sequence[np.ndarray],
    edges: np.ndarray | None = None,
    cells: np.ndarray | Sequence[np.ndarray] | None = None,
    n_blocks: int = 10,
) -> DistanceDistribution:
    """h(r) of one trajectory or of several replicas.

    Args:
        frames: (n_frames, n_atoms, 3) positions in Angstrom in the order of time, or a list of such arrays
            for replicas of one system.
        edges: (n_bins + 1,) limits of the bins in Angstrom; None: bins of 0.03 Angstrom up to the longest distance.
        cells: lattice vectors of periodic frames, (n_frames, 3, 3) in Angstrom, a list for replicas; distances
            are those of nearest images.
        n_blocks: blocks into which each replica is cut for the error bars.

    Raises:
        FfptError: no frames, fewer than two atoms, replicas of different systems, or positions not finite.
    """
    replicas, boxes = _as_replicas(frames, cells)
    edges = _default_edges(replicas, boxes) if edges is None else np.asarray(edges, dtype=float)
    n_pairs = replicas[0].shape[1] * (replicas[0].shape[1] - 1) // 2
    counts, sizes = [], []
    for positions, box in zip(replicas, boxes, strict=True):
        for block in np.array_split(np.arange(len(positions)), min(n_blocks, len(positions))):
            counts.append(_histogram(positions[block], None if box is None else box[block], edges))
            sizes.append(len(block))
    counted, width, n_frames = np.array(counts, dtype=float), np.diff(edges), sum(sizes)
    blocks = counted / (np.array(sizes)[:, None] * n_pairs * width)
    total = counted.sum(axis=0)
    return DistanceDistribution(
        edges=edges,
        density=total / (n_frames * n_pairs * width),
        blocks=blocks,
        n_frames=n_frames,
        outside=1.0 - float(total.sum()) / (n_frames * n_pairs),
    )


def _as_replicas(frames: Any, cells: Any) -> tuple[list[np.ndarray], list[np.ndarray | None]]:
    single = isinstance(frames, np.ndarray)
    replicas = [np.asarray(part, dtype=float) for part in ([frames] if single else frames)]
    boxes = [None] * len(replicas) if cells is None else ([cells] if single else list(cells))
    if not replicas or any(part.ndim != 3 or not len(part) for part in replicas):
        raise FfptError("h(r) needs positions of one frame or more, (n_frames, n_atoms, 3)")
    if len({part.shape[1] for part in replicas}) > 1 or replicas[0].shape[1] < 2:
        raise FfptError("h(r) needs replicas of one system with two atoms or more")
    if not all(np.isfinite(part).all() for part in replicas):
        raise FfptError("h(r) needs finite positions: cut the trajectory before its failure")
    return replicas, boxes


def _default_edges(replicas: list[np.ndarray], boxes: list[np.ndarray | None]) -> np.ndarray:
    longest = 0.0
    for positions, box in zip(replicas, boxes, strict=True):
        longest = max(longest, *(chunk.max() for chunk in distance_chunks(positions, cells=box)))
    return BIN * np.arange(int(np.ceil(longest / BIN)) + 2)


def _histogram(positions: np.ndarray, box: np.ndarray | None, edges: np.ndarray) -> np.ndarray:
    return np.sum([np.histogram(chunk, edges)[0] for chunk in distance_chunks(positions, cells=box)], axis=0)
