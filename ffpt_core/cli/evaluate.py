"""ffpt evaluate: errors of potentials on labelled frames."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def evaluate(
    models: Annotated[list[str], typer.Argument(help="Potential files; LABEL=PATH names them in table and picture.")],
    data: Annotated[Path, typer.Option(help="Labelled frames (extxyz, npz).")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of evaluate.json and evaluate.png.")] = Path(
        "."
    ),
    batch_size: Annotated[int, typer.Option(help="Frames evaluated at once.")] = 20,
) -> None:
    """Compare energies and forces of potentials with labels: a table, JSON and a parity picture.

    \b
    Example:
      ffpt evaluate "from scratch=scratch/potential.pt" finetuned/potential.pt --data test.xyz -o errors/
    """
    from rich.table import Table

    from ffpt_core import load
    from ffpt_core.analysis.style import save_figure
    from ffpt_core.cli.arguments import labelled_once
    from ffpt_core.datasets import read
    from ffpt_core.files import write_json
    from ffpt_core.progress import console
    from ffpt_core.training.evaluation import Errors, errors_of, predict
    from ffpt_core.training.plots import plot_parity

    dataset = read(data)
    predictions = {name: predict(load(path), dataset, batch_size) for name, path in labelled_once(models).items()}
    errors = {name: errors_of(dataset, *predicted) for name, predicted in predictions.items()}
    table = Table("potential", "energy MAE (meV)", "energy RMSE", "force MAE (meV/Å)", "force RMSE")
    for name, row in errors.items():
        values = (row.energy_mae, row.energy_rmse, row.force_mae, row.force_rmse)
        table.add_row(name, *("-" if value is None else f"{1000 * value:.1f}" for value in values))
    console.print(table)
    record = {"data": str(data), "fingerprint": dataset.fingerprint, "level": dataset.level, "units": Errors.UNITS}
    write_json(output / "evaluate.json", {**record, "errors": {name: row.to_dict() for name, row in errors.items()}})
    save_figure(plot_parity(dataset, predictions), output / "evaluate.png")
