"""Learning curves and parity plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ffpt_core.base import figures
from ffpt_core.base.units import MILLI
from ffpt_core.datasets import Dataset

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@figures.styled
def plot_learning_curve(histories: Mapping[str, Sequence[Mapping[str, float]]]) -> Figure:
    """Validation errors and learning rate by epoch, one line a run.

    Args:
        histories: rows of a history (ffpt_core.training.loop.Loop) by name of the run.
    """
    from matplotlib.ticker import LogLocator, NullFormatter

    figure, panels = figures.new_figure(1, 3, width=3.1)
    colours = figures.colours(histories)
    columns = (
        ("force_mae", MILLI, "Force MAE (meV/Å)"),
        ("energy_mae", MILLI, "Energy MAE (meV)"),
        ("learning_rate", 1.0, "Learning rate"),
    )
    for panel, (column, unit, label) in zip(panels, columns, strict=True):
        for name, history in histories.items():
            values = np.array([row[column] / unit for row in history])
            # A label that the data lack has no error: a zero that a logarithmic axis cannot show.
            shown = np.where(values > 0, values, np.nan)
            panel.plot([row["epoch"] for row in history], shown, label=name, color=colours[name])
        panel.set(xlabel="Epoch", ylabel=label)
        if not any(row[column] > 0 for history in histories.values() for row in history):
            continue
        panel.set_yscale("log")
        if column != "learning_rate":  # 20, 50, 100 rather than powers of ten
            panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            panel.yaxis.set_major_formatter("{x:g}")
            panel.yaxis.set_minor_formatter(NullFormatter())
    figures.legend_above(figure, *panels[0].get_legend_handles_labels())
    return figure


@figures.styled
def plot_parity(dataset: Dataset, predictions: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """Errors of predicted energies and force components against their labels.

    Args:
        dataset: labelled frames.
        predictions: (n_frames,) energies in eV and (n_atoms_total, 3) forces in eV/Angstrom by name.
    """
    figure, (left, right) = figures.new_figure(1, 2, width=4.2, height=3.2)
    colours = figures.colours(predictions)
    for name, (energies, forces) in predictions.items():
        dots: dict[str, Any] = {
            "linestyle": "none",
            "marker": "o",
            "markeredgewidth": 0,
            "color": colours[name],
            "rasterized": True,
        }
        if dataset.energies is not None:
            relative = dataset.energies - dataset.energies.min()
            left.plot(relative, (energies - dataset.energies) / MILLI, markersize=2.5, alpha=0.6, label=name, **dots)
        if dataset.forces is not None:
            error = (forces - dataset.forces).ravel() / MILLI
            right.plot(dataset.forces.ravel(), error, markersize=1.5, alpha=0.3, label=name, **dots)
    left.set(xlabel="Label energy above the lowest (eV)", ylabel="Energy error (meV)")
    right.set(xlabel="Label force component (eV/Å)", ylabel="Force error (meV/Å)")
    for panel in (left, right):
        panel.axhline(0, color="#000000", linestyle=":", linewidth=1.0)
    handles, labels = (left if dataset.energies is not None else right).get_legend_handles_labels()
    figures.legend_above(figure, handles, labels)
    return figure
