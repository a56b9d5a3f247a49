"""What a verb found, on standard output: tables for people, or JSON for programs. Messages go to standard error."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table as TerminalTable
from rich.text import Text

from ffpt_core.base import progress

if TYPE_CHECKING:
    from ffpt_core.base.results import Table

_PIPE_WIDTH = 160
"""Columns where there is no terminal that says how many it has."""


class _Output:
    """Where results go: decided once, for the verb that runs."""

    json = False


@contextlib.contextmanager
def reporting(json: bool = False, quiet: bool = False) -> Iterator[None]:
    """Report what verbs find in the block as JSON, or say nothing while they work.

    Args:
        json: results are JSON on standard output.
        quiet: neither messages nor progress on standard error; results and errors are shown all the same.
    """
    before, _Output.json = _Output.json, json
    try:
        with progress.quiet(quiet):
            yield
    finally:
        _Output.json = before


def show(record: Any, *parts: Table | TerminalTable | str) -> None:
    """Show what a verb found.

    Args:
        record: all of it, in plain values and numpy arrays: what ``--json`` prints.
        parts: the same for people: tables, and lines of text as they are.
    """
    if _Output.json:
        from ffpt_core.base.files import to_json

        print(to_json(record), end="")  # noqa: T201  # the results are what a verb is asked for
        return
    console = Console()  # of the standard output of this moment
    if not console.is_terminal:
        console = Console(width=_PIPE_WIDTH)
    for part in parts:
        if isinstance(part, str):
            console.print(Text(part), soft_wrap=True, highlight=False)
        elif isinstance(part, TerminalTable):
            console.print(part)
        else:
            console.print(_of_terminal(part))


def _of_terminal(table: Table) -> TerminalTable:
    shown = TerminalTable(*table.columns, caption=table.caption or None, caption_justify="left")
    for row in table.rows:
        shown.add_row(*("-" if cell is None else Text(str(cell)) for cell in row))
    return shown
