"""PRINT: values at every so many steps."""

from __future__ import annotations

from dataclasses import dataclass

from ffpt_plumed.native.keywords import Keywords
from ffpt_plumed.native.program import Program, Value


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


READERS = {"PRINT": read_print}
"""Actions of this module, by name."""
