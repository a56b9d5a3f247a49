"""Minima of a free energy surface, and the lowest barriers between them.

The barrier between two points is the least that the highest free energy along any way between them can be (minimax).
The minimum spanning tree of the grid, each edge as high as the higher of its points, holds such a way between every
two points (Hu, Oper. Res. 9, 898, 1961), so one tree gives all barriers exactly.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, dijkstra, minimum_spanning_tree

from ffpt_core.base.errors import FfptError
from ffpt_plumed.free_energy.grid import FreeEnergy
from ffpt_plumed.grids.axis import Array, Axis


@dataclass(frozen=True, eq=False)
class MinimumPath:
    """A way over a free energy surface.

    Args:
        indices: (n, n_axes) points of the grid, from start to end.
        points: (n, n_axes) values of the variables.
        energies: (n,) free energies in kJ/mol.
    """

    indices: np.ndarray
    points: Array
    energies: Array

    @property
    def top(self) -> int:
        """Position of the highest point."""
        return int(np.argmax(self.energies))

    @property
    def barrier(self) -> float:
        """Highest free energy above the start, kJ/mol."""
        return float(self.energies[self.top] - self.energies[0])

    @property
    def reverse_barrier(self) -> float:
        """Highest free energy above the end, kJ/mol."""
        return float(self.energies[self.top] - self.energies[-1])


class Landscape:
    """A free energy surface as a graph of neighbouring points, diagonal ones included.

    Points of unknown free energy (inf) have no neighbours.
    """

    def __init__(self, fes: FreeEnergy) -> None:
        self.fes = fes
        self._flat = fes.values.ravel()
        self._edges = _neighbours(fes.axes)
        known = np.isfinite(self._flat[self._edges]).all(axis=1)
        self._edges = self._edges[known]
        # csgraph takes zeros for missing edges: heights count from 1.
        heights = self._flat[self._edges].max(axis=1)
        heights = heights - heights.min() + 1.0 if len(heights) else heights
        tree = minimum_spanning_tree(self._graph(self._edges, heights))
        self._tree = tree + tree.T

    def _graph(self, edges: np.ndarray, weights: Array) -> csr_array:
        return csr_array((weights, (edges[:, 0], edges[:, 1])), shape=(self._flat.size,) * 2)

    def barriers_from(self, start: Sequence[int]) -> Array:
        """The lowest highest free energy on the way from a point to each point of the grid; inf where there is none."""
        source = int(np.ravel_multi_index(tuple(start), self.fes.values.shape))
        order, previous = breadth_first_order(self._tree, source, directed=False)
        highest = np.full(self._flat.size, np.inf)
        highest[source] = self._flat[source]
        for node in order[1:]:
            highest[node] = max(highest[previous[node]], self._flat[node])
        return highest.reshape(self.fes.values.shape)

    def minima(self, depth: float, most: int = 10) -> list[tuple[int, ...]]:
        """Indices of the local minima, from the lowest up, that barriers of depth kJ/mol separate from lower ones."""
        lowest = np.full(self._flat.size, np.inf)
        for here, there in ((0, 1), (1, 0)):
            np.minimum.at(lowest, self._edges[:, here], self._flat[self._edges[:, there]])
        candidates = np.flatnonzero((self._flat <= lowest) & np.isfinite(lowest))
        # The lowest barrier to any minimum found so far.
        escape = np.full(self._flat.size, np.inf)
        found: list[tuple[int, ...]] = []
        for point in candidates[np.argsort(self._flat[candidates], kind="stable")]:
            if len(found) < most and escape[point] - self._flat[point] >= depth:
                found.append(tuple(int(one) for one in np.unravel_index(point, self.fes.values.shape)))
                escape = np.minimum(escape, self.barriers_from(found[-1]).ravel())
        return found

    def path(self, start: Sequence[int], end: Sequence[int]) -> MinimumPath:
        """The way of the lowest barrier between two points of the grid.

        Among all ways that go no higher, it is the one with the least integral of exp(F/s) over its length in points,
        with s a tenth of the range of energies.

        Raises:
            FfptError: no way joins the points.
        """
        shape = self.fes.values.shape
        first, last = (int(np.ravel_multi_index(tuple(one), shape)) for one in (start, end))
        top = float(self.barriers_from(start).ravel()[last])
        if not np.isfinite(top):
            raise FfptError("no way over sampled points joins the two minima")
        edges = self._edges[self._flat[self._edges].max(axis=1) <= top]
        scale = max(top - self._flat[np.isfinite(self._flat)].min(), 1e-12) / 10.0
        steps = np.stack(np.unravel_index(edges[:, 0], shape)) - np.stack(np.unravel_index(edges[:, 1], shape))
        lengths = np.sqrt((steps != 0).sum(axis=0))
        weights = lengths * np.exp((self._flat[edges] - top) / scale).mean(axis=1)
        graph = self._graph(edges, weights)
        _, previous = dijkstra(graph, directed=False, indices=first, return_predecessors=True)
        way = [last]
        while way[-1] != first:
            way.append(int(previous[way[-1]]))
        flat = np.array(way[::-1])
        indices = np.stack(np.unravel_index(flat, shape), axis=1)
        points = np.stack([axis.points[indices[:, k]] for k, axis in enumerate(self.fes.axes)], axis=1)
        return MinimumPath(indices, points, self._flat[flat])


def _neighbours(axes: Sequence[Axis]) -> np.ndarray:
    """Pairs (n, 2) of neighbouring points of a grid, each once."""
    shape = tuple(axis.n_points for axis in axes)
    flat = np.arange(int(np.prod(shape))).reshape(shape)
    pairs = []
    for step in itertools.product((-1, 0, 1), repeat=len(axes)):
        if step <= (0,) * len(axes):
            continue  # the opposite step gives the same pairs
        there = flat
        keep = np.ones(shape, dtype=bool)
        for k, (axis, one) in enumerate(zip(axes, step, strict=True)):
            there = np.roll(there, -one, axis=k)
            if axis.period is None and one:
                at_end = [slice(None)] * len(axes)
                at_end[k] = slice(-1, None) if one > 0 else slice(0, 1)
                keep[tuple(at_end)] = False
        pairs.append(np.stack([flat[keep], there[keep]], axis=1))
    return np.unique(np.sort(np.concatenate(pairs), axis=1), axis=0)
