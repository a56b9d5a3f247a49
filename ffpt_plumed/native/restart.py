"""Tables of a run that goes on: rows after the step that it goes on from are cut off."""

from __future__ import annotations

import logging
from pathlib import Path

from ffpt_core.base.errors import FfptError
from ffpt_core.base.runs import cut_back
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
    appended to, each from time 0, keeps the earlier ones.

    Raises:
        FfptError: the table cannot be read or written.
    """
    if not path.is_file():
        return 0
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except OSError as error:
        raise FfptError(f"cannot read {path}: {error.strerror or error}") from error
    size = end = sum(map(len, lines))
    later = 0
    for line in reversed(lines):
        end -= len(line)
        if line.strip() and not line.startswith(b"#"):
            if line.endswith(b"\n") and float(line.split()[0]) <= (step + 0.5) * timestep:
                break
            size = end
            later += 1
    if later:
        _log.warning("%s: removed %d rows after step %d", path, later, step)
        cut_back(path, size)
    return later
