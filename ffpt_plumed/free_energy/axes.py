"""Choosing the grid on which hills are summed."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from ffpt_core.errors import FfptError, FfptWarning
from ffpt_plumed.free_energy.grid import Axis
from ffpt_plumed.free_energy.hills import Hills


def default_axes(hills: Hills) -> tuple[Axis, ...]:
    """The grid that ``plumed sum_hills`` chooses: as far as the hills reach, ten points for the reach of the narrowest.

    Periodic variables have their whole period only where hills reach both its ends; here they always have.
    """
    supports = hills.supports()
    axes = []
    for k, name in enumerate(hills.names):
        lower = float((hills.centres[:, k] - supports[:, k]).min())
        upper = float((hills.centres[:, k] + supports[:, k]).max())
        lower, upper = hills.domains[k] or (lower, upper)
        n_bins = int(np.ceil((upper - lower) / (supports[:, k].min() / 10.0)))
        axes.append(Axis(name, lower, upper, n_bins, hills.periods[k]))
    return tuple(axes)


def make_axes(
    hills: Hills,
    lower: Sequence[float] | None = None,
    upper: Sequence[float] | None = None,
    bins: Sequence[int] | None = None,
    spacing: Sequence[float] | None = None,
) -> tuple[Axis, ...]:
    """A grid for hills; what is not given is that of default_axes.

    Args:
        hills: of a run.
        lower: first point for each variable.
        upper: last point for each variable.
        bins: number of intervals for each variable.
        spacing: largest distance of points for each variable.

    Raises:
        FfptError: not one number for each variable, both bins and spacing, an empty grid, part of a period, or no
            hill lies on it.
    """
    given = {"lower ends": lower, "upper ends": upper, "numbers of bins": bins, "spacings": spacing}
    for what, numbers in given.items():
        if numbers is not None and len(numbers) != len(hills.names):
            raise FfptError(f"{len(numbers)} {what} for {len(hills.names)} variables ({', '.join(hills.names)})")
    if bins is not None and spacing is not None:
        raise FfptError("give the number of bins or the spacing of the grid, not both")
    axes = []
    for k, axis in enumerate(default_axes(hills)):
        ends = (axis.lower if lower is None else lower[k], axis.upper if upper is None else upper[k])
        if axis.period is not None and not np.allclose(ends, (axis.lower, axis.upper)):
            raise FfptError(f"{axis.name} is periodic: its grid is its whole period {' to '.join(axis.period)}")
        if not ends[0] < ends[1]:
            raise FfptError(f"the grid of {axis.name} would go from {ends[0]:g} to {ends[1]:g}")
        fineness = axis.spacing if spacing is None else spacing[k]
        # A last bin for the rest is one too many where only rounding makes it.
        n_bins = (
            bins[k] if bins is not None else int(np.ceil((ends[1] - ends[0]) / fineness - 1e-9)) if fineness > 0 else 0
        )
        if n_bins < 1:
            raise FfptError(f"the grid of {axis.name} would have {n_bins} bins")
        axes.append(Axis(axis.name, *ends, n_bins, axis.period))
    _check_cover(hills, axes)
    return tuple(axes)


def _check_cover(hills: Hills, axes: Sequence[Axis]) -> None:
    """Say how many hills are centred off the grid, and refuse a grid without any."""
    inside = np.ones(len(hills), dtype=bool)
    for k, axis in enumerate(axes):
        if axis.period is None:
            inside &= (hills.centres[:, k] >= axis.lower) & (hills.centres[:, k] <= axis.upper)
    if inside.all():
        return
    ranges = ", ".join(f"{axis.name} {axis.lower:g} to {axis.upper:g}" for axis in axes)
    reach = ", ".join(
        f"{name} {low:g} to {high:g}"
        for name, low, high in zip(hills.names, hills.centres.min(axis=0), hills.centres.max(axis=0), strict=True)
    )
    if not inside.any():
        raise FfptError(f"no hill lies on the grid {ranges}; the hills cover {reach}")
    count = int((~inside).sum())
    message = f"{count} of {len(hills)} hills lie outside the grid {ranges}; the hills cover {reach}"
    warnings.warn(message, FfptWarning, stacklevel=3)
