"""Tables of a run that goes on: rows after the step that it goes on from are cut off."""

from __future__ import annotations

import logging
from pathlib import Path

from ffpt_core.base.errors import FfptError
from ffpt_core.base.files import atomic_write
from ffpt_plumed.text.tables import read_table

_log = logging.getLogger(__name__)


def last_step(path: Path, timestep: float) -> int:
    """The step of the last row; -1: there is none. With the time step in the unit of the table.

    Raises:
        FfptError: the table cannot be read.
    """
    if not path.is_file():
        return -1
    times = read_table(path)["time"]
    return round(float(times[-1]) / timestep) if len(times) else -1


def cut_after(path: Path, step: int, timestep: float) -> int:
    """Remove the rows of later steps at the end of a table, and a row that was not finished; returns how many.

    Rows are taken away from the end until one is not later, to half a time step: a file that several runs were
    appended to, each from time 0, keeps the earlier ones. The file changes at once or not at all.

    Raises:
        FfptError: the table cannot be read or written.
    """
    if not path.is_file():
        return 0
    try:
        lines = path.read_text().splitlines(keepends=True)
    except OSError as error:
        raise FfptError(f"cannot read {path}: {error.strerror or error}") from error
    later: set[int] = set()
    for number in reversed(range(len(lines))):
        line = lines[number]
        if line.strip() and not line.startswith("#"):
            if line.endswith("\n") and float(line.split()[0]) <= (step + 0.5) * timestep:
                break
            later.add(number)
    if later:
        _log.warning("%s: removed %d rows after step %d", path, len(later), step)
        with atomic_write(path) as stream:
            stream.writelines(line for number, line in enumerate(lines) if number not in later)
    return len(later)
