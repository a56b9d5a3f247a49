"""Learning curves and parity plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ffpt_core.datasets import Dataset

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_learning_curve(histories: Mapping[str, Sequence[Mapping[str, float]]]) -> Figure:
    """Validation errors and learning rate by epoch, one line a run.

    Args:
        histories: rows of PotentialModule.history by name of the run.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.2), layout="constrained")
    panels = figure.subplots(1, 3)
    columns = (
        ("force_mae", 1000.0, "force MAE (meV/Å)"),
        ("energy_mae", 1000.0, "energy MAE (meV)"),
        ("learning_rate", 1.0, "learning rate"),
    )
    for panel, (column, factor, label) in zip(panels, columns, strict=True):
        for name, history in histories.items():
            values = np.array([factor * row[column] for row in history])
            # A label that the data lack has no error: a zero that a logarithmic axis cannot show.
            panel.plot([row["epoch"] for row in history], np.where(values > 0, values, np.nan), label=name)
        panel.set(xlabel="epoch", ylabel=label)
        if any(row[column] > 0 for history in histories.values() for row in history):
            panel.set_yscale("log")
        panel.grid(alpha=0.3, which="both")
    panels[0].legend(frameon=False)
    return figure


def plot_parity(dataset: Dataset, predictions: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """Errors of predicted energies and force components against their labels.

    Args:
        dataset: labelled frames.
        predictions: (n_frames,) energies in eV and (n_atoms_total, 3) forces in eV/Angstrom by name.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, (energies, forces) in predictions.items():
        if dataset.energies is not None:
            relative = dataset.energies - dataset.energies.min()
            left.plot(relative, 1000 * (energies - dataset.energies), ".", ms=3, alpha=0.6, label=name)
        if dataset.forces is not None:
            error = 1000 * (forces - dataset.forces).ravel()
            right.plot(dataset.forces.ravel(), error, ".", ms=1, alpha=0.4, label=name)
    left.set(xlabel="label energy above the lowest (eV)", ylabel="energy error (meV)")
    right.set(xlabel="label force component (eV/Å)", ylabel="force error (meV/Å)")
    for panel in (left, right):
        panel.axhline(0, color="0.5", lw=0.8)
        panel.grid(alpha=0.3)
    left.legend(frameon=False, markerscale=3)
    return figure
