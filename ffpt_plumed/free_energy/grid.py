"""Free energies on grids of one to three collective variables, in PLUMED's grid format."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import map_coordinates
from scipy.special import logsumexp

from ffpt_core.base.errors import FfptError
from ffpt_core.base.units import BOLTZMANN_KJ_PER_MOL
from ffpt_plumed.grids.axis import Array, Axis
from ffpt_plumed.text.numbers import Period, plumed_number
from ffpt_plumed.text.tables import Table, read_table
from ffpt_plumed.text.writing import GRID_FORMAT, write_table

_PADDING = 8
"""Points by which periodic axes are extended for a cubic spline, whose coefficients decay by 0.27 a point."""


def thermal_energy(temperature: float) -> float:
    """kT in kJ/mol at a temperature in K."""
    return temperature * BOLTZMANN_KJ_PER_MOL


@dataclass(frozen=True, eq=False)
class FreeEnergy:
    """A free energy surface (FES).

    Args:
        axes: the collective variables.
        values: free energy in kJ/mol on the points of the axes, (n_points of the first, ...); inf where unknown.
        gradient: (n_axes, ...) its derivatives in kJ/mol by unit of the variables, or None.
    """

    axes: tuple[Axis, ...]
    values: Array
    gradient: Array | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Of the variables."""
        return tuple(axis.name for axis in self.axes)

    def axis(self, name: str) -> Axis:
        """The axis of a variable.

        Raises:
            FfptError: there is none.
        """
        if name not in self.names:
            raise FfptError(f"{name!r} is no variable of this free energy; it has {', '.join(self.names)}")
        return self.axes[self.names.index(name)]

    def from_minimum(self) -> FreeEnergy:
        """The same with its minimum at zero."""
        return FreeEnergy(self.axes, self.values - self.values.min(), self.gradient)

    def position(self, index: Sequence[int]) -> dict[str, float]:
        """The values of the variables at a point of the grid."""
        return {axis.name: float(axis.points[one]) for axis, one in zip(self.axes, index, strict=True)}

    def project(self, names: Sequence[str], temperature: float) -> FreeEnergy:
        """The free energy of some of the variables, -kT ln of the integral of exp(-F/kT) over the others.

        Raises:
            FfptError: a variable is not there.
        """
        kept = [self.axes.index(self.axis(name)) for name in names]
        others = tuple(position for position in range(len(self.axes)) if position not in kept)
        kt = thermal_energy(temperature)
        volume = float(np.prod([self.axes[position].spacing for position in others]))
        values = -kt * (logsumexp(-self.values / kt, axis=others) + np.log(volume)) if others else self.values
        order = [sorted(kept).index(position) for position in kept]
        return FreeEnergy(tuple(self.axes[position] for position in kept), np.transpose(values, order))

    def at(self, points: Array) -> Array:
        """Free energies (n,) at points (n, n_axes), by a cubic spline; NaN outside the grid."""
        padding = [(0, 0) if axis.period is None else (_PADDING, _PADDING) for axis in self.axes]
        padded = np.pad(self.values, padding, mode="wrap")
        positions = np.stack([axis.positions(points[:, k]) for k, axis in enumerate(self.axes)])
        inside = np.ones(len(points), dtype=bool)
        for one, axis, (shift, _) in zip(positions, self.axes, padding, strict=True):
            inside &= (one > -1e-9) & (one < axis.n_bins + 1e-9)
            one += shift
        return np.where(inside, map_coordinates(padded, positions, order=3, mode="nearest"), np.nan)

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the grid as ``plumed sum_hills`` does: kJ/mol, column file.free, derivatives where they are known.

        Raises:
            FfptError: the file cannot be written.
        """
        constants: dict[str, str] = {}
        for axis in self.axes:
            ends = (f"{axis.lower:.16g}", f"{axis.upper:.16g}")
            if axis.period is not None:
                ends = (axis.period.low_text, axis.period.high_text)
            constants |= {f"min_{axis.name}": ends[0], f"max_{axis.name}": ends[1]}
            constants |= {f"nbins_{axis.name}": f" {axis.n_points}"}
            constants |= {f"periodic_{axis.name}": "false" if axis.period is None else "true"}
        derivatives = [] if self.gradient is None else list(self.gradient)
        fields = (*self.names, "file.free", *(f"der_{name}" for name, _ in zip(self.names, derivatives, strict=False)))
        points = np.meshgrid(*(axis.points for axis in self.axes), indexing="ij")
        # The first variable runs fastest.
        values = np.stack([one.ravel(order="F") for one in (*points, self.values, *derivatives)], axis=1)
        block = self.axes[0].n_points if len(self.axes) > 1 else 0
        write_table(path, Table(fields, constants, values), GRID_FORMAT, block)


def is_grid(table: Table) -> bool:
    """Whether a table is a grid rather than hills or a trajectory of variables."""
    return any(name.startswith("nbins_") for name in table.constants)


def read_grid(path: str | os.PathLike[str]) -> FreeEnergy:
    """Read a free energy in kJ/mol from a grid of ``plumed sum_hills`` or FreeEnergy.write.

    Raises:
        FfptError: the file is no such grid.
    """
    table = read_table(path)
    names = [name for name in table.fields if f"nbins_{name}" in table.constants]
    value = next((name for name in table.fields if name not in names and not name.startswith("der_")), None)
    if not names or value is None:
        raise FfptError(f"{path} is not a grid: no column has a '#! SET nbins_' line, or there are no values")
    axes = []
    for name in names:
        ends = (table.constants.get(f"min_{name}", ""), table.constants.get(f"max_{name}", ""))
        periodic = table.constants.get(f"periodic_{name}") == "true"
        points = np.unique(table[name])
        n_points = int(table.constants[f"nbins_{name}"])
        if len(points) != n_points:
            raise FfptError(f"{path}: {name} takes {len(points)} values where nbins_{name} says {n_points}")
        if n_points < 2:
            raise FfptError(f"{path}: the axis {name} has only one point")
        lower, upper = (plumed_number(end) for end in ends)
        axes.append(Axis(name, lower, upper, n_points - (not periodic), Period(*ends) if periodic else None))
    shape = tuple(axis.n_points for axis in axes)
    if len(table) != np.prod(shape):
        raise FfptError(f"{path} has {len(table)} rows for a grid of {' x '.join(map(str, shape))} points")
    return FreeEnergy(tuple(axes), table[value].reshape(shape, order="F"))
