"""What fes.json holds of a free energy."""

from __future__ import annotations

from typing import Any

import numpy as np

from ffpt_plumed.free_energy.analysis import Options, Surface
from ffpt_plumed.free_energy.basins import basin_energy
from ffpt_plumed.free_energy.convergence import low_region, rms_difference
from ffpt_plumed.free_energy.grid import FreeEnergy
from ffpt_plumed.free_energy.reweighting import Reweighted
from ffpt_plumed.grids.axis import Array


def to_record(surface: Surface, options: Options, unit: float, reference: FreeEnergy | None = None) -> dict[str, Any]:
    """Everything about a surface for JSON; energies in a unit of so many kJ/mol, None where they are unknown."""
    fes, settled = surface.fes, surface.convergence
    lowest = float(fes.values.min())
    record: dict[str, Any] = {
        "variables": fes.names,
        "n_hills": len(surface.hills),
        "time_ps": float(surface.hills.times[-1]),
        "bias_factor": surface.hills.bias_factor,
        "kernel": surface.hills.kernel,
        "grid": [
            {"name": one.name, "min": one.lower, "max": one.upper, "bins": one.n_bins, "periodic": bool(one.period)}
            for one in fes.axes
        ],
        "minima": [
            {**fes.position(one), "free_energy": (float(fes.values[one]) - lowest) / unit} for one in surface.minima
        ],
        "path": _path_record(surface, unit),
        "basins": _basin_record(surface, options, unit),
        "convergence": {
            "times_ps": settled.times,
            "rms_from_previous": _finite(settled.successive / unit),
            "rms_from_last": _finite(settled.to_last / unit),
            "differences": {name: _finite(one / unit) for name, one in settled.differences.items()},
        },
    }
    if surface.reweighted is not None:
        record["reweighted"] = _reweighted_record(surface, surface.reweighted, options, unit)
    if reference is not None:
        rms, largest = rms_difference(fes, reference, low_region(reference, options.within))
        record["reference"] = {"rms": rms / unit, "largest": largest / unit}
    return record


def _finite(series: Array) -> list[float | None]:
    return [float(one) if np.isfinite(one) else None for one in series]


def _path_record(surface: Surface, unit: float) -> dict[str, Any] | None:
    path = surface.path
    if path is None:
        return None
    return {
        "barrier": path.barrier / unit,
        "reverse_barrier": path.reverse_barrier / unit,
        "is_lower_bound": not surface.crossed,
        "top": dict(zip(surface.fes.names, path.points[path.top].tolist(), strict=True)),
        "points": path.points,
        "free_energy": (path.energies - path.energies[0]) / unit,
    }


def _basin_record(surface: Surface, options: Options, unit: float) -> dict[str, Any]:
    """Free energies relative to the first basin: at the end, and over the second half of the estimates."""
    if not surface.convergence.differences or options.temperature is None:
        return {}
    depths = {basin.name: basin_energy(surface.fes, basin, options.temperature) for basin in options.basins}
    first = options.basins[0].name
    record: dict[str, Any] = {}
    for name in surface.convergence.differences:
        mean, error = surface.convergence.late_difference(name)
        late = _finite(np.array([mean, error]) / unit)
        record[name] = {"relative_to": first, "difference": (depths[name] - depths[first]) / unit}
        record[name] |= {"mean_of_second_half": late[0], "block_error": late[1]}
    return record


def _reweighted_record(surface: Surface, found: Reweighted, options: Options, unit: float) -> dict[str, Any]:
    low = low_region(found.fes, options.within)
    errors = found.error[low]
    record: dict[str, Any] = {
        "method": options.method,
        "variables": found.fes.names,
        "n_frames": found.n_frames,
        "n_outside": found.n_outside,
        "effective_frames": found.effective,
        "median_error": _finite(np.array([np.median(errors[np.isfinite(errors)]) / unit]))[0],
        "differences": {
            name: dict(zip(("difference", "error"), _finite(np.array(pair) / unit), strict=True))
            for name, pair in surface.reweighted_differences.items()
        },
    }
    if found.fes.axes == surface.fes.axes:
        rms, largest = rms_difference(surface.fes, found.fes, low_region(surface.fes, options.within))
        record["from_hills"] = {"rms": rms / unit, "largest": largest / unit}
    return record
