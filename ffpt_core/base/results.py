"""What the verbs leave in their folders, as a page can show it: the owner of a file says how, the page asks."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, TypeAlias, get_args

from ffpt_core.base.registry import Registry
from ffpt_core.base.units import MILLI

Cell: TypeAlias = str | int | float | None
"""Of a table; None is a dash."""

Stage: TypeAlias = Literal["teacher", "data", "training", "errors", "dynamics", "analysis"]
"""Where in the work something is made, in this order."""


@dataclass
class Table:
    """A table. A page aligns numbers right and shows them with four digits.

    Args:
        columns: headings, one at least.
        rows: as many cells in each as there are columns.
        caption: what the numbers are, in a sentence.

    Raises:
        ValueError: there are no columns, or a row has another number of cells.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    columns: list[str]
    rows: list[list[Cell]] = field(default_factory=list)
    caption: str = ""

    def __post_init__(self) -> None:
        if not self.columns:
            raise ValueError("a table needs a column")
        for number, row in enumerate(self.rows, 1):
            if len(row) != len(self.columns):
                raise ValueError(f"row {number} has {len(row)} cells for {len(self.columns)} columns")


@dataclass(frozen=True)
class Result:
    """A JSON file that ffpt writes, and what a page shows of it.

    Args:
        title: of the section of the page: "Stability".
        file: name of the file, "stability.json"; or a pattern, "*.json", for ``recognises`` to choose from.
        table: of the content of the file; it raises KeyError, TypeError, IndexError or AttributeError for content
            of another kind.
        pictures: name and caption of each picture that may lie beside the file; "{stem}" in a name is that of the file.
        stage: where in the work it is made.
        recognises: whether the content of a file of this name is such a result.
    """

    title: str
    file: str
    table: Callable[[Any], Table]
    pictures: tuple[tuple[str, str], ...] = ()
    stage: Stage = "analysis"
    recognises: Callable[[Any], bool] = lambda content: True


RESULTS: Registry[Result] = Registry(
    "ffpt.results",
    "result",
    {
        "teacher": "ffpt_core.teachers.results:TEACHER",
        "data": "ffpt_core.datasets.results:SUMMARY",
        "rattle": "ffpt_core.sampling.results:RATTLED",
        "train": "ffpt_core.training.results:TRAINING",
        "evaluate": "ffpt_core.training.results:ERRORS",
    },
)
"""Of all verbs but ``analyze``, whose analyses are results themselves (group ffpt.analyses)."""


def in_order(results: list[Result]) -> list[Result]:
    """In the order of the work; those of one stage as they were."""
    return sorted(results, key=lambda one: get_args(Stage).index(one.stage))


def milli(value: float | None) -> str | None:
    """A thousandth's worth: an error in eV as meV, with one decimal."""
    return None if value is None else f"{value / MILLI:.1f}"


def decimals(value: float | None, digits: int = 2) -> str | None:
    """A number with so many decimals and a true minus sign; a rounded -0.0 is 0.0."""
    return None if value is None else f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "−")


def percent(fraction: float) -> str:
    """A share with three digits: 12.3 %."""
    return f"{100.0 * fraction:.3g} %"


def duration(seconds: float) -> str:
    """A time as 95 s, 12 min or 3.4 h."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def with_sign_of_angstrom(text: str) -> str:
    """Reasons and logs say "1.72 A"; a page says "1.72 Å"."""
    return re.sub(r"(?<=\d) A\b", " Å", text)
