"""The picture of radial distribution functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ffpt_core.analysis.rdf import RadialDistribution, RdfError
from ffpt_core.base import figures
from ffpt_core.base.errors import FfptError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@figures.styled
def plot_rdfs(
    distributions: Mapping[str, Mapping[str, RadialDistribution]],
    reference: str | None = None,
    errors: Mapping[str, Mapping[str, RdfError]] | None = None,
) -> Figure:
    """g(r) of each pair of elements, with bands of one standard error; below, differences from the reference.

    Args:
        distributions: by label, then by pair of elements.
        reference: its label, drawn in black; None draws no differences.
        errors: by label, then pair, to be named in the legend.

    Raises:
        FfptError: there is nothing to draw.
    """
    names = list(dict.fromkeys(name for found in distributions.values() for name in found))
    if not names:
        raise FfptError("there is no radial distribution to draw")
    rows = 1 if reference is None else 2
    ratios = {"height_ratios": (2.2, 1)} if rows == 2 else {}
    figure, axes = figures.new_figure(
        rows, len(names), width=3.0, height=2.6 if rows == 1 else 2.0, sharex=True, gridspec_kw=ratios
    )
    colours = figures.colours(distributions, reference)
    for column, name in enumerate(names):
        upper = axes[column]
        for label, found in distributions.items():
            if name in found:
                one = found[name]
                _curve(upper, one.centres, one.g, one.error, colours[label], _named(label, (errors or {}).get(label)))
        upper.axhline(1.0, color="#000000", linestyle=":", linewidth=0.8)
        upper.set_ylim(0.0, _ceiling([found[name] for found in distributions.values() if name in found]))
        upper.set_title(f"{name.replace('-', '–')}")
        axes[(rows - 1) * len(names) + column].set_xlabel("Distance r (Å)")
        if reference is not None:
            lower, truth = axes[len(names) + column], distributions[reference][name]
            for label, found in distributions.items():
                if label != reference and name in found:
                    spread = np.sqrt(np.nan_to_num(found[name].error) ** 2 + np.nan_to_num(truth.error) ** 2)
                    _curve(lower, truth.centres, found[name].g - truth.g, spread, colours[label], label)
            lower.axhline(0.0, color="#000000", linewidth=0.8)
    axes[0].set_ylabel("g(r)")
    if reference is not None:
        axes[len(names)].set_ylabel("Difference")
    figures.legend_above(figure, *axes[0].get_legend_handles_labels())
    return figure


def _curve(axes: Axes, at: np.ndarray, values: np.ndarray, spread: np.ndarray, colour: str, label: str) -> None:
    spread = np.nan_to_num(spread)
    axes.fill_between(at, values - spread, values + spread, color=colour, alpha=0.3, linewidth=0)
    axes.plot(at, values, color=colour, linewidth=1.1, label=label)


def _named(label: str, errors: Mapping[str, RdfError] | None) -> str:
    return f"{label}: MAE {', '.join(f'{error.mae:.3f}' for error in errors.values())}" if errors else label


def _ceiling(distributions: list[RadialDistribution]) -> float:
    """As high as the highest peak: but that of bonds, where they are counted, would hide the liquid."""
    beyond = [one.g[one.centres > (1.9 if one.intramolecular else 0.0)] for one in distributions]
    return 1.1 * max(float(g.max()) if len(g) else 1.0 for g in beyond) + 0.2
