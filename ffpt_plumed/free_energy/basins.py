"""Basins of a free energy surface: regions given as ranges of the variables, and free energies between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from ffpt_core.base.errors import FfptError
from ffpt_plumed.free_energy.grid import FreeEnergy, thermal_energy
from ffpt_plumed.grids.axis import Array, Axis
from ffpt_plumed.text.numbers import plumed_number


@dataclass(frozen=True)
class Basin:
    """A region of the variables.

    Args:
        name: of the basin.
        ranges: lower and upper end for each variable that is limited, in the variable's unit. On periodic variables
            a range whose lower end is above its upper one goes through the end of the period.
    """

    name: str
    ranges: Mapping[str, tuple[float, float]]

    def contains(self, axes: Sequence[Axis], points: Array) -> NDArray[np.bool_]:
        """Which points (n, n_axes) lie in the region, (n,).

        Raises:
            FfptError: a variable of the basin has no axis.
        """
        names = [axis.name for axis in axes]
        inside = np.ones(len(points), dtype=bool)
        for name, (lower, upper) in self.ranges.items():
            if name not in names:
                raise FfptError(f"basin {self.name} is a range of {name}, but the variables are {', '.join(names)}")
            column, axis = points[:, names.index(name)], axes[names.index(name)]
            if lower <= upper:
                inside &= (column >= lower) & (column <= upper)
            elif axis.period is not None:
                inside &= (column >= lower) | (column <= upper)
            else:
                raise FfptError(f"basin {self.name}: the range of {name}, {lower:g} to {upper:g}, is empty")
        return inside

    def mask(self, axes: Sequence[Axis]) -> NDArray[np.bool_]:
        """Which points of a grid lie in the region, in the shape of the grid.

        Raises:
            FfptError: none.
        """
        grids = np.meshgrid(*(axis.points for axis in axes), indexing="ij")
        inside = self.contains(axes, np.stack([one.ravel() for one in grids], axis=1)).reshape(grids[0].shape)
        if not inside.any():
            ranges = ", ".join(f"{axis.name} {axis.lower:g} to {axis.upper:g}" for axis in axes)
            raise FfptError(f"basin {self.name} holds no point of the grid, which covers {ranges}")
        return inside


def parse_basin(text: str) -> Basin:
    """A basin from text such as "products=phi:-2:-1,psi:0:pi".

    Raises:
        FfptError: it does not read like that.
    """
    name, _, ranges = text.partition("=")
    found = {}
    try:
        for part in ranges.split(","):
            variable, lower, upper = part.rsplit(":", 2)
            found[variable.strip()] = (plumed_number(lower), plumed_number(upper))
        if not name.strip() or not all(found):
            raise ValueError
    except (ValueError, FfptError):
        raise FfptError(f"{text!r}: write a basin as NAME=CV:LOWER:UPPER,..., such as products=d1:0.2:0.4") from None
    return Basin(name.strip(), found)


def basin_energy(fes: FreeEnergy, basin: Basin, temperature: float) -> float:
    """-kT ln of the sum of exp(-F/kT) over the points of a basin, in kJ/mol at a temperature in K."""
    kt = thermal_energy(temperature)
    return float(-kt * logsumexp(-fes.values[basin.mask(fes.axes)] / kt))


def lowest_point(fes: FreeEnergy, basin: Basin) -> tuple[int, ...]:
    """Index of the lowest point of a basin.

    Raises:
        FfptError: the free energy is not known anywhere in the basin.
    """
    values = np.where(basin.mask(fes.axes), fes.values, np.inf)
    if not np.isfinite(values).any():
        raise FfptError(f"basin {basin.name} was never visited")
    return tuple(int(one) for one in np.unravel_index(np.argmin(values), values.shape))
