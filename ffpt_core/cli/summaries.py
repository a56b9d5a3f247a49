"""The table of a data set on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ffpt_core.datasets import Summary


def show_summary(overview: Summary, title: str, stderr: bool = True) -> None:
    """Print the table of a data set, on standard error where it only accompanies what was asked for."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # As Text, because brackets in the name of a file are no markup.
    table = Table(title=Text(title), title_justify="left", show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for row in overview.rows():
        table.add_row(*map(Text, row))
    Console(stderr=stderr).print(table)
