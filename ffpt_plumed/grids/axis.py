"""The axes of grids."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ffpt_plumed.text.numbers import Period

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Axis:
    """One collective variable of a grid, in its unit.

    Args:
        name: of the variable.
        lower: first point.
        upper: last point; on a periodic axis the end of the period, which is no point.
        n_bins: number of intervals.
        period: of a periodic variable.
    """

    name: str
    lower: float
    upper: float
    n_bins: int
    period: Period | None = None

    @property
    def spacing(self) -> float:
        """Distance between points."""
        return (self.upper - self.lower) / self.n_bins

    @property
    def n_points(self) -> int:
        """Number of points: one more than bins, but not on a periodic axis."""
        return self.n_bins + (self.period is None)

    @property
    def points(self) -> Array:
        """(n_points,) values of the variable."""
        return np.arange(self.n_points, dtype=np.float64) * self.spacing + self.lower

    def differences(self, of: Array, minus: Array) -> Array:
        """Of - minus, in the nearest period."""
        difference = of - minus
        if self.period is not None:
            length = self.upper - self.lower
            difference -= length * np.round(difference / length)
        return difference

    def positions(self, values: Array) -> Array:
        """Where values lie on the axis, counted in points; in the first period of a periodic axis."""
        positions = (values - self.lower) / self.spacing
        return np.mod(positions, self.n_bins) if self.period is not None else positions
