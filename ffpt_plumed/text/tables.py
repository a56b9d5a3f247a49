"""PLUMED's text tables, such as HILLS, COLVAR and grids: rows of numbers below ``#! FIELDS`` and ``#! SET``.

Format as PLUMED 2.x writes it (src/tools/OFile.cpp) and reads it (src/tools/IFile.cpp); units are those of the run.
"""

from __future__ import annotations

import io
import itertools
import os
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ffpt_core.base.errors import FfptError, FfptWarning
from ffpt_core.base.files import atomic_write

# How PLUMED writes numbers, if it is not told otherwise; its "%23.16g" would let two such as -1e-100 touch.
HILLS_FORMAT = " %22.16g"
COLVAR_FORMAT = " %f"
GRID_FORMAT = " %14.9f"

Header: TypeAlias = tuple[tuple[str, ...], dict[str, str]]

_PI = re.compile(r"([+-]?)(\d*\.?\d*)\*?pi(?:/(\d+\.?\d*))?", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class Table:
    """A table of PLUMED.

    Args:
        fields: name of each column.
        constants: what ``#! SET`` lines say, as text.
        values: (n_rows, n_fields) numbers.
        source: where it comes from, for messages.
    """

    fields: tuple[str, ...]
    constants: dict[str, str]
    values: NDArray[np.float64]
    source: str = "the table"

    def __len__(self) -> int:
        return len(self.values)

    def __contains__(self, name: object) -> bool:
        return name in self.fields

    def __getitem__(self, name: str) -> NDArray[np.float64]:
        """One column, (n_rows,).

        Raises:
            FfptError: there is no such column.
        """
        if name not in self.fields:
            raise FfptError(f"{self.source} has no column {name!r}; it has {', '.join(self.fields)}")
        return self.values[:, self.fields.index(name)]

    def columns(self, names: Iterable[str]) -> NDArray[np.float64]:
        """Several columns, (n_rows, n_names).

        Raises:
            FfptError: one of them is not there.
        """
        return np.stack([self[name] for name in names], axis=1)

    def domain(self, name: str) -> tuple[float, float] | None:
        """The period of a variable as its lower and upper end, or None where it is not periodic.

        Raises:
            FfptError: the ends are no numbers.
        """
        if f"min_{name}" not in self.constants or self.constants.get(f"periodic_{name}") == "false":
            return None
        lower, upper = (self.constants.get(f"{end}_{name}", "nothing") for end in ("min", "max"))
        try:
            return plumed_number(lower), plumed_number(upper)
        except FfptError as error:
            raise FfptError(f"{self.source}: the period of {name}: {error}") from error


def plumed_number(text: str) -> float:
    """A number as PLUMED's input and headers have it: "0.5", "-pi", "2*pi", "pi/2".

    Raises:
        FfptError: it is none of these.
    """
    parts = _PI.fullmatch(text.strip())
    if parts is None:
        try:
            return float(text)
        except ValueError:
            raise FfptError(f"{text!r} is not a number") from None
    sign, factor, divisor = parts.groups()
    return (-1.0 if sign == "-" else 1.0) * float(factor or 1.0) * np.pi / float(divisor or 1.0)


def read_table(path: str | os.PathLike[str]) -> Table:
    """Read a table of PLUMED.

    Headers repeat in files of restarted runs and must then agree. A last line that the writer did not finish, as a
    killed run leaves it, is left out with a FfptWarning.

    Raises:
        FfptError: no such file, no header, headers that differ, or a broken line, with its number.
    """
    try:
        text = Path(path).read_text()
    except OSError as error:
        raise FfptError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise FfptError(f"{path} is not a text file") from error
    text = _without_unfinished_line(text, path)
    fields, constants = _read_headers(text, path)
    return Table(fields, constants, _read_rows(text, len(fields), path), str(path))


def _without_unfinished_line(text: str, path: str | os.PathLike[str]) -> str:
    """Text up to its last line feed. PLUMED itself ignores what follows it: digits may be missing there."""
    end = text.rfind("\n") + 1
    if text[end:].strip():
        message = f"{path}: left out line {text.count(chr(10)) + 1}, the last one, which was not written to its end"
        warnings.warn(message, FfptWarning, stacklevel=3)
    return text[:end]


def _marked_lines(text: str) -> Iterator[tuple[int, list[str]]]:
    """Where each "#!" is that begins a line, and the words of the line."""
    position = text.find("#!")
    while position >= 0:
        end = text.find("\n", position)
        if not text[text.rfind("\n", 0, position) + 1 : position].strip():
            yield position, text[position:end].split()
        position = text.find("#!", end)


def _read_headers(text: str, path: str | os.PathLike[str]) -> Header:
    """Fields and constants, which all headers of the file must agree on."""
    headers: list[tuple[int, tuple[str, ...], dict[str, str]]] = []
    for start, words in _marked_lines(text):
        line = text.count("\n", 0, start) + 1
        if words[:2] == ["#!", "FIELDS"]:
            headers.append((line, tuple(words[2:]), {}))
        elif words[:2] == ["#!", "SET"] and len(words) == 4:
            if not headers:
                raise FfptError(f"{path}, line {line}: SET stands before FIELDS")
            headers[-1][2][words[2]] = words[3]
    if not headers:
        raise FfptError(f"{path} is not a table of PLUMED: no line begins with '#! FIELDS'")
    line, fields, constants = headers[0]
    if not fields or len(set(fields)) < len(fields):
        raise FfptError(f"{path}, line {line}: FIELDS should name every column once")
    for line, others, settings in headers[1:]:
        if (others, settings) != (fields, constants):
            change = _difference((fields, constants), (others, settings))
            raise FfptError(f"{path}, line {line}: a restarted run must keep its variables, but {change}")
    return fields, constants


def _difference(header: Header, other: Header) -> str:
    """What changes from one header to another."""
    if header[0] != other[0]:
        return f"FIELDS {' '.join(header[0])} becomes FIELDS {' '.join(other[0])}"
    old, new = header[1], other[1]
    name = next(name for name in (*old, *new) if old.get(name) != new.get(name))
    return f"{name} {old.get(name, '(not set)')} becomes {new.get(name, '(not set)')}"


def _read_rows(text: str, n_fields: int, path: str | os.PathLike[str]) -> NDArray[np.float64]:
    """The numbers, (n_rows, n_fields)."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*input contained no data.*")
            values = np.loadtxt(io.StringIO(text), ndmin=2)
    except ValueError:
        _refuse_broken_line(text, n_fields, path)
        raise
    if len(values) == 0:
        return np.zeros((0, n_fields))
    if values.shape[1] != n_fields:
        _refuse_broken_line(text, n_fields, path)
    return values


def _refuse_broken_line(text: str, n_fields: int, path: str | os.PathLike[str]) -> None:
    """Name the first row that is not n_fields numbers; slow, so for files known to have one."""
    for number, line in enumerate(text.split("\n"), start=1):
        words = line.partition("#")[0].split()
        if words and len(words) != n_fields:
            raise FfptError(f"{path}, line {number}: {len(words)} columns where FIELDS names {n_fields}")
        try:
            np.array(words, dtype=float)
        except ValueError as error:
            raise FfptError(f"{path}, line {number}: {error}") from None


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
            there = _read_headers(finished, self.path)
            if there != (fields, constants):
                raise FfptError(f"cannot continue {self.path}: {_difference(there, (fields, constants))}")
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
