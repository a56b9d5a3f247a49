"""The grid of a bias as an expression that OpenMM evaluates: the same interpolation as HillGrid.evaluate."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ffpt_plumed.grids.axis import Axis
from ffpt_plumed.native.hills import HillGrid

if TYPE_CHECKING:
    from openmm import CustomCVForce


class GridFunction:
    """Tables of a HillGrid in a CustomCVForce.

    OpenMM evaluates the expression on the host in double precision on every platform; the tables are looked up, not
    interpolated, so that derivatives of the expression are those of PLUMED's interpolation.

    Args:
        prefix: of the names of the tables and of definitions, unique in the force.
        grid: the bias.
        variables: the arguments in expressions.
    """

    def __init__(self, prefix: str, grid: HillGrid, variables: Sequence[str]) -> None:
        self._grid = grid
        self._variables = tuple(variables)
        self._prefix = prefix
        self._names = [f"{prefix}t{k}" for k in range(grid.dimension + 1)]
        # Two points more on each axis: what lies beyond the last point, and one for rounding.
        self._sizes = [axis.n_bins + 2 for axis in grid.axes]

    def add_tables(self, force: CustomCVForce) -> None:
        """Add the tables to the force."""
        from openmm import Discrete1DFunction

        for name, table in zip(self._names, self._tables(), strict=True):
            force.addTabulatedFunction(name, Discrete1DFunction(table))

    def update(self, force: CustomCVForce) -> None:
        """Write the bias of now into the tables; the caller updates the Context."""
        tables = dict(zip(self._names, self._tables(), strict=True))
        for k in range(force.getNumTabulatedFunctions()):
            name = force.getTabulatedFunctionName(k)
            if name in tables:
                force.getTabulatedFunction(k).setFunctionParameters(tables[name])

    def expression(self) -> tuple[str, list[str]]:
        """The bias as a Lepton expression of the arguments.

        Returns:
            the expression, and definitions that follow it.
        """
        p = self._prefix
        definitions: list[str] = []
        inside, flat = [], ""
        for k, (axis, variable) in enumerate(zip(self._grid.axes, self._variables, strict=True)):
            inside.append(f"step({p}i{k})*step({axis.n_bins}-{p}i{k})")
            flat = f"{p}i{k}" if k == 0 else f"({flat})*{self._sizes[k]}+{p}i{k}"
            definitions += _hermite(f"{p}{{}}{k}", axis, variable)
        # An index that is not in a table makes OpenMM stop, as PLUMED does outside of its grid.
        index = f"{p}index=select({'*'.join(inside)}, {flat}, -1e9)"
        terms = [self._corner(corner) for corner in itertools.product((0, 1), repeat=self._grid.dimension)]
        return "(" + "+".join(terms) + ")", [index, *definitions]

    def _corner(self, corner: Sequence[int]) -> str:
        p = self._prefix
        offset = 0
        for size, step in zip(self._sizes, corner, strict=True):
            offset = offset * size + step
        at = f"({p}index+{offset})"
        factors = [
            f"({p}{'ac'[step]}{k}{'+-'[step]}{self._names[k + 1]}{at}*{p}{'bd'[step]}{k})"
            for k, step in enumerate(corner)
        ]
        return "*".join([f"{self._names[0]}{at}", *factors])

    def _tables(self) -> list[np.ndarray]:
        """Values, then ratios along each axis, flat with the last axis fastest."""
        tables = [self._grid.values, *self._grid.ratios()]
        return [self._padded(table).ravel() for table in tables]  # OpenMM copies arrays far faster than lists

    def _padded(self, table: np.ndarray) -> np.ndarray:
        for k, axis in enumerate(self._grid.axes):
            width = [(0, 0)] * table.ndim
            width[k] = (0, axis.n_bins + 2 - axis.n_points)
            table = np.pad(table, width, mode="constant" if axis.period is None else "wrap")
        return table


def _hermite(name: str, axis: Axis, variable: str) -> list[str]:
    """Definitions of the cell and of the cubic functions of one axis: a, b of its lower corner, c, d of its upper one.

    In the order of Lepton, where a definition may use those that follow it.
    """
    n = name.format
    t, s = n("s"), n("r")
    return [
        f"{n('a')}=1-{t}^2*(3-2*{t})",
        f"{n('b')}={t}*{s}^2",
        f"{n('c')}=1-{s}^2*(3-2*{s})",
        f"{n('d')}={s}*{t}^2",
        f"{s}=1-{t}",
        f"{t}={n('x')}-{n('i')}",
        f"{n('i')}=floor({n('x')})",
        f"{n('x')}=({variable}-({axis.lower!r}))/{axis.spacing!r}",
    ]
