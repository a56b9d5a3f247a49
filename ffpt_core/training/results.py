"""What ``ffpt train`` and ``ffpt evaluate`` leave in their folders, and how a page shows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ffpt_core.base.results import Result, Table, duration, milli


def training_table(result: Mapping[str, Any]) -> Table:
    """Errors, data and time of a potential: on the test frames, or those for validation where there were none."""
    measured = "test" if result.get("test") else "validation"
    errors, seconds = result[measured], result.get("training_seconds")
    time = None if seconds is None else duration(seconds)
    row = [milli(errors.get("energy_mae")), milli(errors.get("force_mae")), result["train_frames"], result["epochs"]]
    columns = ["Energy MAE (meV)", "Force MAE (meV/Å)", "Training frames", "Epochs", "Training time"]
    return Table(columns, [[*row, time]], f"Errors on {errors['frames']:,} {measured} frames.")


def evaluation_table(evaluation: Mapping[str, Any]) -> Table:
    """Errors of each potential on the same frames."""
    names = ("energy_mae", "energy_rmse", "force_mae", "force_rmse")
    rows = [
        [label, *(milli(errors.get(name)) for name in names), errors.get("frames")]
        for label, errors in evaluation["errors"].items()
    ]
    columns = ["Potential", "Energy MAE (meV)", "RMSE", "Force MAE (meV/Å)", "RMSE", "Test frames"]
    level = f" Labels: {evaluation['level']}." if evaluation.get("level") else ""
    return Table(columns, rows, f"Errors on test frames.{level}")


TRAINING = Result(
    title="Training",
    file="result.json",
    table=training_table,
    pictures=(("learning_curve.png", "Validation errors and learning rate by epoch."),),
    stage="training",
)

ERRORS = Result(
    title="Errors",
    file="evaluate.json",
    table=evaluation_table,
    pictures=(("evaluate.png", "Errors against the labels."),),
    stage="errors",
)
