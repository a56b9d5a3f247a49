"""Sums of the Gaussian hills of metadynamics, with the kernel of ``plumed sum_hills``.

HILLS files of well-tempered runs hold heights scaled by biasfactor/(biasfactor - 1) (Barducci, Bussi and Parrinello,
Phys. Rev. Lett. 100, 020603, 2008), so that minus the sum of the hills is the free energy of plain and well-tempered
runs alike. Hills are cut off at exp(-6.25) and stretched to end at zero, within a box of whole grid cells
(src/tools/KernelFunctions.cpp and BiasRepresentation.cpp of PLUMED 2.x).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from ffpt_plumed.free_energy.grid import FreeEnergy
from ffpt_plumed.free_energy.hills import Hills
from ffpt_plumed.grids.axis import Array, Axis
from ffpt_plumed.grids.gaussian import CUTOFF, STRETCH

_BATCH = 1 << 20
"""Values of hills on grid points that are held at once."""


def sum_hills(hills: Hills, axes: Sequence[Axis]) -> FreeEnergy:
    """Minus the sum of the hills, with its derivatives: the free energy up to a constant."""
    values = np.zeros((1 + len(axes), *(axis.n_points for axis in axes)))
    _add_hills(values, hills, axes, derivatives=True)
    return FreeEnergy(tuple(axes), -values[0], -values[1:])


def estimates(hills: Hills, axes: Sequence[Axis], n_estimates: int) -> Iterator[tuple[float, FreeEnergy]]:
    """The free energy after each of n_estimates equal numbers of hills, with the time in ps.

    The estimates hold no derivatives.
    """
    values = np.zeros((1, *(axis.n_points for axis in axes)))
    stops = np.unique(np.linspace(0, len(hills), n_estimates + 1).round().astype(int))
    for start, stop in itertools.pairwise(stops):
        _add_hills(values, hills.part(start, stop), axes)
        yield float(hills.times[stop - 1]), FreeEnergy(tuple(axes), -values[0])


def _add_hills(values: Array, hills: Hills, axes: Sequence[Axis], derivatives: bool = False) -> None:
    """Add hills, and where asked for their derivatives, to values (1 or 1 + n_axes, n_points, ...) in place."""
    reach = np.ceil(hills.supports() / [axis.spacing for axis in axes]).astype(int)
    largest = reach.max(axis=0) if len(hills) else np.zeros(len(axes), dtype=int)
    widths = [min(axis.n_points, 2 * int(most) + 1) for axis, most in zip(axes, largest, strict=True)]
    size = max(1, _BATCH // int(np.prod(widths)))
    for start in range(0, len(hills), size):
        batch = hills.part(start, start + size)
        _add_batch(values, batch, reach[start : start + size], widths, axes, derivatives)


def _add_batch(
    values: Array, hills: Hills, reach: np.ndarray, widths: Sequence[int], axes: Sequence[Axis], derivatives: bool
) -> None:
    """Add hills that fit into boxes of widths points; arrays are (n_hills, points of axis 1, of axis 2, ...)."""
    n_axes = len(axes)
    index: np.ndarray = np.zeros((1,) * (1 + n_axes), dtype=int)
    inside: np.ndarray = np.ones((1,) * (1 + n_axes), dtype=bool)
    differences = []
    for k, axis in enumerate(axes):
        shape = [1] * (1 + n_axes)
        shape[0], shape[1 + k] = len(hills), widths[k]
        points, near = _box(axis, hills.centres[:, k], reach[:, k], widths[k])
        along = axis.differences(axis.lower + axis.spacing * points, hills.centres[:, k : k + 1])
        differences.append(along.reshape(shape))
        index = index * axis.n_points + np.clip(points, 0, axis.n_points - 1).reshape(shape)
        inside = inside & near.reshape(shape)
    metric = np.linalg.inv(hills.covariances).reshape(len(hills), n_axes, n_axes, *[1] * n_axes)
    slopes = [
        sum(metric[:, k, m] * differences[m] for m in range(n_axes) if k == m or metric[:, k, m].any())
        for k in range(n_axes)
    ]
    exponent = 0.5 * sum(difference * slope for difference, slope in zip(differences, slopes, strict=True))
    gaussian = np.where(inside, np.exp(-exponent), 0.0)
    heights = hills.heights.reshape(-1, *[1] * n_axes)
    if hills.kernel == "stretched-gaussian":
        inside = inside & (exponent < CUTOFF)
        gaussian = np.where(inside, STRETCH * heights * gaussian, 0.0)
        kernel = gaussian + np.where(inside, (1.0 - STRETCH) * heights, 0.0)
    else:
        kernel = gaussian = heights * gaussian
    parts = [kernel, *(-gaussian * slope for slope in slopes)] if derivatives else [kernel]
    for total, part in zip(values, parts, strict=True):
        total += np.bincount(index.ravel(), weights=part.ravel(), minlength=total.size).reshape(total.shape)


def _box(axis: Axis, centres: Array, reach: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """The points (n_hills, width) of an axis around centres, and which of them hills reach.

    PLUMED counts the reach in whole cells from the point below the centre. Each point comes once, also where a hill
    is wider than the period.
    """
    below = np.floor((centres - axis.lower) / axis.spacing).astype(int)[:, None]
    points = np.arange(width) if width == axis.n_points else below + np.arange(width) - width // 2
    points = np.broadcast_to(points, (len(centres), width))
    offset = points - below
    if axis.period is None:
        return points, (np.abs(offset) <= reach[:, None]) & (points >= 0) & (points < axis.n_points)
    offset = (offset + axis.n_bins // 2) % axis.n_bins - axis.n_bins // 2
    return points % axis.n_bins, np.abs(offset) <= reach[:, None]
