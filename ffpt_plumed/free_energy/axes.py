"""Choosing the grid on which hills are summed."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ffpt_core.base.errors import FfptError, FfptWarning
from ffpt_plumed.free_energy.hills import Hills
from ffpt_plumed.grids.axis import Axis
from ffpt_plumed.text.tables import Table


def default_axes(hills: Hills) -> tuple[Axis, ...]:
    """The grid that ``plumed sum_hills`` chooses: as far as the hills reach, ten points for the reach of the narrowest.

    Periodic variables have their whole period only where hills reach both its ends; here they always have.
    """
    supports = hills.supports()
    axes = []
    for k, name in enumerate(hills.names):
        lower = float((hills.centres[:, k] - supports[:, k]).min())
        upper = float((hills.centres[:, k] + supports[:, k]).max())
        period = hills.periods[k]
        if period is not None:
            lower, upper = period.low, period.high
        n_bins = int(np.ceil((upper - lower) / (supports[:, k].min() / 10.0)))
        axes.append(Axis(name, lower, upper, n_bins, period))
    return tuple(axes)


@dataclass(frozen=True)
class GridChoice:
    """What a user says about a grid; None leaves a default.

    Args:
        lower: first point for each variable.
        upper: last point for each variable.
        bins: number of intervals for each variable.
        spacing: largest distance of points for each variable, instead of bins.
    """

    lower: tuple[float, ...] | None = None
    upper: tuple[float, ...] | None = None
    bins: tuple[int, ...] | None = None
    spacing: tuple[float, ...] | None = None

    def check(self, names: Sequence[str]) -> None:
        """Refuse what does not fit the variables.

        Raises:
            FfptError: not one number for each variable, or both bins and spacing.
        """
        numbers = {"lower ends": self.lower, "upper ends": self.upper, "numbers of bins": self.bins}
        for what, given in (numbers | {"spacings": self.spacing}).items():
            if given is not None and len(given) != len(names):
                raise FfptError(f"{len(given)} {what} for {len(names)} variables ({', '.join(names)})")
        if self.bins is not None and self.spacing is not None:
            raise FfptError("give the number of bins or the spacing of the grid, not both")

    def apply(self, axis: Axis, position: int) -> Axis:
        """A default axis with what is said about the variable at a position.

        Raises:
            FfptError: an empty grid, or part of a period.
        """
        lower = axis.lower if self.lower is None else self.lower[position]
        upper = axis.upper if self.upper is None else self.upper[position]
        if axis.period is not None and not np.allclose((lower, upper), (axis.lower, axis.upper)):
            raise FfptError(f"{axis.name} is periodic: its grid is its whole period {axis.period}")
        if not lower < upper:
            raise FfptError(f"the grid of {axis.name} would go from {lower:g} to {upper:g}")
        if self.bins is not None:
            n_bins = self.bins[position]
        else:
            spacing = axis.spacing if self.spacing is None else self.spacing[position]
            # Rounding alone should not make a bin more.
            n_bins = int(np.ceil((upper - lower) / spacing - 1e-9)) if spacing > 0 else 0
        if n_bins < 1:
            raise FfptError(f"the grid of {axis.name} would have {n_bins} bins")
        return Axis(axis.name, lower, upper, n_bins, axis.period)


def make_axes(hills: Hills, choice: GridChoice | None = None, names: Sequence[str] | None = None) -> tuple[Axis, ...]:
    """A grid for hills; what is not given is that of default_axes.

    Args:
        hills: of a run.
        choice: what is given.
        names: the variables that it is given for, in their order; default: those of the hills.

    Raises:
        FfptError: the choice does not fit (see GridChoice), or no hill lies on the grid.
    """
    choice = choice or GridChoice()
    names = tuple(names or hills.names)
    choice.check(names)
    defaults = default_axes(hills)
    axes = tuple(choice.apply(one, names.index(one.name)) if one.name in names else one for one in defaults)
    _check_cover(hills, axes)
    return axes


def column_axes(table: Table, names: Sequence[str], choice: GridChoice | None = None) -> tuple[Axis, ...]:
    """A grid for columns of a table; what is not given are their extent and 50 bins.

    Raises:
        FfptError: a column is not there or has one value only, or the choice does not fit (see GridChoice).
    """
    choice = choice or GridChoice()
    choice.check(names)
    axes = []
    for position, name in enumerate(names):
        period = table.period(name)
        lower, upper = float(table[name].min()), float(table[name].max())
        if period is not None:
            lower, upper = period.low, period.high
        axes.append(choice.apply(Axis(name, lower, upper, 50, period), position))
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
    warnings.warn(message, FfptWarning, stacklevel=4)
