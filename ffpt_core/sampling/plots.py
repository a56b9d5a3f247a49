"""Pictures of rattled frames: energies, pair distances and bond lengths beside frames of MD."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ffpt_core.base import figures
from ffpt_core.sampling.rattle import EnergyDistribution, MoleculeDistances

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RATTLED, MD = "#0072b2", "#e69f00"
_COLOURS = (RATTLED, MD, "#009e73", "#cc79a7")


def draw_energies(axes: Axes, energies: EnergyDistribution, colour: str = RATTLED) -> None:
    """A histogram of the energy per vibrational degree of freedom with both effective temperatures."""
    high = float(np.quantile(energies.energies, 0.999))
    axes.hist(energies.energies, bins=80, range=(0.0, high), color=colour, alpha=0.75, linewidth=0)
    text = (
        f"effective temperature\nmean {energies.mean_temperature:,.0f} K\nmedian {energies.median_temperature:,.0f} K"
    )
    axes.text(0.98, 0.96, text, transform=axes.transAxes, ha="right", va="top", fontsize=8.5)
    axes.set_xlabel(f"$(E - E_\\mathrm{{min}})$ / {energies.n_vib} vibrations (eV)")
    axes.set_ylabel("Frames")
    axes.set_title("Energy of rattled frames")
    axes.set_xlim(0.0, high)
    _headroom(axes, 1.3)


def _headroom(axes: Axes, factor: float) -> None:
    """Room above the curves for a legend or a text."""
    axes.set_ylim(0.0, axes.get_ylim()[1] * factor)


def draw_distances(axes: Axes, distributions: Mapping[str, MoleculeDistances], bonds: bool) -> None:
    """Densities of pair distances (or bond lengths) of several sets of frames, one colour each."""
    reach: list[float] = []
    for (label, distribution), colour in zip(distributions.items(), _COLOURS, strict=False):
        values = distribution.bonds if bonds else distribution.pairs
        axes.stairs(values, distribution.edges, color=colour, label=label, linewidth=1.2)
        axes.stairs(values, distribution.edges, color=colour, alpha=0.18, fill=True)
        reach.extend(distribution.edges[np.flatnonzero(values > 1e-3)])
    axes.set_xlim(max(0.0, min(reach) - 0.1), max(reach) + 0.1)
    _headroom(axes, 1.35)
    axes.set_xlabel("Bond length (Å)" if bonds else "Distance of two atoms (Å)")
    axes.set_ylabel("Density (1/Å)")
    axes.set_title("Bonds" if bonds else "All pairs of atoms")
    axes.legend(loc="upper right")


@figures.styled
def plot_energies(energies: EnergyDistribution) -> Figure:
    """The energy histogram alone."""
    figure, (axes,) = figures.new_figure()
    draw_energies(axes, energies)
    return figure


@figures.styled
def plot_distances(distributions: Mapping[str, MoleculeDistances]) -> Figure:
    """Pair distances and bond lengths of several sets of frames (the paper's Figure 1b), by label."""
    figure, (left, right) = figures.new_figure(1, 2)
    draw_distances(left, distributions, bonds=False)
    draw_distances(right, distributions, bonds=True)
    return figure


@figures.styled
def plot_sampling(energies: EnergyDistribution, distributions: Mapping[str, MoleculeDistances]) -> Figure:
    """Energies, pair distances and bond lengths in one row."""
    figure, (first, second, third) = figures.new_figure(1, 3, width=3.4)
    draw_energies(first, energies)
    draw_distances(second, distributions, bonds=False)
    draw_distances(third, distributions, bonds=True)
    return figure


@figures.styled
def plot_mixture(energies: Mapping[str, EnergyDistribution], distributions: Mapping[str, MoleculeDistances]) -> Figure:
    """Energies, pair distances and bond lengths of the rattled frames of several molecules, one colour each."""
    figure, panels = figures.new_figure(1, 3, width=3.4)
    colours = figures.colours(energies)
    reach = 0.0
    for name, energy in energies.items():
        high = float(np.quantile(energy.energies, 0.98))
        reach = max(reach, high)
        counts, edges = np.histogram(energy.energies, bins=80, range=(0.0, high), density=True)
        panels[0].stairs(counts, edges, color=colours[name], label=f"{name}: {energy.median_temperature:,.0f} K")
        for panel, values in ((panels[1], distributions[name].pairs), (panels[2], distributions[name].bonds)):
            panel.stairs(values, distributions[name].edges, color=colours[name], label=name)
    panels[0].set(xlabel="$(E - E_\\mathrm{min})$ per vibration (eV)", ylabel="Density (1/eV)", xlim=(0.0, reach))
    panels[0].set_yscale("log")
    panels[0].set_title("Energy, effective temperature (median)")
    longest = max(
        distribution.edges[np.flatnonzero(distribution.pairs > 1e-3)].max() for distribution in distributions.values()
    )
    for panel, title in ((panels[1], "All pairs of atoms"), (panels[2], "Bonds")):
        panel.set(xlabel="Distance (Å)", ylabel="Density (1/Å)", xlim=(0.0, longest), title=title)
    panels[0].legend(loc="upper right", fontsize=8)
    return figure
