"""Free energies of any columns of a COLVAR file, by weighting frames of a metadynamics run.

Frame i counts exp(b_i/kT). Two choices of b:

- "rbias": the bias at its time minus the offset c(t) (Tiwary and Parrinello, J. Phys. Chem. B 119, 736, 2015).
- "final": the bias at the end of the run where the frame is (Branduardi, Bussi and Parrinello, J. Chem. Theory Comput.
  8, 2247, 2012), as if the whole run had been made in it. Frames from before the bias settled are better skipped.

Further biases (walls, restraints) are added in both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

from ffpt_core.analysis.blocks import jackknife_error
from ffpt_core.base.errors import FfptError
from ffpt_plumed.free_energy.basins import Basin
from ffpt_plumed.free_energy.grid import FreeEnergy, thermal_energy
from ffpt_plumed.free_energy.hills import Hills
from ffpt_plumed.free_energy.sums import estimates, sum_hills
from ffpt_plumed.grids.axis import Array, Axis
from ffpt_plumed.text.tables import Table

METHODS = ("rbias", "final")
"""The ways to weight frames."""


def offset(fes: FreeEnergy, bias_factor: float | None, temperature: float) -> float:
    """The offset c(t) in kJ/mol of the bias behind an estimate of the free energy, Tiwary and Parrinello's eq. 12.

    With F = -biasfactor/(biasfactor - 1) V it is kT ln of the sum of exp(-F/kT) over that of exp(-F/(biasfactor kT));
    in plain metadynamics the second exponent is zero.
    """
    kt = thermal_energy(temperature)
    flattened = 0.0 if bias_factor is None else 1.0 / bias_factor
    exponents = -fes.values.ravel() / kt
    return float(kt * (logsumexp(exponents) - logsumexp(flattened * exponents)))


def rbias(colvar: Table, hills: Hills, axes: Sequence[Axis], temperature: float, energy: float = 1.0) -> Array:
    """Bias minus offset c(t) of every frame in kJ/mol: the column *.rbias, or *.bias of METAD and c(t) from hills.

    Args:
        colvar: with the columns of a METAD action.
        hills: of the run.
        axes: grid for c(t).
        temperature: K.
        energy: the unit of the columns in kJ/mol.

    Raises:
        FfptError: there is no such column, or several.
    """
    ready = [name for name in colvar.fields if name.endswith(".rbias")]
    if len(ready) == 1:
        return energy * colvar[ready[0]]
    name = metad_bias(colvar)
    if name is None:
        raise FfptError(
            f"{colvar.source} has neither a column *.rbias nor a single *.bias: print metad.rbias (CALC_RCT) or "
            "metad.bias of the METAD action, or weight frames by the final bias (--reweight final)"
        )
    # c(t) grows as the logarithm of time does: so many steps follow it closely.
    steps = [(time, offset(fes, hills.bias_factor, temperature)) for time, fes in estimates(hills, axes, 1000)]
    times, offsets = np.array(steps).T
    # PLUMED writes a frame before it adds the hill of the same step.
    before = np.searchsorted(times, colvar["time"], side="left")
    return energy * colvar[name] - np.concatenate([[0.0], offsets])[before]


def metad_bias(colvar: Table) -> str | None:
    """The column of the metadynamics bias: "metad.bias", or the only *.bias there is."""
    biases = [name for name in colvar.fields if name.endswith(".bias")]
    likely = [name for name in biases if "metad" in name.lower()] or biases
    return likely[0] if len(likely) == 1 else None


def final_bias(colvar: Table, hills: Hills, axes: Sequence[Axis]) -> Array:
    """The bias at the end of the run at every frame's variables, kJ/mol; NaN off the grid."""
    scale = 1.0 if hills.bias_factor is None else 1.0 - 1.0 / hills.bias_factor
    return -scale * sum_hills(hills, axes).at(colvar.columns(hills.names))


@dataclass(frozen=True, eq=False)
class Reweighted:
    """A free energy from weighted frames.

    Args:
        fes: the free energy; inf where no frame was.
        error: its standard error in kJ/mol over blocks of the run, on the same grid; NaN where it is not known.
        n_frames: frames used.
        n_outside: frames off the grid, left out.
        effective: Kish's effective number of frames, (sum w)^2 / sum w^2.
    """

    fes: FreeEnergy
    error: Array
    n_frames: int
    n_outside: int
    effective: float


def reweight(points: Array, biases: Array, axes: Sequence[Axis], temperature: float, n_blocks: int = 5) -> Reweighted:
    """The free energy of weighted frames, on cells around the points of a grid.

    Args:
        points: (n_frames, n_axes) values of the variables, in the order of time.
        biases: (n_frames,) kJ/mol.
        axes: of the grid.
        temperature: K.
        n_blocks: blocks of the run for the error (jackknife).

    Raises:
        FfptError: no frame lies on the grid.
    """
    shape = tuple(axis.n_points for axis in axes)
    cells = [np.round(axis.positions(points[:, k])) for k, axis in enumerate(axes)]
    cells = [one % axis.n_points if axis.period is not None else one for one, axis in zip(cells, axes, strict=True)]
    inside = np.isfinite(biases) & np.isfinite(points).all(axis=1)
    for one, size in zip(cells, shape, strict=True):
        inside &= (one >= 0) & (one < size)
    if not inside.any():
        ranges = ", ".join(f"{axis.name} {axis.lower:g} to {axis.upper:g}" for axis in axes)
        raise FfptError(f"no frame lies on the grid {ranges}")
    kt = thermal_energy(temperature)
    flat = np.ravel_multi_index(tuple(one[inside].astype(int) for one in cells), shape)
    weights = np.exp((biases[inside] - biases[inside].max()) / kt)
    block = np.arange(len(flat)) * n_blocks // len(flat)
    size = int(np.prod(shape))
    counts = np.bincount(block * size + flat, weights=weights, minlength=n_blocks * size)
    table = counts.astype(np.float64).reshape(n_blocks, size)
    effective = float(weights.sum() ** 2 / (weights**2).sum())
    fes = FreeEnergy(tuple(axes), _free_energy(table.sum(axis=0), kt).reshape(shape))
    error = _jackknife(table, kt).reshape(shape)
    return Reweighted(fes, error, len(flat), int((~inside).sum()), effective)


def _free_energy(counts: Array, kt: float) -> Array:
    with np.errstate(divide="ignore"):
        return -kt * np.log(counts / counts.sum(axis=-1, keepdims=True))


def _jackknife(table: Array, kt: float) -> Array:
    """Standard errors (n_cells,) of the free energy from blocks (n_blocks, n_cells), as in jackknife_error."""
    n_blocks = len(table)
    values = _free_energy(table.sum(axis=0) - table, kt)
    with np.errstate(invalid="ignore"):
        return np.sqrt((n_blocks - 1) * np.var(values, axis=0))


def reweighted_difference(
    points: Array, biases: Array, axes: Sequence[Axis], pair: tuple[Basin, Basin], temperature: float, n_blocks: int = 5
) -> tuple[float, float]:
    """Free energy of the second basin minus that of the first in kJ/mol, with its error over blocks.

    Raises:
        FfptError: a basin was never visited.
    """
    kt = thermal_energy(temperature)
    known = np.isfinite(biases)
    weights = np.where(known, np.exp((np.where(known, biases, -np.inf) - biases[known].max()) / kt), 0.0)
    sums = np.stack([weights * basin.contains(axes, points) for basin in pair], axis=1)
    for basin, total in zip(pair, sums.sum(axis=0), strict=True):
        if total == 0.0:
            raise FfptError(f"basin {basin.name} was never visited")
    blocks = [part.mean(axis=0) for part in np.array_split(sums, n_blocks)]

    def difference(average: Array) -> float:
        return float(-kt * np.log(average[1] / average[0])) if (average > 0).all() else float("nan")

    return difference(sums.mean(axis=0)), jackknife_error(blocks, difference)
