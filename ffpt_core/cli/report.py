"""``ffpt report``: one HTML page about a folder of results."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ffpt_core.cli.output import show


def report(
    folder: Annotated[Path, typer.Argument(help="Folder of results, with a report.json if there is one.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The page; default: report.html in the folder.")
    ] = None,
) -> None:
    """Make one self-contained HTML page about a folder of results.

    Headline numbers, tables, pictures, commands and versions: what it shows
    stands in report.json. Without one, the known results in the folder and
    below are shown as they are found.

    \b
    Example:
      ffpt report results/ -o report.html
    """
    from ffpt_core.report import build_report

    path = build_report(folder, output)
    size = path.stat().st_size
    show({"page": path, "bytes": size}, f"wrote {path} ({size / 1e6:.1f} MB)")
