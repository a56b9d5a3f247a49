"""The Gaussian hills of metadynamics, from PLUMED's HILLS files."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ffpt_core.base.errors import FfptError, FfptWarning
from ffpt_plumed.grids.axis import Array
from ffpt_plumed.grids.gaussian import CUTOFF
from ffpt_plumed.text.numbers import Period
from ffpt_plumed.text.tables import Table, read_table

_KERNELS = ("stretched-gaussian", "gaussian")


@dataclass(frozen=True, eq=False)
class Hills:
    """The hills of a run, in the order of time.

    Args:
        names: of the n_cvs variables.
        periods: of each variable; None: it is not periodic.
        times: (n,) ps.
        centres: (n, n_cvs).
        covariances: (n, n_cvs, n_cvs) of the Gaussians.
        heights: (n,) kJ/mol, as in the file.
        bias_factor: of well-tempered runs; None for plain metadynamics.
        kernel: "stretched-gaussian" or "gaussian".
        multivariate: whether the file gives them as tilted Gaussians, of which PLUMED reckons the reach in its own way.
    """

    names: tuple[str, ...]
    periods: tuple[Period | None, ...]
    times: Array
    centres: Array
    covariances: Array
    heights: Array
    bias_factor: float | None
    kernel: str
    multivariate: bool = False

    def __len__(self) -> int:
        return len(self.heights)

    @property
    def kind(self) -> tuple[float | None, str, bool]:
        """Bias factor, kernel, and whether they are multivariate."""
        return self.bias_factor, self.kernel, self.multivariate

    def part(self, start: int, stop: int) -> Hills:
        """The hills from start to stop, in their order."""
        kept = slice(start, stop)
        arrays = (self.times[kept], self.centres[kept], self.covariances[kept], self.heights[kept])
        return Hills(self.names, self.periods, *arrays, *self.kind)

    def supports(self) -> Array:
        """How far each hill reaches along each variable, (n, n_cvs), in PLUMED's reckoning."""
        if not self.multivariate:
            return np.sqrt(2.0 * CUTOFF * np.diagonal(self.covariances, axis1=1, axis2=2))
        # The longest half axis alone: METAD with a grid deposits, and sum_hills sums, no more of a tilted Gaussian.
        eigenvalues, vectors = np.linalg.eigh(self.covariances)
        return np.sqrt(2.0 * CUTOFF * eigenvalues[:, -1:]) * np.abs(vectors[:, :, -1])


def read_hills(paths: Sequence[str | os.PathLike[str]], energy: float = 1.0) -> Hills:
    """The hills of one run, from one file or, of walkers that share their bias, several.

    Args:
        paths: HILLS files.
        energy: the unit of their heights in kJ/mol.

    Raises:
        FfptError: a file cannot be read, holds no hills, or is of other variables than the first.
    """
    tables = [read_table(path) for path in paths]
    runs = [_from_table(table, energy) for table in tables]
    first = runs[0]
    for table, run in zip(tables, runs, strict=True):
        for what in ("names", "periods", "kernel", "multivariate", "bias_factor"):
            if getattr(run, what) != getattr(first, what):
                raise FfptError(
                    f"{table.source} and {tables[0].source} are not of one run: their {what.replace('_', ' ')} "
                    f"are {getattr(run, what)} and {getattr(first, what)}"
                )
    times = np.concatenate([run.times for run in runs])
    # Walkers wrote at the same times; one file stays in its order even where its clock was set back.
    order = np.argsort(times, kind="stable") if len(runs) > 1 else np.arange(len(times))
    centres = np.concatenate([run.centres for run in runs])[order]
    covariances = np.concatenate([run.covariances for run in runs])[order]
    heights = np.concatenate([run.heights for run in runs])[order]
    return Hills(first.names, first.periods, times[order], centres, covariances, heights, *first.kind)


def _from_table(table: Table, energy: float) -> Hills:
    """Hills from the columns of a HILLS file."""
    if "time" not in table or "height" not in table:
        raise FfptError(f"{table.source} is not a HILLS file: it has no column 'time' or 'height'")
    if not len(table):
        raise FfptError(f"{table.source} holds no hills yet")
    if "lower_int" in table.constants:
        raise FfptError(f"{table.source} was made with METAD's INTERVAL, which only plumed sum_hills knows")
    first_width = next((k for k, name in enumerate(table.fields) if name.startswith("sigma_")), 0)
    names = tuple(name for name in table.fields[:first_width] if name != "time")
    if not 1 <= len(names) <= 3:
        raise FfptError(f"{table.source} has {len(names)} variables with widths (sigma_); there can be 1 to 3")
    kernel = table.constants.get("kerneltype", _KERNELS[0]).lower()
    if kernel not in _KERNELS:
        raise FfptError(f"{table.source} has hills of kind {kernel}; known are {' and '.join(_KERNELS)}")
    steps = np.diff(table["time"])
    if (steps < 0).any():
        row = int(np.argmax(steps < 0))
        before, after = table["time"][row : row + 2]
        message = f"{table.source}: time goes back from {before:g} to {after:g}: a restart may have repeated hills"
        warnings.warn(message, FfptWarning, stacklevel=4)
    periods = tuple(table.period(name) for name in names)
    # Plain metadynamics has -1 there, in some versions 1.
    factors = np.unique(np.maximum(table["biasf"], 1.0)) if "biasf" in table else np.ones(1)
    if len(factors) > 1:
        raise FfptError(f"{table.source} has hills of {len(factors)} bias factors, {factors[0]:g} to {factors[-1]:g}")
    bias_factor = float(factors[0]) if factors[0] > 1.0 else None
    arrays = (table["time"], table.columns(names), _covariances(table, names), energy * table["height"])
    return Hills(names, periods, *arrays, bias_factor, kernel, table.constants.get("multivariate") == "true")


def _covariances(table: Table, names: tuple[str, ...]) -> Array:
    """(n, n_cvs, n_cvs), from widths or, of multivariate hills, from Cholesky factors."""
    multivariate = table.constants.get("multivariate", "false")
    factors = np.zeros((len(table), len(names), len(names)))
    if multivariate == "false":
        for k, name in enumerate(names):
            factors[:, k, k] = table[f"sigma_{name}"]
    elif multivariate == "true":
        for row, name in enumerate(names):
            for column in range(row + 1):
                factors[:, row, column] = table[f"sigma_{name}_{names[column]}"]
    else:
        raise FfptError(f"{table.source}: hills with 'multivariate {multivariate}' are not supported")
    if not (np.diagonal(factors, axis1=1, axis2=2) > 0).all() or not np.isfinite(factors).all():
        raise FfptError(f"{table.source} has hills whose width is not positive")
    return factors @ np.swapaxes(factors, 1, 2)
