"""PLUMED's text tables, such as HILLS, COLVAR and grids: rows of numbers below ``#! FIELDS`` and ``#! SET``.

Format as PLUMED 2.x writes it (src/tools/OFile.cpp) and reads it (src/tools/IFile.cpp); units are those of the run.
"""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ffpt_core.base.errors import FfptError, FfptWarning
from ffpt_plumed.text.numbers import Period

Header: TypeAlias = tuple[tuple[str, ...], dict[str, str]]
"""Fields, and constants as text."""


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

    def period(self, name: str) -> Period | None:
        """The period of a variable, or None where it is not periodic.

        Raises:
            FfptError: the ends are no numbers.
        """
        if f"min_{name}" not in self.constants or self.constants.get(f"periodic_{name}") == "false":
            return None
        try:
            return Period(*(self.constants.get(f"{end}_{name}", "nothing") for end in ("min", "max")))
        except FfptError as error:
            raise FfptError(f"{self.source}: the period of {name}: {error}") from error


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
    fields, constants = read_headers(text, path)
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


def read_headers(text: str, path: str | os.PathLike[str]) -> Header:
    """Fields and constants, which all headers of the file must agree on.

    Args:
        text: of the file.
        path: where it comes from, for messages.

    Raises:
        FfptError: no header, or headers that differ, with the line.
    """
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
            change = difference((fields, constants), (others, settings))
            raise FfptError(f"{path}, line {line}: a restarted run must keep its variables, but {change}")
    return fields, constants


def difference(header: Header, other: Header) -> str:
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
