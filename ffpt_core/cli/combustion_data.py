"""``ffpt data combustion``: the hydrogen combustion benchmark as one data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from ffpt_core.base.errors import FfptError
from ffpt_core.cli.output import show

if TYPE_CHECKING:
    from rich.table import Table

    from ffpt_core.datasets.records.combustion import Reading


def combustion(
    folder: Annotated[
        Optional[Path], typer.Argument(help="Folder with 01_irc.npz, ...; without it, the files are downloaded.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Data set to write, .npz.")] = Path("combustion.npz"),
    reaction: Annotated[
        Optional[list[str]], typer.Option(help="Only this reaction (1 to 19, 6a, 6b); repeatable.")
    ] = None,
    source: Annotated[Optional[list[str]], typer.Option(help="Only irc, nm or aimd; repeatable.")] = None,
    without: Annotated[
        Optional[list[str]], typer.Option(help="Leave out this correction, or all of them: all; repeatable.")
    ] = None,
    keep_repeats: Annotated[bool, typer.Option("--keep-repeats", help="Keep frames that repeat others.")] = False,
    only_list: Annotated[bool, typer.Option("--list", help="Only list the corrections.")] = False,
) -> None:
    """Read the hydrogen combustion benchmark (19 reactions), mend or drop its known wrong labels, drop repeats.

    Frames carry the groups reaction, source and trajectory: see --by of `ffpt data split` and `ffpt evaluate`. A
    .json beside the data set counts what was changed.

    \b
    Example:
      ffpt data combustion h2combustion/ -o h2.npz
      ffpt data combustion h2combustion/ --reaction 9 --source irc --without 09-irc-forces -o raw9.npz
    """
    from ffpt_core.base.files import write_json
    from ffpt_core.datasets.formats.combustion_corrections import CORRECTIONS
    from ffpt_core.datasets.records.combustion import REACTIONS, SOURCES, reaction_names, read_combustion

    if only_list:
        corrections = {name: correction.what for name, correction in CORRECTIONS.items()}
        show(corrections, *(f"{name}: {what}" for name, what in corrections.items()))
        return
    if output.suffix != ".npz":
        raise FfptError(f"the data set is written as .npz, not as {output.name}")
    reactions = REACTIONS if reaction is None else reaction_names(reaction)
    sources = tuple(source or SOURCES)
    if set(sources) - set(SOURCES):
        raise FfptError(f"no source {sorted(set(sources) - set(SOURCES))[0]!r}; there are {', '.join(SOURCES)}")
    left_out = tuple(CORRECTIONS) if "all" in (without or ()) else tuple(without or ())
    folder = _downloaded(reactions, sources) if folder is None else folder
    dataset, reading = read_combustion(folder, reactions, sources, left_out, keep_repeats)
    dataset.save(output)
    record: dict[str, Any] = {
        "folder": folder, "reactions": reactions, "sources": sources, "without": left_out,
        "frames": len(dataset), "fingerprint": dataset.fingerprint, "level": dataset.level,
        "frames_read": reading.frames, "corrections": reading.corrections, "repeats": reading.repeats,
        "missing": reading.missing,
    }  # fmt: skip
    write_json(output.with_suffix(".json"), record)
    show(record, _reading_table(reading), f"{output}: {len(dataset):,} frames")
    _say_what_is_missing(reading)


def _downloaded(reactions: tuple[str, ...], sources: tuple[str, ...]) -> Path:
    """The cache folder with these files in it."""
    from ffpt_core.cli.notes import notes
    from ffpt_core.datasets.records.combustion_files import fetch_combustion

    with notes():
        return fetch_combustion(reactions, sources)


def _reading_table(reading: Reading) -> Table:
    from rich.table import Table

    from ffpt_core.datasets.formats.combustion_corrections import CORRECTIONS

    table = Table("correction", "files", "frames", "what")
    for name, counts in reading.corrections.items():
        what = "dropped" if CORRECTIONS[name].drop is not None else "mended"
        files = next(iter(counts)) if len(counts) == 1 else f"{len(counts)} files"
        table.add_row(name, files, f"{sum(counts.values()):,}", what)
    table.add_row("repeats", f"{len(reading.frames)} files", f"{reading.repeats:,}", "dropped")
    return table


def _say_what_is_missing(reading: Reading) -> None:
    from ffpt_core.base.progress import console

    if reading.missing:
        shown = ", ".join(reading.missing[:5]) + (", ..." if len(reading.missing) > 5 else "")
        console.print(
            f"[yellow]note:[/yellow] {len(reading.missing)} files are not in the folder: {shown}", soft_wrap=True
        )
