"""The table of a data set on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from ffpt_core.datasets import Summary


def summary_table(overview: Summary, title: str) -> Table:
    """What a data set holds, a line for each."""
    from rich.table import Table
    from rich.text import Text

    # As Text, because brackets in the name of a file are no markup.
    table = Table(title=Text(title), title_justify="left", show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for row in overview.rows():
        table.add_row(*map(Text, row))
    return table
