"""The picture of a reaction's molecules over time."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ffpt_core.base import figures
from ffpt_plumed.reactions.species import SpeciesCount
from ffpt_plumed.reactions.species_runs import ReplicaSpecies, pooled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_CALM = ("#9ecae1", "#b7dcc4", "#c9c4de", "#d9d9d9")
_WARNING = ("#d7301f", "#fc8d59", "#fdbb47", "#b30086")
_OTHERS, _OTHERS_COLOUR = "other unphysical", "#67000d"

_COLUMNS, _SHARES = 500, 8
"""Of a strip. A column of several frames is split by their species into shares of its height."""


@dataclass(frozen=True, eq=False)
class _Palette:
    """Species from the bottom of a strip to its top, with their colours: allowed ones first, frequent ones first."""

    colours: dict[str, str]

    def rank(self, species: np.ndarray) -> np.ndarray:
        """(n_frames,) positions in the palette; rare unphysical species share the last."""
        ranks = {name: rank for rank, name in enumerate(self.colours)}
        names, which = np.unique(species, return_inverse=True)
        return np.array([ranks.get(name, len(ranks) - 1) for name in names])[which.ravel()]


@figures.styled
def plot_species(groups: Mapping[str, Sequence[ReplicaSpecies]]) -> Figure:
    """A strip of species over time for each replica, and the fraction of unphysical frames so far for each label.

    Strips have calm colours for allowed species and warning colours for others, of which any in a column of frames
    takes an eighth of its height at least, so that single ones are seen. Crosses are where a guard stopped.

    Args:
        groups: replicas of one reaction, by label.
    """
    palette = _palette(groups)
    n_strips = sum(len(replicas) for replicas in groups.values())
    strips = min(5.0, max(0.7, 0.26 * n_strips + 0.1 * len(groups)))
    figure, (above, below) = figures.new_figure(
        2, 1, width=6.6, height=0.5 * (strips + 3.0), sharex=True, height_ratios=(strips, 2.2)
    )
    _draw_strips(above, groups, palette)
    colours = figures.colours(groups)
    for label, replicas in groups.items():
        _draw_fraction(below, pooled(replicas), label, colours[label])
    below.set_xlabel("Time (ps)")
    below.set_ylabel("Unphysical frames so far (%)")
    below.set_xlim(left=0.0)
    below.set_ylim(bottom=0.0)
    below.legend()
    _legend(figure, palette)
    return figure


def _palette(groups: Mapping[str, Sequence[ReplicaSpecies]]) -> _Palette:
    counts: Counter[str] = Counter()
    for replicas in groups.values():
        for one in replicas:
            names, found = np.unique(one.count.species, return_counts=True)
            counts.update(dict(zip(names.tolist(), found.tolist(), strict=True)))
    allowed = next(iter(groups.values()))[0].count.allowed
    # Of a reaction's three allowed species each has its colour wherever it is seen.
    colours = {name: colour for name, colour in zip(sorted(allowed), _CALM, strict=False) if name in counts}
    unphysical = [name for name, _ in counts.most_common() if name not in allowed]
    colours |= dict(zip(unphysical, _WARNING, strict=False))
    if len(unphysical) > len(_WARNING):
        colours[_OTHERS] = _OTHERS_COLOUR
    return _Palette(colours)


def _draw_strips(axes: Axes, groups: Mapping[str, Sequence[ReplicaSpecies]], palette: _Palette) -> None:
    from matplotlib.colors import ListedColormap

    colormap = ListedColormap(list(palette.colours.values()))
    top, ticks = 0.0, []
    for replicas in groups.values():
        first = top
        for one in replicas:
            edges, shares = _strip(one.count, palette)
            heights = top + np.linspace(0.85, 0.0, _SHARES + 1)  # the axis points down
            axes.pcolormesh(edges, heights, shares, cmap=colormap, vmin=-0.5, vmax=len(palette.colours) - 0.5)
            if one.stop is not None:
                axes.plot(one.stop.time, top + 0.42, "x", color="black", markersize=5.0, clip_on=False)
            top += 1.0
        ticks.append(0.5 * (first + top - 0.15))
        top += 0.35
    axes.set_ylim(top - 0.35, -0.1)
    axes.set_yticks(ticks, list(groups))
    axes.grid(visible=False)
    axes.tick_params(length=0.0, labelbottom=False, axis="both")
    axes.spines[["left", "bottom"]].set_visible(False)


def _strip(count: SpeciesCount, palette: _Palette) -> tuple[np.ndarray, np.ndarray]:
    """Edges of columns (n_columns + 1,) in ps, and the palette's positions (_SHARES, n_columns) from the bottom."""
    chunks = np.array_split(palette.rank(count.species), min(_COLUMNS, len(count.times)))
    # From the first frame of a column to the last: the ends, and with them the rarest, are always there.
    shares = [np.sort(chunk)[np.linspace(0, len(chunk) - 1, _SHARES).round().astype(int)] for chunk in chunks]
    ends = count.times[np.cumsum([len(chunk) for chunk in chunks]) - 1]
    interval = float(np.median(np.diff(count.times))) if len(count.times) > 1 else float(count.times[0])
    return np.concatenate([[max(0.0, count.times[0] - interval)], ends]), np.transpose(shares)


def _draw_fraction(axes: Axes, count: SpeciesCount, label: str, colour: str) -> None:
    axes.plot(count.times, 100.0 * count.unphysical_until, color=colour, label=label, clip_on=False)


def _legend(figure: Figure, palette: _Palette) -> None:
    from matplotlib.patches import Patch

    handles = [Patch(color=colour) for colour in palette.colours.values()]
    names = [re.sub(r"(?<=[HO])(\d+)", r"$_{\1}$", name) for name in palette.colours]
    figures.legend_above(figure, handles, names)
