"""What a report says: the form of report.json.

Texts are plain; an empty line begins a paragraph, **two stars** make bold and `backticks` code, and
addresses that begin with https:// become links. All paths are relative to the folder of the report.json.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from ffpt_core.base.errors import FfptError
from ffpt_core.base.files import read_json
from ffpt_core.base.results import Table


class _Part(BaseModel):
    """A misspelt key is an error, not a silent gap in the page."""

    model_config = ConfigDict(extra="forbid")


class Headline(_Part):
    """A number that the reader should take away.

    Args:
        label: what it is: "Force MAE, fine-tuned".
        value: with its unit: "17.3 meV/Å".
        detail: what to compare it with: "from scratch 24.9".
    """

    label: str
    value: str
    detail: str = ""


class FlowStep(_Part):
    """A step of what was done, in order.

    Args:
        title: "Teacher".
        value: its main number or name: "GAFF-2.11".
        detail: "21 atoms, built in".
    """

    title: str
    value: str = ""
    detail: str = ""


class Figure(_Part):
    """A picture (PNG, JPEG, SVG or WebP), embedded in the page."""

    path: str
    caption: str


class Link(_Part):
    """A data file beside the page."""

    path: str
    text: str = ""


class Section(_Part):
    """A part of the page: text, then tables, figures and data files."""

    title: str
    text: str = ""
    tables: list[Table] = []
    figures: list[Figure] = []
    files: list[Link] = []


class Report(_Part):
    """The whole page.

    Args:
        title: of the study.
        subtitle: one line below it.
        summary: the answer, in a paragraph.
        headline: numbers to take away; three to six read well.
        flow: what was done, step by step.
        sections: in order.
        commands: what was run, line by line.
        versions: name and version of everything used; None: those installed where the page is made.
    """

    title: str
    subtitle: str = ""
    summary: str = ""
    headline: list[Headline] = []
    flow: list[FlowStep] = []
    sections: list[Section] = []
    commands: list[str] = []
    versions: dict[str, str] | None = None

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Report:
        """Read a report.json.

        Raises:
            FfptError: no such file, not JSON, or a key is missing, misspelt or of the wrong kind.
        """
        return cls.check(read_json(path), Path(path))

    @classmethod
    def check(cls, content: Any, source: Path) -> Report:
        """A report from plain values.

        Raises:
            FfptError: naming the first key that is wrong.
        """
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "the file"
            raise FfptError(f"{source}: {where}: {first['msg']}") from error
