"""PRINT: values at every so many steps, in a table such as COLVAR."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ffpt_plumed.native.keywords import Keywords
from ffpt_plumed.native.restart import cut_after, last_step
from ffpt_plumed.native.translation import Program, Value
from ffpt_plumed.text.writing import TableWriter


@dataclass(frozen=True)
class PrintSettings:
    """One PRINT action.

    Attributes:
        values: its columns after the time.
        stride: steps between rows.
        file: as given.
        format: of the values, in C's notation.
        restart: append to the file.
    """

    values: tuple[Value, ...]
    stride: int
    file: str
    format: str
    restart: bool


def read_print(keywords: Keywords, program: Program) -> None:
    """PRINT ARG= FILE= STRIDE= FMT=."""
    if not keywords.has("FILE"):
        raise keywords.error("FILE is missing: natively there is no PLUMED log to print to")
    values = program.find(keywords)
    twice = [value.name for k, value in enumerate(values) if value in values[:k]]
    if twice:
        raise keywords.error(f"{twice[0]} would be printed twice", "ARG")
    program.prints.append(
        PrintSettings(
            tuple(values),
            keywords.positive("STRIDE", 1),
            keywords.text("FILE"),
            read_format(keywords, "%f"),
            read_restart_keyword(keywords, program),
        )
    )


def read_format(keywords: Keywords, default: str) -> str:
    """FMT, a C format of one real number.

    Raises:
        FfptError: it does not format a number.
    """
    text = keywords.text("FMT", default)
    try:
        float(text.replace("l", "") % 0.5)
    except (TypeError, ValueError):
        raise keywords.error(f"FMT={text} does not format a number; an example is %12.6f", "FMT") from None
    return text.replace("l", "")  # C's length modifier, which Python does without


def read_restart_keyword(keywords: Keywords, program: Program) -> bool:
    """RESTART=YES, NO or AUTO, which is what the RESTART action or the call says."""
    word = keywords.text("RESTART", "AUTO")
    if word not in ("YES", "NO", "AUTO"):
        raise keywords.error("RESTART must be YES, NO or AUTO", "RESTART")
    return program.restart if word == "AUTO" else word == "YES"


class Printer:
    """The file of one PRINT action.

    Args:
        settings: of the input.
        folder: that FILE is relative to.
    """

    def __init__(self, settings: PrintSettings, folder: Path) -> None:
        self.settings = settings
        self.path = folder / settings.file
        self._writer: TableWriter | None = None
        self._last = -1

    def open(self, step: int, timestep: float) -> None:
        """Open the file at the first step of a run."""
        settings = self.settings
        if settings.restart and step > 0:
            cut_after(self.path, step, timestep)
            self._last = last_step(self.path, timestep)
        constants = {}
        for value in settings.values:
            if value.period is not None:
                constants[f"min_{value.name}"] = value.period.low_text
                constants[f"max_{value.name}"] = value.period.high_text
        names = [value.name for value in settings.values]
        formats = [" %f", *([f" {settings.format}"] * len(names))]
        self._writer = TableWriter(self.path, ["time", *names], constants, formats, append=settings.restart)

    def done(self, step: int, timestep: float) -> bool:
        """Whether the row of the first step is there already."""
        return self._last >= step

    def write(self, time: float, values: dict[str, float]) -> None:
        """Append a row."""
        if self._writer is None:
            raise ValueError(f"{self.path} is not open")
        self._writer.write([time, *(values[value.name] for value in self.settings.values)])

    def close(self) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


READERS = {"PRINT": read_print}
"""Actions of this module, by name."""
