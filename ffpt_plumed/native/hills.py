"""Sums of hills, as PLUMED adds them up: one by one (no GRID in the input), or on a grid."""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ffpt_core.base.errors import FfptError
from ffpt_plumed.grids.axis import Array, Axis
from ffpt_plumed.grids.gaussian import CUTOFF, STRETCH
from ffpt_plumed.text.numbers import Period


class HillBias(ABC):
    """The bias of metadynamics: hills, and what they add up to. Energies in the input's unit.

    Args:
        periods: of each argument; None: not periodic.
    """

    def __init__(self, periods: Sequence[Period | None]) -> None:
        self.lengths = np.array([0.0 if period is None else period.length for period in periods])
        self.dimension = len(periods)

    def differences(self, points: Array, centres: Array) -> Array:
        """Points minus centres, to the nearest image of a periodic argument; (..., dimension)."""
        differences = points - centres
        for k in np.flatnonzero(self.lengths):
            length = self.lengths[k]
            differences[..., k] -= length * np.floor(differences[..., k] / length + 0.5)
        return differences

    @abstractmethod
    def clear(self) -> None:
        """Take all hills away."""

    @abstractmethod
    def add(self, centre: Array, sigma: Array, height: float) -> None:
        """Add a hill: (dimension,) centre and widths, and its height.

        Raises:
            FfptError: the centre lies outside of the grid.
        """

    @abstractmethod
    def evaluate(self, point: Array) -> tuple[float, Array]:
        """The bias at (dimension,) values of the arguments, and its (dimension,) derivatives.

        Raises:
            FfptError: the point lies outside of the grid.
        """


class HillSum(HillBias):
    """All hills, each evaluated in full."""

    def __init__(self, periods: Sequence[Period | None]) -> None:
        super().__init__(periods)
        self.clear()

    def clear(self) -> None:
        self._count = 0
        self._centres = np.empty((64, self.dimension))
        self._inverse_sigmas = np.empty((64, self.dimension))
        self._heights = np.empty(64)

    def add(self, centre: Array, sigma: Array, height: float) -> None:
        if self._count == len(self._heights):
            arrays = (self._centres, self._inverse_sigmas, self._heights)
            self._centres, self._inverse_sigmas, self._heights = (np.concatenate([a, a]) for a in arrays)
        self._centres[self._count] = centre
        self._inverse_sigmas[self._count] = 1.0 / sigma
        self._heights[self._count] = height
        self._count += 1

    def evaluate(self, point: Array) -> tuple[float, Array]:
        inverse_sigmas = self._inverse_sigmas[: self._count]
        scaled = self.differences(point, self._centres[: self._count]) * inverse_sigmas
        exponents = 0.5 * np.einsum("ij,ij->i", scaled, scaled)
        near = np.flatnonzero(exponents < CUTOFF)
        heights = STRETCH * self._heights[near]
        gaussians = heights * np.exp(-exponents[near])
        energy = gaussians.sum() - math.exp(-CUTOFF) * heights.sum()
        return float(energy), -gaussians @ (scaled[near] * inverse_sigmas[near])


class HillGrid(HillBias):
    """Values and derivatives of the bias on a grid, between which PLUMED's cubic functions interpolate.

    The part of a corner with value V and derivatives d_k is V prod_k (h0(t_k) + d_k / V dx_k h1(t_k)), with the cubic
    Hermite functions h0 and h1 of the distance t_k from the corner in grid spacings dx_k (PLUMED's src/tools/Grid.cpp).

    Args:
        axes: of each argument.
    """

    def __init__(self, axes: Sequence[Axis]) -> None:
        super().__init__([axis.period for axis in axes])
        self.axes = tuple(axes)
        self._points = [axis.points for axis in axes]
        self.clear()

    def clear(self) -> None:
        shape = tuple(axis.n_points for axis in self.axes)
        self.values: Array = np.zeros(shape)
        self.derivatives: Array = np.zeros((self.dimension, *shape))

    def add(self, centre: Array, sigma: Array, height: float) -> None:
        near = [self._near(k, value, width) for k, (value, width) in enumerate(zip(centre, sigma, strict=True))]
        points = np.stack(np.meshgrid(*(self._points[k][n] for k, n in enumerate(near)), indexing="ij"), axis=-1)
        scaled = self.differences(points, centre) / sigma
        exponents = 0.5 * (scaled**2).sum(axis=-1)
        inside = exponents < CUTOFF
        gaussians = np.where(inside, STRETCH * height * np.exp(-exponents), 0.0)
        window = np.ix_(*near)
        self.values[window] += gaussians - np.where(inside, STRETCH * height * math.exp(-CUTOFF), 0.0)
        for k in range(self.dimension):
            self.derivatives[k][window] -= gaussians * scaled[..., k] / sigma[k]

    def evaluate(self, point: Array) -> tuple[float, Array]:
        cells, offsets = zip(*(self._cell(k, value) for k, value in enumerate(point)), strict=True)
        value, gradient = 0.0, np.zeros(self.dimension)
        for corner in itertools.product((0, 1), repeat=self.dimension):
            index = self._corner(cells, corner)
            if index is None or self.values[index] == 0.0:
                continue
            factors, slopes = self._factors(index, corner, offsets)
            value += self.values[index] * factors.prod()
            for k in range(self.dimension):
                gradient[k] += self.values[index] * slopes[k] * np.delete(factors, k).prod()
        return float(value), gradient

    def ratios(self) -> Array:
        """(dimension, ...) derivatives over values, times spacings; 0 where PLUMED takes a value for 0."""
        small = np.abs(self.values) < 1e-7
        ratios = np.where(small, 0.0, self.derivatives / np.where(small, 1.0, self.values))
        return ratios * np.array([axis.spacing for axis in self.axes]).reshape(-1, *[1] * self.dimension)

    def _factors(
        self, index: tuple[int, ...], corner: tuple[int, ...], offsets: Sequence[float]
    ) -> tuple[Array, Array]:
        """What one corner contributes along each axis, and its slope."""
        value = self.values[index]
        spacings = np.array([axis.spacing for axis in self.axes])
        sides = 1.0 - 2.0 * np.array(corner)
        t = np.abs(np.array(offsets) - np.array(corner))
        ratios: Array = np.zeros(self.dimension)
        if abs(value) >= 1e-7:
            ratios = sides * spacings * np.array([slope[index] for slope in self.derivatives]) / value
        factors = 1.0 - 3.0 * t**2 + 2.0 * t**3 + ratios * (t - 2.0 * t**2 + t**3)
        slopes = sides * (-6.0 * t + 6.0 * t**2 + ratios * (1.0 - 4.0 * t + 3.0 * t**2)) / spacings
        return factors, slopes

    def _corner(self, cells: Sequence[int], corner: Sequence[int]) -> tuple[int, ...] | None:
        """Index of a corner of a cell; None: beyond the last point, where there is no bias."""
        index = []
        for axis, cell, step in zip(self.axes, cells, corner, strict=True):
            k = cell + step
            if k >= axis.n_points:
                if axis.period is None:
                    return None
                k -= axis.n_points
            index.append(k)
        return tuple(index)

    def _cell(self, k: int, value: float) -> tuple[int, float]:
        """The grid cell of a value, and the distance from its lower corner in spacings."""
        axis = self.axes[k]
        position = (value - axis.lower) / axis.spacing
        if axis.period is not None:
            position -= axis.n_bins * math.floor(position / axis.n_bins)
            position = 0.0 if position >= axis.n_bins else position  # rounding
        cell = math.floor(position) if math.isfinite(position) else -1
        if not 0 <= cell < axis.n_points:
            raise FfptError(
                f"{axis.name} is {value:g}, outside of its grid from {axis.lower:g} to {axis.upper:g}: "
                "widen GRID_MIN and GRID_MAX, or keep it in with walls"
            )
        return cell, position - cell

    def _near(self, k: int, centre: float, sigma: float) -> NDArray[np.intp]:
        """Indices of the points that a hill may reach."""
        axis = self.axes[k]
        cell, _ = self._cell(k, centre)
        reach = math.ceil(math.sqrt(2.0 * CUTOFF) * sigma / axis.spacing)
        if axis.period is None:
            return np.arange(max(cell - reach, 0), min(cell + reach + 1, axis.n_points))
        if 2 * reach + 1 >= axis.n_points:
            return np.arange(axis.n_points)
        return np.arange(cell - reach, cell + reach + 1) % axis.n_points
