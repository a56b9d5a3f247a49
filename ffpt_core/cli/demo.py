"""ffpt demo: a whole study, start to page."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Annotated

import typer

STUDIES = ("aspirin", "water", "combustion")
"""Each is a package of ffpt_core.studies with its steps, its Settings, and QUICK ones."""


def demo(
    study: Annotated[str, typer.Argument(help=f"Which: {', '.join(STUDIES)}.")] = "aspirin",
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
    from ffpt_core.base.errors import FfptError
    from ffpt_core.base.progress import console
    from ffpt_core.studies.study import perform

    if study not in STUDIES:
        raise FfptError(f"no demo is called {study!r}; there are: {', '.join(STUDIES)}")
    module = importlib.import_module(f"ffpt_core.studies.{study}")
    settings = module.Settings(seed=seed, **(module.QUICK if quick else {}))
    report = perform(module.steps, output.resolve(), settings)
    console.print(f"open {report} in a browser")
