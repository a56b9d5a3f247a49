"""Learning curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

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
            panel.plot([row["epoch"] for row in history], [factor * row[column] for row in history], label=name)
        panel.set(xlabel="epoch", ylabel=label, yscale="log")
        panel.grid(alpha=0.3, which="both")
    panels[0].legend(frameon=False)
    return figure
