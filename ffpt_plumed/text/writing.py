"""Writing PLUMED's text tables, at once or row by row, as PLUMED does."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ffpt_core.base.errors import FfptError
from ffpt_core.base.files import atomic_write
from ffpt_plumed.text.tables import Table, difference, read_headers

# How PLUMED writes numbers, if it is not told otherwise; its "%23.16g" would let two such as -1e-100 touch.
HILLS_FORMAT = " %22.16g"
COLVAR_FORMAT = " %f"
GRID_FORMAT = " %14.9f"


def _header(fields: Sequence[str], constants: Mapping[str, str]) -> str:
    lines = [" ".join(["#! FIELDS", *fields]), *(f"#! SET {name} {value}" for name, value in constants.items())]
    return "\n".join(lines) + "\n"


def _row_format(formats: str | Sequence[str], n_fields: int) -> str:
    """The format of a row: one for all columns, or one for each."""
    parts = [formats] * n_fields if isinstance(formats, str) else list(formats)
    if len(parts) != n_fields:
        raise ValueError(f"{len(parts)} formats for {n_fields} fields")
    return "".join(parts) + "\n"


def write_table(
    path: str | os.PathLike[str], table: Table, formats: str | Sequence[str] = HILLS_FORMAT, block: int = 0
) -> None:
    """Write a whole table, atomically.

    Args:
        path: of the file.
        table: what to write.
        formats: of C's printf, one for all columns or one for each.
        block: number of rows between blank lines, which grids of several variables have; 0 for none.

    Raises:
        FfptError: the file cannot be written.
    """
    row = _row_format(formats, len(table.fields))
    with atomic_write(path) as stream:
        stream.write(_header(table.fields, table.constants))
        for index, values in enumerate(table.values.tolist()):
            if block and index and index % block == 0:
                stream.write("\n")
            stream.write(row % tuple(values))


class TableWriter:
    """Writes a table row by row as PLUMED does; every row is on its way to the disk when write returns.

    A file that stands at path is renamed to bck.0.NAME (1, 2, ...), as PLUMED does, unless rows are appended to it.

    Args:
        path: of the file.
        fields: name of each column.
        constants: what the ``#! SET`` lines say.
        formats: of C's printf, one for all columns or one for each.
        append: continue the table at path, if there is one. A last line that was not written to its end is removed,
            then the header is repeated, as in restarted runs of PLUMED.

    Raises:
        FfptError: the file cannot be written, or the table to continue has other fields or constants.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        fields: Sequence[str],
        constants: Mapping[str, str],
        formats: str | Sequence[str] = HILLS_FORMAT,
        append: bool = False,
    ) -> None:
        self.path = Path(path)
        self._row = _row_format(formats, len(fields))
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if append and self.path.exists():
                self._prepare_to_continue(tuple(fields), {name: text.strip() for name, text in constants.items()})
            elif self.path.exists():
                _back_up(self.path)
            self._stream = open(self.path, "a", buffering=1)  # noqa: SIM115  # line-buffered; closed by close()
        except OSError as error:
            raise FfptError(f"cannot write {self.path}: {error.strerror or error}") from error
        self._put(_header(fields, constants))

    def _prepare_to_continue(self, fields: tuple[str, ...], constants: dict[str, str]) -> None:
        """Refuse to continue a table of other variables; remove a last line that has no end."""
        text = self.path.read_text()
        finished = text[: text.rfind("\n") + 1]
        if finished:
            there = read_headers(finished, self.path)
            if there != (fields, constants):
                raise FfptError(f"cannot continue {self.path}: {difference(there, (fields, constants))}")
        os.truncate(self.path, len(finished.encode()))

    def _put(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError as error:
            raise FfptError(f"cannot write {self.path}: {error.strerror or error}") from error

    def write(self, values: Sequence[float]) -> None:
        """Write one row, a number for each field.

        Raises:
            FfptError: the disk is full.
        """
        self._put(self._row % tuple(values))

    def close(self) -> None:
        self._stream.close()

    def __enter__(self) -> TableWriter:
        return self

    def __exit__(self, *exception: Any) -> None:
        self.close()


def _back_up(path: Path) -> None:
    """Rename path to the first free bck.K.NAME beside it."""
    names = (path.with_name(f"bck.{number}.{path.name}") for number in itertools.count())
    path.rename(next(name for name in names if not name.exists()))
