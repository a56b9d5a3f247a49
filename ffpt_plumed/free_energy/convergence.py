"""How the free energy from hills settles over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ffpt_core.analysis.blocks import block_error
from ffpt_plumed.free_energy.basins import Basin, basin_energy
from ffpt_plumed.free_energy.grid import Array, Axis, FreeEnergy
from ffpt_plumed.free_energy.hills import Hills
from ffpt_plumed.free_energy.sums import estimates


@dataclass(frozen=True, eq=False)
class Convergence:
    """Estimates of the free energy after more and more hills, compared up to a constant.

    Args:
        within: kJ/mol above the minimum of the last estimate, where estimates are compared.
        times: (n,) ps.
        successive: (n,) RMS difference in kJ/mol from the estimate before; NaN for the first.
        to_last: (n,) RMS difference in kJ/mol from the last estimate.
        differences: for each basin but the first, (n,) its free energy minus that of the first in kJ/mol; inf before
            it was reached.
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

    def to_dict(self) -> dict[str, Any]:
        """Everything, for JSON; what is not finite is None."""
        return {
            "within_kj_per_mol": self.within,
            "times_ps": self.times,
            "rms_from_previous_kj_per_mol": _finite(self.successive),
            "rms_from_last_kj_per_mol": _finite(self.to_last),
            "differences_kj_per_mol": {name: _finite(series) for name, series in self.differences.items()},
        }


def _finite(series: Array) -> list[float | None]:
    return [float(one) if np.isfinite(one) else None for one in series]


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
    hills: Hills,
    axes: Sequence[Axis],
    within: float = 40.0,
    n_estimates: int = 40,
    basins: Sequence[Basin] = (),
    temperature: float | None = None,
) -> Convergence:
    """Compare the estimates after 1/n, 2/n, ... of the hills.

    Args:
        hills: of a run, in the order of time.
        axes: of the grid.
        within: kJ/mol above the minimum of the last estimate, where estimates are compared.
        n_estimates: number of estimates.
        basins: whose free energies relative to the first are followed.
        temperature: K, for basins.
    """
    kept = list(estimates(hills, axes, n_estimates))
    last = kept[-1][1]
    region = low_region(last, within)
    successive, to_last, depths = [float("nan")], [], []
    for index, (_, one) in enumerate(kept):
        if index:
            successive.append(rms_difference(one, kept[index - 1][1], region)[0])
        to_last.append(rms_difference(one, last, region)[0])
        if temperature is not None:
            depths.append([basin_energy(one, basin, temperature) for basin in basins])
    energies = np.array(depths).reshape(len(depths), -1)
    differences = {basin.name: energies[:, k] - energies[:, 0] for k, basin in enumerate(basins) if k and len(depths)}
    times = np.array([time for time, _ in kept])
    return Convergence(within, times, np.array(successive), np.array(to_last), differences)
