"""ffpt evaluate: errors of potentials on labelled frames."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from ffpt_core.base.errors import FfptError
from ffpt_core.cli.notes import notes
from ffpt_core.cli.options import Device, PotentialNames
from ffpt_core.cli.output import show
from ffpt_core.cli.reading import EnergyKey, EnergyUnit, First, ForcesKey, Last, LengthUnit, Level, Stride, reading

if TYPE_CHECKING:
    from rich.table import Table

    from ffpt_core.datasets import Dataset
    from ffpt_core.training.evaluation import Errors

_MOST_ROWS = 30
"""Groups with more labels than this are tabulated on request only."""


def evaluate(
    potentials: PotentialNames,
    data: Annotated[Path, typer.Option(help="Labelled frames (extxyz, npz).")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of evaluate.json and evaluate.png.")] = Path(
        "."
    ),
    split: Annotated[Optional[Path], typer.Option(help="Split of `ffpt data split`: only its --part.")] = None,
    part: Annotated[str, typer.Option(help="Part of the split: train, validation or test.")] = "test",
    by: Annotated[
        Optional[list[str]],
        typer.Option(help="Errors by group too, e.g. reaction, or reaction,source; repeatable. Default: small groups."),
    ] = None,
    batch_size: Annotated[
        Optional[int], typer.Option(help="Frames evaluated at once. Default: what suits CPU or GPU.")
    ] = None,
    energy_unit: EnergyUnit = None,
    length_unit: LengthUnit = None,
    level: Level = None,
    energy_key: EnergyKey = None,
    forces_key: ForcesKey = None,
    first: First = 0,
    last: Last = None,
    stride: Stride = 1,
    device: Device = None,
) -> None:
    """Compare energies and forces of potentials with labels: a table, JSON and a parity picture.

    \b
    Examples:
      ffpt evaluate tblite:GFN2-xTB --data frames.xyz
      ffpt evaluate "from scratch=scratch/potential.pt" finetuned/potential.pt --data test.xyz -o errors/
      ffpt evaluate finetuned/potential.pt --data h2.npz --split split.json --by reaction --by source -o errors/
      ffpt evaluate tblite:GFN2-xTB --data dft.xyz --energy-key dft_energy --forces-key dft_forces -o errors/
    """
    from ffpt_core.base.figures import save_figure
    from ffpt_core.base.files import write_json
    from ffpt_core.cli.arguments import labelled_once
    from ffpt_core.datasets import read
    from ffpt_core.potentials.sources import open_potential
    from ffpt_core.training.evaluation import Errors, errors_by, errors_of, predict
    from ffpt_core.training.plots import plot_parity

    options = reading(
        energy_unit=energy_unit,
        length_unit=length_unit,
        level=level,
        energy_key=energy_key,
        forces_key=forces_key,
        first=first,
        last=last,
        stride=stride,
    )
    with notes():
        dataset = _part(read(data, options), split, part)
    names = [name for name, labels in dataset.groups.items() if len(set(labels)) <= _MOST_ROWS] if by is None else by
    predictions = {
        label: predict(open_potential(name, device), dataset, batch_size)
        for label, name in labelled_once(potentials).items()
    }
    errors = {name: errors_of(dataset, *predicted) for name, predicted in predictions.items()}
    grouped = {
        group: {name: errors_by(dataset, *predicted, group) for name, predicted in predictions.items()}
        for group in names
    }
    record = {"data": str(data), "fingerprint": dataset.fingerprint, "level": dataset.level, "units": Errors.UNITS}
    if split is not None:
        record |= {"split": str(split), "part": part}
    plain = {name: row.to_dict() for name, row in errors.items()}
    by_group = {
        group: {name: {label: row.to_dict() for label, row in table.items()} for name, table in tables.items()}
        for group, tables in grouped.items()
    }
    found = {**record, "errors": plain, "groups": by_group}
    write_json(output / "evaluate.json", found)
    save_figure(plot_parity(dataset, predictions), output / "evaluate.png")
    tables = [_table("", {name: {"": row} for name, row in errors.items()})]
    show(found, *tables, *(_table(group, rows) for group, rows in grouped.items()))


def _part(dataset: Dataset, split: Path | None, part: str) -> Dataset:
    """The frames to evaluate."""
    from ffpt_core.datasets import Split
    from ffpt_core.datasets.splits import PARTS

    if split is None:
        return dataset
    if part not in PARTS:
        raise FfptError(f"--part {part}: a split has {', '.join(PARTS)}")
    return dict(zip(PARTS, Split.load(split).apply(dataset), strict=True))[part]


def _table(group: str, rows: dict[str, dict[str, Errors]]) -> Table:
    """A table of errors: a row per potential and, where there is a group, per label."""
    from rich.table import Table

    from ffpt_core.base.results import milli

    first = [group, "frames"] if group else []
    table = Table("potential", *first, "energy MAE (meV)", "energy RMSE", "force MAE (meV/Å)", "force RMSE")
    for name, by_label in rows.items():
        for label, row in by_label.items():
            values = (row.energy_mae, row.energy_rmse, row.force_mae, row.force_rmse)
            shown = (milli(value) or "-" for value in values)
            table.add_row(name, *([label, f"{row.frames:,}"] if group else []), *shown)
    return table
