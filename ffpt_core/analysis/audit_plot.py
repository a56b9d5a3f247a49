"""A picture of audits: how much each bond and angle costs where it is unphysical."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ffpt_core.analysis import style
from ffpt_core.analysis.audit import Audit
from ffpt_core.analysis.holes import Finding
from ffpt_core.base.errors import FfptError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TITLES = {
    "bond": "Bonds, stretched or compressed",
    "angle": "Angles, closed or opened",
    "dihedral": "Torsions",
    "contact": "Atoms that are not bonded, pressed together",
}

_LEAST_HEIGHT = 2.0
"""Inches of a panel, title, axis and its share of the legend included: small molecules have a row or two."""


@style.styled
def plot_audits(audits: Sequence[Audit], ceiling: float = 8.0) -> Figure:
    """One row a bond or angle, one dot a potential: its lowest energy where the rules set a bound.

    A cross marks a hole. Energies above ceiling (eV) are drawn at its edge, as arrows.

    Args:
        audits: of several potentials, over the same scans.
        ceiling: largest energy of the axis in eV.
    """
    kinds = [kind for kind in _TITLES if any(audit.count(kind)[1] for audit in audits)]
    if not kinds:
        raise FfptError("there is no audit to draw")
    sizes = [audits[0].count(kind)[1] for kind in kinds]
    # As much room a row in each panel, and as much again for the title and the axis of each.
    shares = [size + 1.0 for size in sizes]
    figure, axes = style.new_figure(
        len(kinds),
        1,
        width=5.4,
        height=max(_LEAST_HEIGHT, (0.19 * sum(shares) + 0.75 * len(kinds)) / len(kinds)),
        gridspec_kw={"height_ratios": shares},
    )
    colours = style.colours([audit.label for audit in audits], audits[0].reference)
    for kind, panel in zip(kinds, axes, strict=True):
        for audit in audits:
            findings = [finding for finding in audit.findings if finding.kind == kind]
            _dots(panel, findings, colours[audit.label], audit.label, ceiling)
        names = [finding.name.split(" ")[1] for finding in audits[0].findings if finding.kind == kind]
        rules = audits[0].rules
        bounds = {"bond": rules.bond_energy, "angle": rules.closed_energy, "contact": rules.pressed_energy}
        _dress(panel, names, bounds.get(kind, 0.0), _TITLES[kind], ceiling)
    handles, labels = axes[0].get_legend_handles_labels()
    cross = axes[0].scatter([], [], s=34, color="#5b646d", marker="X", linewidths=0)
    style.legend_above(figure, [*handles, cross], [*labels, "hole"])
    return figure


def _dots(axes: Axes, findings: Sequence[Finding], colour: str, label: str, ceiling: float) -> None:
    lowest = np.array([np.nan if finding.lowest is None else finding.lowest for finding in findings])
    row = np.arange(len(findings), dtype=float)
    hole = np.array([finding.hole is not None for finding in findings], dtype=bool)
    high = lowest > ceiling
    axes.scatter(lowest[~hole & ~high], row[~hole & ~high], s=22, color=colour, label=label, zorder=3, linewidths=0)
    axes.scatter(
        np.full(high.sum(), 0.985 * ceiling), row[high], s=26, color=colour, marker=">", zorder=3, linewidths=0
    )
    inside = np.clip(np.nan_to_num(lowest, nan=0.0), -0.04 * ceiling, ceiling)
    axes.scatter(inside[hole], row[hole], s=34, color=colour, marker="X", zorder=4, linewidths=0)


def _dress(axes: Axes, names: Sequence[str], bound: float, title: str, ceiling: float) -> None:
    axes.axvspan(-0.06 * ceiling, bound, color="#d55e00", alpha=0.08, linewidth=0, zorder=0)
    axes.set_xlim(-0.06 * ceiling, 1.02 * ceiling)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_yticks(range(len(names)), [name.replace("-", "–") for name in names])
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("Lowest energy of a turn (eV)" if title == _TITLES["dihedral"] else "Lowest unphysical energy (eV)")
    axes.set_title(title)
