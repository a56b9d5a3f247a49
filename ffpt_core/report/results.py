"""Tables of what the verbs left in their folders, as the owners of the files make them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from ffpt_core.analysis.registry import ANALYSES
from ffpt_core.base.errors import FfptError
from ffpt_core.base.files import read_json
from ffpt_core.base.results import RESULTS, Result, Table, in_order


def known_results() -> list[Result]:
    """All kinds of results that the installed packages know how to show, in the order of the work."""
    return in_order([*RESULTS.all().values(), *ANALYSES.all().values()])


def table_of(path: Path, caption: str = "") -> Table:
    """The table of a file, as its owner makes it.

    Args:
        path: of the file.
        caption: instead of the owner's.

    Raises:
        FfptError: it cannot be read, is not what its name says, or nobody knows it.
    """
    content = read_json(path)
    result = next((one for one in known_results() if fnmatch(path.name, one.file) and one.recognises(content)), None)
    if result is None:
        raise FfptError(f"{path} is no result of ffpt")
    return checked_table(result, content, path, caption)


def checked_table(result: Result, content: Any, path: Path, caption: str = "") -> Table:
    """The table of a result.

    Raises:
        FfptError: the content is not that of such a result.
    """
    try:
        table = result.table(content)
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise FfptError(f"{path} is not a file that ffpt wrote under this name: {error!r}") from error
    return dataclasses.replace(table, caption=caption or table.caption)


def side_by_side(heading: str, tables: Mapping[str, Table], caption: str = "") -> Table:
    """Tables of the same columns as one, with a first column that says whose each row is."""
    columns = next(iter(tables.values())).columns
    rows = [[label, *row] for label, table in tables.items() for row in table.rows]
    return Table([heading, *columns], rows, caption)
