"""How the free energy from hills settles over time."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ffpt_core.analysis.blocks import block_error
from ffpt_plumed.free_energy.basins import Basin, basin_energy
from ffpt_plumed.free_energy.grid import FreeEnergy
from ffpt_plumed.grids.axis import Array


@dataclass(frozen=True, eq=False)
class Convergence:
    """Estimates of the free energy after more and more hills, compared up to a constant.

    Args:
        within: kJ/mol above the minimum of the last estimate, where estimates are compared.
        times: (n,) ps.
        successive: (n,) RMS difference in kJ/mol from the estimate before; NaN for the first.
        to_last: (n,) RMS difference in kJ/mol from the last estimate.
        differences: for each basin but the first, (n,) its free energy minus that of the first in kJ/mol. Before hills
            reach a basin it counts as a flat one.
    """

    within: float
    times: Array
    successive: Array
    to_last: Array
    differences: dict[str, Array]

    def late_difference(self, name: str) -> tuple[float, float]:
        """Mean free energy difference of a basin over the second half of the estimates, with its block error."""
        late = self.differences[name][len(self.times) // 2 :]
        return float(late.mean()), block_error(late, 5)


def rms_difference(first: FreeEnergy, second: FreeEnergy, region: NDArray[np.bool_]) -> tuple[float, float]:
    """RMS and largest difference in kJ/mol over a region of the same grid, after the best shift.

    Points where one of them is unknown are left out.
    """
    difference = first.values[region] - second.values[region]
    difference = difference[np.isfinite(difference)]
    if not len(difference):
        return float("nan"), float("nan")
    difference = difference - difference.mean()
    return float(np.sqrt(np.mean(difference**2))), float(np.abs(difference).max())


def low_region(fes: FreeEnergy, within: float) -> NDArray[np.bool_]:
    """The points at most within kJ/mol above the minimum."""
    return fes.values <= fes.values.min() + within


def convergence(
    series: Sequence[tuple[float, FreeEnergy]],
    within: float = 40.0,
    basins: Sequence[Basin] = (),
    temperature: float | None = None,
) -> Convergence:
    """Compare the estimates of a run.

    Args:
        series: times in ps and estimates on the same grid.
        within: kJ/mol above the minimum of the last estimate, where estimates are compared.
        basins: whose free energies relative to the first are followed.
        temperature: K, for basins.
    """
    surfaces = [fes for _, fes in series]
    region = low_region(surfaces[-1], within)
    pairs = itertools.pairwise(surfaces)
    successive = [float("nan"), *(rms_difference(after, before, region)[0] for before, after in pairs)]
    to_last = [rms_difference(one, surfaces[-1], region)[0] for one in surfaces]
    differences = {}
    if temperature is not None and basins:
        first, *others = ([basin_energy(one, basin, temperature) for one in surfaces] for basin in basins)
        differences = {
            basin.name: np.subtract(energies, first) for basin, energies in zip(basins[1:], others, strict=True)
        }
    times = np.array([time for time, _ in series])
    return Convergence(within, times, np.array(successive), np.array(to_last), differences)
