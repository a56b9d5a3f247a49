"""Pictures of free energies: curves, contour maps with the path of the lowest barrier, convergence."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ffpt_core.base import figures
from ffpt_plumed.free_energy.analysis import Surface
from ffpt_plumed.free_energy.grid import FreeEnergy
from ffpt_plumed.grids.axis import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.contour import ContourSet
    from matplotlib.figure import Figure

_STEPS = (0.5, 1.0, 2.0, 2.5, 5.0, 10.0, 20.0, 25.0, 50.0, 100.0)
"""Energies between contours; that of about ten contours is taken."""


@dataclass(frozen=True, eq=False)
class Drawing:
    """One free energy in a picture.

    Args:
        label: says what it is.
        fes: the free energy.
        path: (n, n_axes) points of a path over it, or None.
        error: standard errors on its grid in kJ/mol, drawn as a band around curves, or None.
    """

    label: str
    fes: FreeEnergy
    path: Array | None = None
    error: Array | None = None


def drawings(surfaces: Mapping[str, Surface], references: Mapping[str, FreeEnergy | None]) -> list[Drawing]:
    """What there is to draw of runs: the sum of hills, weighted frames of the same variables, the reference."""
    found = []
    for label, surface in surfaces.items():
        found.append(Drawing(label, surface.fes, None if surface.path is None else surface.path.points))
        weighted = surface.reweighted
        if weighted is not None and weighted.fes.axes == surface.fes.axes:
            found.append(Drawing(f"{label}, reweighted", weighted.fes, error=weighted.error))
    reference = next(iter(references.values()))
    return found if reference is None else [*found, Drawing("reference", reference)]


def enough_to_see(surfaces: Iterable[Surface], least: float) -> float:
    """Where to cut pictures off, kJ/mol above the minimum: above all paths, but below what no hill has reached."""
    tops = [least]
    for surface in surfaces:
        if surface.path is not None:
            highest = float(surface.path.energies.max() - surface.fes.values.min())
            tops.append(1.05 * highest if surface.crossed else 0.97 * highest)
    return max(tops)


@figures.styled
def plot_surfaces(found: Sequence[Drawing], unit: str, size: float, ceiling: float) -> Figure:
    """Curves of one variable, or contour maps; three variables as maps of the minimum over the third.

    Args:
        found: free energies of the same variables.
        unit: name of the unit of energy.
        size: of the unit, in kJ/mol.
        ceiling: largest energy above the minimum that is drawn, in kJ/mol.
    """
    n_axes = len(found[0].fes.axes)
    if n_axes == 1:
        return _curves(found, unit, size, ceiling)
    pairs = list(itertools.combinations(range(n_axes), 2))
    figure, axes = figures.new_figure(len(found), len(pairs), width=3.6, height=2.9)
    step = min(_STEPS, key=lambda one: abs(ceiling / size / one - 10.0))
    levels = np.arange(0.0, ceiling / size + 0.5 * step, step)
    for (row, drawing), (column, pair) in itertools.product(enumerate(found), enumerate(pairs)):
        panel = axes[row * len(pairs) + column]
        filled = _map(panel, drawing.fes, pair, levels, size)
        panel.set_title(drawing.label)
        if drawing.path is not None:
            panel.plot(*drawing.path[:, pair].T, color="black", linewidth=2.2)
            panel.plot(*drawing.path[:, pair].T, color="white", linewidth=1.4)
            panel.plot(*drawing.path[[0, -1]][:, pair].T, "o", color="white", markeredgecolor="black", markersize=4.5)
    figure.colorbar(filled, ax=axes, label=f"Free energy ({unit})")
    return figure


def _map(panel: Axes, fes: FreeEnergy, pair: tuple[int, int], levels: Array, size: float) -> ContourSet:
    """Contours over two variables, at the minimum over the others."""
    others = tuple(k for k in range(len(fes.axes)) if k not in pair)
    values = (fes.values.min(axis=others) - fes.values.min()) / size
    x, y = (fes.axes[k] for k in pair)
    # Where no hill fell a free energy is flat, at its largest value, and says nothing.
    flat = 0.99 * values.max(where=np.isfinite(values), initial=0.0)
    shown = np.ma.masked_invalid(np.where(values < flat, values, np.nan).T)
    panel.contour(x.points, y.points, shown, levels=levels, colors="black", linewidths=0.3, alpha=0.5)
    panel.set_xlabel(x.name)
    panel.set_ylabel(y.name)
    panel.grid(False)
    return panel.contourf(x.points, y.points, shown, levels=levels, cmap="viridis", zorder=0)


def _curves(found: Sequence[Drawing], unit: str, size: float, ceiling: float) -> Figure:
    figure, (panel,) = figures.new_figure(width=4.8, height=3.2)
    colours = figures.colours([one.label for one in found], "reference")
    for drawing in found:
        points = drawing.fes.axes[0].points
        values = (drawing.fes.values - drawing.fes.values.min()) / size
        known = np.isfinite(values)
        panel.plot(points[known], values[known], color=colours[drawing.label], label=drawing.label)
        if drawing.path is not None:
            way = drawing.path[:, 0]
            energies = np.interp(way, points, values)
            marks = [0, int(np.argmax(energies)), -1]
            panel.plot(way[marks], energies[marks], "o", color=colours[drawing.label])
        if drawing.error is not None:
            error = drawing.error / size
            band = known & np.isfinite(error)
            edges = (values - error)[band], (values + error)[band]
            panel.fill_between(points[band], *edges, color=colours[drawing.label], alpha=0.25, linewidth=0)
    panel.set_ylim(-0.02 * ceiling / size, ceiling / size)
    panel.set_xlabel(found[0].fes.axes[0].name)
    panel.set_ylabel(f"Free energy ({unit})")
    panel.legend()
    return figure


@figures.styled
def plot_convergence(surfaces: Mapping[str, Surface], unit: str, size: float) -> Figure:
    """Differences of successive estimates, and free energies of basins (else heights of hills), over time.

    Args:
        surfaces: by label.
        unit: name of the unit of energy.
        size: of the unit, in kJ/mol.
    """
    figure, (left, right) = figures.new_figure(1, 2)
    colours = figures.colours(list(surfaces))
    basins = any(surface.convergence.differences for surface in surfaces.values())
    for label, surface in surfaces.items():
        settled, colour = surface.convergence, colours[label]
        left.plot(settled.times, settled.to_last / size, color=colour, label=f"{label}, from the last")
        left.plot(settled.times, settled.successive / size, ":", color=colour, label=f"{label}, from the previous")
        for position, (name, series) in enumerate(settled.differences.items()):
            dashes = ("-", "--", ":", "-.")[position % 4]
            right.plot(settled.times, series / size, dashes, color=colour, label=f"{label}, {name}")
        if not basins:
            right.plot(surface.hills.times, surface.hills.heights / size, ".", ms=1.5, color=colour, label=label)
    left.set_ylabel(f"RMS difference ({unit})")
    right.set_ylabel(f"Free energy of basin ({unit})" if basins else f"Height of hills ({unit})")
    for panel in (left, right):
        panel.set_xlabel("Time (ps)")
    # Dots of hills leave no room for a second legend, and have the colours of the first.
    for panel in (left, right) if basins else (left,):
        panel.legend()
    return figure
