"""``ffpt demo``: a whole study, start to page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ffpt_core.cli.output import show


def demo(
    study: Annotated[
        str, typer.Argument(help="Which: aspirin, water, combustion; or a .yaml file of your own.")
    ] = "aspirin",
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of all files.")] = Path("demo"),
    quick: Annotated[bool, typer.Option("--quick", help="A minute's worth, to see that all parts work.")] = False,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
) -> None:
    """Run the whole method and write report.html: teacher, rattling, pre-training, fine-tuning, MD, analysis.

    Every step is an ffpt command, shown as it runs; the same command continues a demo that was stopped.

    \b
    Example:
      ffpt demo aspirin -o demo/
      ffpt demo water -o demo-water/
      ffpt demo combustion -o demo-combustion/
    """
    from ffpt_core.studies.perform import perform
    from ffpt_core.studies.study import read_study

    report = perform(read_study(study), output.resolve(), quick, seed)
    show({"page": report}, f"open {report} in a browser")
