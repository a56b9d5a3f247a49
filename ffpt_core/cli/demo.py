"""ffpt demo: a whole study, start to page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    study: Annotated[str, typer.Argument(help="Which: aspirin.")] = "aspirin",
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of all files.")] = Path("demo"),
    quick: Annotated[bool, typer.Option("--quick", help="A minute's worth, to see that all parts work.")] = False,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
) -> None:
    """Run the whole method and write report.html: teacher, rattling, pre-training, fine-tuning, MD, analysis.

    Every step is an ffpt command, shown as it runs; the same command continues a demo that was stopped.

    \b
    Example:
      ffpt demo aspirin -o demo/
    """
    from ffpt_core.demos import aspirin
    from ffpt_core.errors import FfptError
    from ffpt_core.progress import console

    if study != "aspirin":
        raise FfptError(f"no demo is called {study!r}; there is: aspirin")
    settings = aspirin.Settings(seed=seed)
    if quick:
        settings = aspirin.Settings(
            rattled_frames=1000,
            n_train=40,
            n_validation=10,
            epochs=2,
            replicas=2,
            lengths={500: 0.1, 1000: 0.05},
            seed=seed,
        )
    report = aspirin.run(output.resolve(), settings)
    console.print(f"open {report} in a browser")
