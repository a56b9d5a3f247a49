"""``ffpt data``: look at, get, convert and split data sets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ffpt_core.cli.combustion_data import combustion
from ffpt_core.cli.notes import notes
from ffpt_core.cli.output import show
from ffpt_core.cli.pack import pack
from ffpt_core.cli.reading import (
    EnergyKey,
    EnergyUnit,
    First,
    ForcesKey,
    Last,
    LengthUnit,
    Level,
    Stride,
    Topology,
    reading,
)
from ffpt_core.cli.summaries import summary_table
from ffpt_core.cli.water_box import water_box

if TYPE_CHECKING:
    from ffpt_core.datasets import Dataset, Split
    from ffpt_core.datasets.records.public import DataRecord

data = typer.Typer(no_args_is_help=True, help="Get, make, look at, convert and split data sets.")
data.command("water-box")(water_box)
data.command()(pack)

File = Annotated[
    Path,
    typer.Argument(
        help="Data set: .xyz, .npz (ours, MD17, rMD17, sGDML, combustion), .traj; a run folder; a trajectory."
    ),
]


def _frames_of(text: str, total: int) -> int:
    """A number of frames from "950" or "10%"."""
    from ffpt_core.base.errors import FfptError

    number = text.strip().removesuffix("%")
    try:
        return round(total * float(number) / 100) if text.strip().endswith("%") else int(number)
    except ValueError as error:
        raise FfptError(f"--train {text}: a number of frames such as 950, or a share such as 10%") from error


def _warn_of_leaks(dataset: Dataset, split: Split) -> None:
    """Say how many validation and test frames are copies of training frames."""
    import numpy as np

    from ffpt_core.base.progress import console
    from ffpt_core.datasets import first_of_repeats

    first = first_of_repeats(dataset)
    for name in ("validation", "test"):
        repeated = int(np.isin(first[getattr(split, name)], first[split.train]).sum())
        if repeated:
            console.print(
                f"[yellow]note:[/yellow] {repeated:,} {name} frames repeat training frames: "
                "convert with --drop-repeats first",
                soft_wrap=True,
            )


@data.command("list")
def list_() -> None:
    """Name the public data sets that `ffpt data get` knows.

    \b
    Example:
      ffpt data list
    """
    from rich.table import Table

    from ffpt_core.datasets import RECORDS, cache_folder

    folder = cache_folder()
    table = Table(caption=f"kept in {folder} (choose another with FFPT_DATA)", caption_justify="left")
    for heading, justify in (("name", "left"), ("frames", "right"), ("level", "left"), ("checksum", "left")):
        table.add_column(heading, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    table.add_column("here")
    for record in RECORDS.values():
        checksum = "published" if record.checksum else "at first use"
        here = "yes" if (folder / record.filename).exists() else ""
        table.add_row(record.name, f"{record.frames:,}" if record.frames else "", record.level, checksum, here)
    show([record.model_dump() for record in RECORDS.values()], table)


@data.command()
def get(
    name: Annotated[str, typer.Argument(help="A name from `ffpt data list`, e.g. rmd17-aspirin.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Also convert to this file.")] = None,
    folder: Annotated[Path | None, typer.Option(help="Keep the download here instead of the cache.")] = None,
) -> None:
    """Download a public data set, verify it and print where it is.

    A file that is there already is verified and not downloaded again.

    \b
    Example:
      ffpt data get rmd17-aspirin -o aspirin.npz
    """
    from ffpt_core.base.progress import console
    from ffpt_core.datasets import fetch, read, summary, write
    from ffpt_core.datasets.records.public import find_record

    record = find_record(name)
    with notes():
        path = fetch(record, folder)
        if record.convert:
            _show_conversion(record, path)
            return
        dataset = read(path, energy_unit=record.energy_unit, length_unit=record.length_unit, level=record.level)
    if output is not None:
        write(dataset, output)
    overview = summary(dataset)
    console.print(summary_table(overview, record.title))  # beside what was asked for: where it is
    for label, text in (("cite", record.citation), ("licence", record.licence), ("note", record.note)):
        if text:
            console.print(f"[bold]{label}:[/bold] {text}", soft_wrap=True, highlight=False)
    where = str(path if output is None else output)
    show({"path": where, **overview.to_dict()}, where)


def _show_conversion(record: DataRecord, path: Path) -> None:
    """Say how a download that is never loaded becomes a file that is."""
    from ffpt_core.base.progress import console

    for label, text in (("cite", record.citation), ("note", record.note), ("run, if you trust it", record.convert)):
        console.print(f"[bold]{label}:[/bold] {text}", soft_wrap=True, highlight=False)
    show({"path": path, "convert": record.convert}, str(path))


@data.command()
def info(
    file: File,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Also write the JSON to this file.")] = None,
    energy_unit: EnergyUnit = None,
    length_unit: LengthUnit = None,
    level: Level = None,
    energy_key: EnergyKey = None,
    forces_key: ForcesKey = None,
    topology: Topology = None,
    first: First = 0,
    last: Last = None,
    stride: Stride = 1,
) -> None:
    """Show what a data set holds: frames, atoms, labels, units, level of theory, fingerprint.

    \b
    Example:
      ffpt data info frames.xyz --energy-key dft_energy --forces-key dft_forces
    """
    from ffpt_core.base.files import write_json
    from ffpt_core.datasets import read, summary

    with notes():
        options = reading(
            energy_unit=energy_unit,
            length_unit=length_unit,
            level=level,
            energy_key=energy_key,
            forces_key=forces_key,
            topology=topology,
            first=first,
            last=last,
            stride=stride,
        )
        overview = summary(read(file, options))
    record = {"file": str(file), **overview.to_dict()}
    if output is not None:
        write_json(output, record)
    show(record, summary_table(overview, str(file)))


@data.command()
def convert(
    file: File,
    output: Annotated[Path, typer.Argument(help="File to write: .npz (ours) or .xyz, .extxyz.")],
    energy_unit: EnergyUnit = None,
    length_unit: LengthUnit = None,
    level: Level = None,
    energy_key: EnergyKey = None,
    forces_key: ForcesKey = None,
    topology: Topology = None,
    first: First = 0,
    last: Last = None,
    stride: Stride = 1,
    repeats: Annotated[bool, typer.Option("--drop-repeats", help="Leave out frames that repeat earlier ones.")] = False,
    prefix: Annotated[str, typer.Option(help="Extended XYZ: put before energy and forces, e.g. REF_.")] = "",
) -> None:
    """Read a data set and write it in eV and Angstrom.

    \b
    Example:
      ffpt data convert md17_aspirin.npz aspirin.xyz --level PBE+vdW-TS
    """
    from ffpt_core.base.progress import console
    from ffpt_core.datasets import drop_repeats, read, summary, write

    with notes():
        options = reading(
            energy_unit=energy_unit,
            length_unit=length_unit,
            level=level,
            energy_key=energy_key,
            forces_key=forces_key,
            topology=topology,
            first=first,
            last=last,
            stride=stride,
        )
        dataset = read(file, options)
    if repeats:
        total = len(dataset)
        dataset = drop_repeats(dataset)
        console.print(f"left out {total - len(dataset):,} repeated frames of {total:,}", highlight=False)
    write(dataset, output, prefix)
    overview = summary(dataset)
    show({"file": str(output), **overview.to_dict()}, summary_table(overview, str(output)))


@data.command()
def join(
    files: Annotated[list[Path], typer.Argument(help="Data sets in eV and Angstrom, with the same kinds of labels.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write: .npz (ours) or .xyz, .extxyz.")],
    level: Annotated[
        str | None, typer.Option(help="Level of theory of the whole, where those of the files differ.")
    ] = None,
) -> None:
    """Put data sets one after the other; the molecules may differ. The group "file" says where a frame comes from.

    \b
    Example:
      ffpt data join oh.npz water.npz -o both.npz
    """
    import dataclasses

    import numpy as np

    from ffpt_core.datasets import Dataset, read, summary, write

    with notes():
        parts = [(file, read(file)) for file in files]
    named = [
        part
        if "file" in part.groups
        else dataclasses.replace(part, groups={**part.groups, "file": np.full(len(part), file.stem)})
        for file, part in parts
    ]
    joined = Dataset.concatenate(named, level=level)
    write(joined, output)
    overview = summary(joined)
    show({"file": str(output), **overview.to_dict()}, summary_table(overview, str(output)))


@data.command()
def split(
    file: File,
    train: Annotated[str, typer.Option(help="Number of training frames, or a share of all frames such as 10%.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Split to write (JSON).")],
    validation: Annotated[int, typer.Option(help="Number of validation frames.")] = 50,
    test: Annotated[int | None, typer.Option(help="Number of test frames; all that are left when absent.")] = None,
    by: Annotated[
        str | None, typer.Option(help="Keep groups whole: a name of `ffpt data info`, e.g. trajectory.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the shuffle.")] = 0,
    energy_unit: EnergyUnit = None,
    length_unit: LengthUnit = None,
    energy_key: EnergyKey = None,
    forces_key: ForcesKey = None,
) -> None:
    """Split a data set into training, validation and test frames, by seed.

    The split names frames by number and carries the fingerprint of the data set: it is refused with other
    data.

    \b
    Examples:
      ffpt data split aspirin.npz --train 950 --validation 50 --seed 0 -o split.json
      ffpt data split h2.npz --train 10% --validation 1000 --by trajectory -o split.json
    """
    from ffpt_core.datasets import group_split, random_split, read

    with notes():
        options = reading(
            energy_unit=energy_unit,
            length_unit=length_unit,
            energy_key=energy_key,
            forces_key=forces_key,
        )
        dataset = read(file, options)
    n_train = _frames_of(train, len(dataset))
    if by is None:
        parts = random_split(dataset, n_train, validation, test, seed)
    else:
        parts = group_split(dataset, by, n_train, validation, test, seed)
    parts.save(output)
    _warn_of_leaks(dataset, parts)
    sizes = f"{len(parts.train):,} training, {len(parts.validation):,} validation, {len(parts.test):,} test frames"
    counts = {"train": len(parts.train), "validation": len(parts.validation), "test": len(parts.test)}
    show({"split": output, "frames": len(dataset), **counts}, f"{output}: {sizes} of {len(dataset):,}")


data.command()(combustion)
