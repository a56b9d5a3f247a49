"""Everything about the free energy of one run, from its files."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ffpt_core.base.errors import FfptError
from ffpt_core.base.progress import progress_bar
from ffpt_plumed.free_energy.axes import GridChoice, column_axes, make_axes
from ffpt_plumed.free_energy.basins import Basin, lowest_point
from ffpt_plumed.free_energy.convergence import Convergence, convergence
from ffpt_plumed.free_energy.grid import FreeEnergy, is_grid, read_grid
from ffpt_plumed.free_energy.hills import Hills, read_hills
from ffpt_plumed.free_energy.paths import Landscape, MinimumPath
from ffpt_plumed.free_energy.reweighting import (
    METHODS,
    Reweighted,
    final_bias,
    metad_bias,
    rbias,
    reweight,
    reweighted_difference,
)
from ffpt_plumed.free_energy.sources import Source, find_source
from ffpt_plumed.free_energy.sums import estimates, sum_hills
from ffpt_plumed.grids.axis import Array, Axis
from ffpt_plumed.text.tables import Table, read_table


@dataclass(frozen=True)
class Options:
    """What to compute. Energies in kJ/mol, times in ps, temperatures in K.

    Args:
        temperature: of the run; without one there are no basins, projections and weights.
        variables: of the free energy; default: those of the hills. Others need a COLVAR file that has them.
        grid: the points of the free energy.
        method: how frames of the COLVAR file are weighted, "rbias" or "final"; None: they are not.
        skip: ps at the start of the COLVAR file to leave out.
        blocks: number of blocks for errors of weighted frames.
        basins: regions whose free energies are compared; the path goes from the first to the second.
        depth: barriers that separate a minimum from lower ones are at least this.
        within: above the minimum, where surfaces are compared.
        estimates: number of estimates over time.
        energy: the unit of energy in the files, in kJ/mol.
    """

    temperature: float | None = None
    variables: tuple[str, ...] | None = None
    grid: GridChoice | None = None
    method: str | None = None
    skip: float = 0.0
    blocks: int = 5
    basins: tuple[Basin, ...] = ()
    depth: float = 2.5
    within: float = 40.0
    estimates: int = 40
    energy: float = 1.0

    def need_temperature(self, purpose: str) -> float:
        """The temperature.

        Raises:
            FfptError: it was not given.
        """
        if self.temperature is None:
            raise FfptError(f"give --temperature: {purpose} needs it")
        return self.temperature


@dataclass(frozen=True, eq=False)
class Surface:
    """The free energy of one run.

    Args:
        hills: of the run.
        fes: minus the sum of the hills, zero where none reaches.
        convergence: of fes over time.
        minima: indices of its minima, the lowest first.
        path: of the lowest barrier between the first two basins, else minima; None where there is one minimum.
        crossed: whether the run was everywhere on the path; if not, its barrier is a lower bound.
        reweighted: from the frames of the COLVAR file, or None.
        reweighted_differences: for each basin but the first, free energy relative to the first and its error.
    """

    hills: Hills
    fes: FreeEnergy
    convergence: Convergence
    minima: list[tuple[int, ...]]
    path: MinimumPath | None
    crossed: bool
    reweighted: Reweighted | None
    reweighted_differences: dict[str, tuple[float, float]]


def analyse(source: Source, options: Options, progress: bool = False) -> Surface:
    """Sum the hills of a run and what else the options ask for.

    Args:
        source: files of the run.
        options: what to compute.
        progress: show a bar.

    Raises:
        FfptError: files, grid, basins or options do not fit together.
    """
    if options.variables and len(set(options.variables)) < len(options.variables):
        raise FfptError(f"a variable is named twice: {', '.join(options.variables)}")
    if options.method is not None and options.method not in METHODS:
        raise FfptError(f"{options.method!r} is no way to weight frames; known are {' and '.join(METHODS)}")
    hills = read_hills(source.hills, options.energy)
    own = options.variables is None or set(options.variables) <= set(hills.names)
    if not own and options.method is None:
        raise FfptError(
            f"the hills are of {', '.join(hills.names)}, not of {', '.join(options.variables or ())}: "
            "the free energy of other variables comes from a COLVAR file (--colvar)"
        )
    axes = make_axes(hills, options.grid, options.variables) if own else make_axes(hills)
    series = []
    with progress_bar("Summing hills", len(hills), "hills") if progress else nullcontext(lambda _: None) as advance:
        for number, (time, one) in enumerate(estimates(hills, axes, options.estimates), start=1):
            series.append((time, _project(one, options, own)))
            advance(len(hills) * number // options.estimates - len(hills) * (number - 1) // options.estimates)
    fes = _project(sum_hills(hills, axes), options, own)
    basins = options.basins if own else ()
    if basins:
        options.need_temperature("the free energy of basins")
    settled = convergence(series, options.within, basins, options.temperature)
    landscape = Landscape(fes)
    minima = landscape.minima(options.depth)
    ends = [lowest_point(fes, basin) for basin in basins[:2]] if len(basins) > 1 else minima[:2]
    path = landscape.path(*ends) if len(ends) == 2 else None
    # Where the run was there is at least a hill two widths away.
    visited = _project(
        FreeEnergy(axes, np.full([one.n_points for one in axes], -np.exp(-2.0) * hills.heights.max())), options, own
    )
    crossed = path is None or bool((path.energies <= visited.values[tuple(path.indices.T)]).all())
    reweighted: Reweighted | None = None
    differences: dict[str, tuple[float, float]] = {}
    if options.method is not None:
        reweighted, differences = _from_frames(source, hills, axes, fes.axes if own else None, options)
    return Surface(hills, fes, settled, minima, path, crossed, reweighted, differences)


def _project(fes: FreeEnergy, options: Options, own: bool) -> FreeEnergy:
    """The free energy of the variables asked for, where hills have them."""
    if not own or options.variables is None or options.variables == fes.names:
        return fes
    return fes.project(options.variables, options.need_temperature("the free energy of fewer variables"))


def _from_frames(
    source: Source, hills: Hills, hills_axes: Sequence[Axis], axes: tuple[Axis, ...] | None, options: Options
) -> tuple[Reweighted, dict[str, tuple[float, float]]]:
    """The weighted frames of the COLVAR file on axes, or on those of its own columns."""
    temperature = options.need_temperature("weighting frames")
    if source.colvar is None:
        raise FfptError("weighting frames needs the COLVAR file of the run: give --colvar")
    colvar = read_table(source.colvar)
    if options.method == "rbias":
        bias = rbias(colvar, hills, hills_axes, temperature, options.energy)
    else:
        bias = final_bias(colvar, hills, hills_axes)
    bias = bias + options.energy * _other_biases(colvar)
    late = colvar["time"] >= options.skip
    if not late.any():
        raise FfptError(f"{colvar.source} has no frames after {options.skip:g} ps")
    names = options.variables or hills.names
    if axes is None:
        axes = column_axes(colvar, names, options.grid)
    points = colvar.columns(names)[late]
    result = reweight(points, bias[late], axes, temperature, options.blocks)
    pairs = [(options.basins[0], basin) for basin in options.basins[1:]]
    differences = {
        pair[1].name: reweighted_difference(points, bias[late], axes, pair, temperature, options.blocks)
        for pair in pairs
    }
    return result, differences


def _other_biases(colvar: Table) -> Array:
    """The sum of the columns *.bias but that of METAD: walls and restraints, in the file's unit."""
    ready = {name.removesuffix(".rbias") + ".bias" for name in colvar.fields if name.endswith(".rbias")}
    own: set[str | None] = {*ready} or {metad_bias(colvar)}
    names = [name for name in colvar.fields if name.endswith(".bias") and name not in own]
    return np.sum([colvar[name] for name in names], axis=0) if names else np.zeros(len(colvar))


def read_reference(path: Path, surface: Surface, options: Options) -> FreeEnergy:
    """The free energy to compare with, on the grid of surface: from a grid file, a HILLS file or a run folder.

    Raises:
        FfptError: it is of other variables.
    """
    if path.is_file() and is_grid(read_table(path)):
        other = read_grid(path)
    else:
        hills = read_hills(find_source(path).hills, options.energy)
        if hills.names != surface.hills.names:
            raise FfptError(f"{path} has the variables {', '.join(hills.names)}, not {', '.join(surface.hills.names)}")
        other = _project(sum_hills(hills, make_axes(hills)), options, True)
    if other.names != surface.fes.names:
        raise FfptError(f"{path} has the variables {', '.join(other.names)}, not {', '.join(surface.fes.names)}")
    grids = np.meshgrid(*(axis.points for axis in surface.fes.axes), indexing="ij")
    values = other.at(np.stack([one.ravel() for one in grids], axis=1)).reshape(grids[0].shape)
    return FreeEnergy(surface.fes.axes, np.where(np.isnan(values), np.inf, values))
