"""What a study is, as data: amounts, commands, what they make, and the page about it. One YAML file each."""

from __future__ import annotations

import importlib.resources
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from ffpt_core.base.errors import FfptError
from ffpt_core.report.content import FlowStep

SCRATCH, PRETRAINED, FINETUNED = "from scratch", "pre-trained", "pre-trained + fine-tuned"
FOLDERS: Mapping[str, str] = {SCRATCH: "scratch", PRETRAINED: "pretrained", FINETUNED: "finetuned"}
"""The potentials that a study compares: name for the reader, and folder."""


class _Part(BaseModel):
    """A misspelt key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Setting(_Part):
    """An amount: its value, another for a quick run (None: the same), and what it is an amount of."""

    value: Any
    quick: Any = None
    what: str


class Frames(_Part):
    """Frames that come with ffpt, divided by chance into NAME-train.npz and NAME-test.npz.

    Args:
        built_in: function of ffpt_core.datasets that reads them.
        where: label by group of those that are taken; all without one.
        name: of the two files.
        seen: how many are trained and validated on; the others are test frames.
    """

    built_in: str
    where: dict[str, str] = {}
    name: str
    seen: str


class Step(_Part):
    """One command.

    Args:
        title: what it does, for the reader.
        command: what follows ``ffpt``, as one would type it.
        makes: files that are there when it is over, relative to the folder of the study.
        when: expression; where it is false the step is left out.
        each: one variable, and the setting over whose keys it goes: a step for each.
    """

    title: str
    command: str
    makes: list[str]
    when: str = "true"
    each: dict[str, str] = {}


class Number(_Part):
    """A headline of the page: a value, or, as ``versus``, that of the fine-tuned potential beside the one from scratch.

    The template of ``versus`` is rendered with the ``name`` of either.
    """

    label: str
    versus: str = ""
    value: str = ""
    detail: str = ""


class Shown(_Part):
    """A table of the page.

    Args:
        file: a result, with the table that its owner makes of it.
        scan: of an audit.json: not the holes, but the energies of this bond or angle.
        potentials: instead of ``file``: results of the potential from scratch and the fine-tuned one in one table,
            with a star for the folder of either.
        caption: instead of the owner's.
    """

    file: str = ""
    scan: str = ""
    potentials: str = ""
    caption: str = ""


class Otherwise(_Part):
    """Says in a section's place why there is nothing to show."""

    title: str = ""
    text: str


class Part(_Part):
    """A section of the page.

    Args:
        title: its heading.
        text: prose.
        tables: in order.
        figures: caption by path.
        files: to which the page links.
        each: as of a Step.
        needs: a file without which ``otherwise`` is shown.
    """

    title: str
    text: str = ""
    tables: list[Shown] = []
    figures: dict[str, str] = {}
    files: list[str] = []
    each: dict[str, str] = {}
    needs: str = ""
    otherwise: Otherwise | None = None


class Study(_Part):
    """A whole study.

    Texts and commands are Jinja templates. They know the settings, the words, the seed, the names of the potentials
    (``scratch``, ``pretrained``, ``finetuned``) and what numbers.Numbers offers.

    Args:
        settings: how much of everything, by name.
        words: texts and constants that templates share, by name.
        frames: those that are there before the first step.
        steps: by name.
        stages: names of steps: stages follow one another, the lanes of a stage run at the same time, the steps of a
            lane follow one another.
        title, subtitle, summary, headline, flow, sections: of the page.
    """

    settings: dict[str, Setting]
    words: dict[str, str | int | float] = {}
    frames: Frames | None = None
    steps: dict[str, Step]
    stages: list[list[list[str]]]
    title: str
    subtitle: str = ""
    summary: str = ""
    headline: list[Number] = []
    flow: list[FlowStep] = []
    sections: list[Part] = []

    def amounts(self, quick: bool = False, seed: int = 0) -> dict[str, Any]:
        """The value of each setting, and the seed of everything random."""
        chosen = {
            name: one.quick if quick and one.quick is not None else one.value for name, one in self.settings.items()
        }
        return chosen | {"seed": seed}


def study_names() -> list[str]:
    """Studies that come with ffpt."""
    files = importlib.resources.files("ffpt_core.studies").iterdir()
    return sorted(Path(file.name).stem for file in files if file.name.endswith(".yaml"))


def read_study(source: str) -> Study:
    """Read a study.

    Args:
        source: name of one that comes with ffpt, or path of a .yaml file.

    Raises:
        FfptError: there is none, or what is there is no study; the first key that is wrong is named.
    """
    path = Path(source)
    if path.suffix not in (".yaml", ".yml"):
        if source not in study_names():
            raise FfptError(f"no demo is called {source!r}; there are: {', '.join(study_names())}")
        path = Path(str(importlib.resources.files("ffpt_core.studies") / f"{source}.yaml"))
    try:
        return Study.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise FfptError(f"cannot read {path}: {error.strerror or error}") from error
    except yaml.YAMLError as error:
        raise FfptError(f"{path} is not a YAML file: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise FfptError(f"{path}: {'.'.join(map(str, first['loc'])) or 'the file'}: {first['msg']}") from error
