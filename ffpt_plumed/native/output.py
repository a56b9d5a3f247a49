"""PRINT: values at every so many steps, in a table such as COLVAR."""

from __future__ import annotations

from pathlib import Path

from ffpt_plumed.native.keywords import Keywords
from ffpt_plumed.native.restart import cut_after, last_step
from ffpt_plumed.native.stateful import Moment, StatefulAction
from ffpt_plumed.native.translation import Translation
from ffpt_plumed.native.values import Value
from ffpt_plumed.text.writing import TableWriter


def read_print(keywords: Keywords, translation: Translation) -> None:
    """PRINT ARG= FILE= STRIDE= FMT=."""
    if not keywords.has("FILE"):
        raise keywords.error("FILE is missing: natively there is no PLUMED log to print to")
    values = translation.find(keywords)
    twice = [value.name for k, value in enumerate(values) if value in values[:k]]
    if twice:
        raise keywords.error(f"{twice[0]} would be printed twice", "ARG")
    action = Print(
        keywords.action.label,
        tuple(values),
        keywords.positive("STRIDE", 1),
        translation.folder / keywords.text("FILE"),
        keywords.format("FMT", "%f"),
        translation.continues(keywords),
    )
    translation.add_stateful(action)


class Print(StatefulAction):
    """One PRINT action: its file.

    Args:
        label, arguments, stride: as in StatefulAction; the arguments are the columns after the time.
        path: of the file.
        format: of the values, in C's notation.
        restart: append to the file.
    """

    def __init__(
        self, label: str, arguments: tuple[Value, ...], stride: int, path: Path, format: str, restart: bool
    ) -> None:
        super().__init__(label, arguments, stride)
        self.path = path
        self._format, self._restart = format, restart
        self._writer: TableWriter | None = None

    def begin(self, step: int, timestep: float) -> bool:
        """See StatefulAction: the first step is printed, unless its row is there already."""
        if not (self._restart and step > 0):
            return True
        cut_after(self.path, step, timestep)
        return last_step(self.path, timestep) < step

    def open(self) -> None:
        """See StatefulAction."""
        constants = {}
        for value in self.arguments:
            if value.period is not None:
                constants[f"min_{value.name}"] = value.period.low_text
                constants[f"max_{value.name}"] = value.period.high_text
        names = [value.name for value in self.arguments]
        formats = [" %f", *([f" {self._format}"] * len(names))]
        self._writer = TableWriter(self.path, ["time", *names], constants, formats, append=self._restart)

    def save(self, moment: Moment) -> None:
        """See StatefulAction: a row."""
        if self._writer is None:
            raise ValueError(f"{self.path} is not open")
        self._writer.write([moment.time, *(moment.values[value.name] for value in self.arguments)])

    def close(self) -> None:
        """See StatefulAction."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
