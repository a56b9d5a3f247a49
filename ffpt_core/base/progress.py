"""One progress bar for all long work: what is done, rate, time left."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

console = Console(stderr=True)
"""Where messages and bars go: standard error, so that standard output stays data."""


@contextlib.contextmanager
def quiet(on: bool = True) -> Iterator[None]:
    """Neither messages nor bars while the block runs, unless off."""
    before = console.quiet
    console.quiet = on or before
    try:
        yield
    finally:
        console.quiet = before


class _RateColumn(ProgressColumn):
    """Steps per second, or nothing before the first."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self.unit = unit

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.1f} {self.unit}/s")


@contextlib.contextmanager
def progress_bar(description: str, total: float, unit: str = "frames") -> Iterator[Callable[[float], None]]:
    """Show a bar on standard error while the block runs; yields advance(n).

    Without a terminal (a log file, CI) only the finished bar is printed.

    Args:
        description: what is being done, as the user would say it.
        total: number of steps.
        unit: what a step is, for the rate.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _RateColumn(unit),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, refresh_per_second=4) as progress:
        task = progress.add_task(description, total=total)

        def advance(steps: float = 1) -> None:
            progress.advance(task, steps)

        yield advance
