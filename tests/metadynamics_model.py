"""Well-tempered metadynamics of overdamped walkers on a known free energy, written as PLUMED writes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ffpt_core.base.units import BOLTZMANN_KJ_PER_MOL
from ffpt_plumed.text.tables import Table
from ffpt_plumed.text.writing import COLVAR_FORMAT, write_table

TEMPERATURE = 300.0
KT = TEMPERATURE * BOLTZMANN_KJ_PER_MOL
Array = NDArray[np.float64]

BARRIER, TILT = 12.0, 3.0
"""kJ/mol: of the double well BARRIER (x^2 - 1)^2 + TILT x, whose wells are near -1 and 1."""


def double_well(x: Array) -> Array:
    """Free energy (n,) in kJ/mol of points (n, 1)."""
    return BARRIER * (x[:, 0] ** 2 - 1.0) ** 2 + TILT * x[:, 0]


def double_well_force(x: Array) -> Array:
    """Minus its derivative, (n, 1)."""
    return -4.0 * BARRIER * x * (x**2 - 1.0) - TILT


class Bias:
    """Hills on a grid, deposited and read off without the code that is tested: plain Gaussians, linear interpolation.

    Args:
        lower: first point of the grid in every direction.
        upper: last point.
        n_points: of every direction.
        n_axes: number of variables.
        sigma: width of the hills.
    """

    def __init__(self, lower: float, upper: float, n_points: int, n_axes: int, sigma: float) -> None:
        self.points = np.linspace(lower, upper, n_points)
        self.spacing = self.points[1] - self.points[0]
        self.sigma = sigma
        self.counts = np.zeros((n_points,) * n_axes)
        reach = np.arange(-int(6 * sigma / self.spacing), int(6 * sigma / self.spacing) + 1)
        self.kernel = np.exp(-0.5 * (reach * self.spacing / sigma) ** 2)
        self.values = np.zeros_like(self.counts)

    def read(self, x: Array) -> tuple[Array, Array]:
        """Bias (n,) and its gradient (n, n_axes) at points (n, n_axes)."""
        at = np.clip((x - self.points[0]) / self.spacing, 1, len(self.points) - 2.001)
        below = at.astype(int)
        rest = at - below
        value = np.zeros(len(x))
        gradient = np.zeros_like(x)
        for corner in np.ndindex(*(2,) * x.shape[1]):
            parts = np.where(np.array(corner) == 1, rest, 1.0 - rest)
            there = self.values[tuple((below + corner).T)]
            value += parts.prod(axis=1) * there
            for k in range(x.shape[1]):
                others = np.delete(parts, k, axis=1).prod(axis=1)
                gradient[:, k] += (2 * corner[k] - 1) * others * there / self.spacing
        return value, gradient

    def deposit(self, x: Array, heights: Array) -> None:
        """Add hills at the nearest points of the grid, which is far finer than they are."""
        nearest = np.clip(np.round((x - self.points[0]) / self.spacing).astype(int), 0, len(self.points) - 1)
        added = np.zeros_like(self.counts)
        np.add.at(added, tuple(nearest.T), heights)
        for k in range(x.shape[1]):
            added = np.apply_along_axis(np.convolve, k, added, self.kernel, mode="same")
        self.values += added


def metadynamics(
    folder: Path,
    names: Sequence[str],
    free_energy: Callable[[Array], Array],
    force: Callable[[Array], Array],
    start: Array,
    *,
    n_steps: int,
    stride: int = 20,
    step: float = 0.05,
    sigma: float = 0.1,
    height: float = 0.05,
    bias_factor: float = 8.0,
    limits: tuple[float, float] = (-2.0, 2.0),
    n_points: int = 401,
    seed: int = 1,
) -> Table:
    """Run walkers that share their bias; write HILLS and COLVAR (with metad.bias and metad.rbias) to folder.

    Returns:
        COLVAR.
    """
    rng = np.random.default_rng(seed)
    bias = Bias(*limits, n_points, start.shape[1], sigma)
    mobility = 0.5 * step**2 / KT
    x = start.copy()
    noise = rng.normal(size=x.shape)
    hills, frames = [], []
    for number in range(1, n_steps + 1):
        _, gradient = bias.read(x)
        noise, before = rng.normal(size=x.shape), noise
        # Leimkuhler and Matthews (2013): sampling is right to second order in the time step.
        x = x + mobility * (force(x) - gradient) + 0.5 * step * (noise + before)
        if number % stride == 0:
            time = np.full((len(x), 1), 0.01 * number)
            here, _ = bias.read(x)
            flat = -bias.values * bias_factor / (bias_factor - 1.0) / KT
            offset = KT * np.log(np.exp(-flat).sum() / np.exp(-flat / bias_factor).sum())
            frames.append(np.hstack([time, x, here[:, None], (here - offset)[:, None]]))
            heights = height * np.exp(-here / (KT * (bias_factor - 1.0)))
            bias.deposit(x, heights)
            scaled = heights[:, None] * bias_factor / (bias_factor - 1.0)
            hills.append(np.hstack([time, x, np.full_like(x, sigma), scaled, np.full_like(time, bias_factor)]))
    widths = tuple(f"sigma_{name}" for name in names)
    constants = {"multivariate": "false", "kerneltype": "stretched-gaussian"}
    write_table(folder / "HILLS", Table(("time", *names, *widths, "height", "biasf"), constants, np.concatenate(hills)))
    colvar = Table(("time", *names, "metad.bias", "metad.rbias"), {}, np.concatenate(frames))
    write_table(folder / "COLVAR", colvar, COLVAR_FORMAT)
    return colvar
