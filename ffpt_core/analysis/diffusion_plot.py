"""The picture of mean square displacements and diffusion coefficients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ffpt_core.analysis.self_diffusion import PER_SECOND, Diffusion
from ffpt_core.base import figures
from ffpt_core.base.errors import FfptError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@figures.styled
def plot_diffusion(
    found: Mapping[str, Diffusion], reference: str | None = None, corrections: Mapping[str, float] | None = None
) -> Figure:
    """Mean square displacements with the lines fitted to them (left), and D with its errors (right).

    Args:
        found: by label.
        reference: its label, drawn in black.
        corrections: for the size of the box by label, in Angstrom^2/ps; corrected values are open circles.

    Raises:
        FfptError: there is nothing to draw.
    """
    if not found:
        raise FfptError("there is no diffusion to draw")
    figure, (left, right) = figures.new_figure(1, 2, width=3.6, height=2.8)
    colours = figures.colours(found, reference)
    for position, (label, one) in enumerate(found.items()):
        colour = colours[label]
        left.plot(one.lags, one.msd, color=colour, label=label, linewidth=1.2)
        window = np.array(one.window)
        fitted = one.offset + 6.0 * one.coefficient * window
        left.plot(window, fitted, color=colour, linestyle="--", marker="|", markersize=9, linewidth=2.4, alpha=0.5)
        value, error = PER_SECOND * one.coefficient, PER_SECOND * one.error
        right.errorbar(position, value, error, color=colour, marker="o", capsize=3)
        if corrections is not None and label in corrections:
            corrected = value + PER_SECOND * corrections[label]
            right.errorbar(position, corrected, error, color=colour, marker="o", markerfacecolor="white", capsize=3)
    left.set_xlabel("Lag (ps)")
    left.set_ylabel("Mean square displacement (Å²)")
    left.set_xlim(left=0.0)
    left.set_ylim(bottom=0.0)
    right.set_xticks(range(len(found)), list(found), rotation=20 if len(found) > 3 else 0)
    right.set_xlim(-0.6, len(found) - 0.4)
    right.set_ylim(bottom=0.0)
    right.set_ylabel("D (10⁻⁹ m²/s)")
    if corrections:
        right.set_title("open: corrected for the size of the box", fontsize=8)
    figures.legend_above(figure, *left.get_legend_handles_labels())
    return figure
