"""Fills the templates of a study: settings, words, and numbers from the files of its folder."""

from __future__ import annotations

import inspect
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jinja2

from ffpt_core.base.errors import FfptError
from ffpt_core.studies.numbers import Numbers
from ffpt_core.studies.study import FINETUNED, FOLDERS, PRETRAINED, SCRATCH, Study


class Words:
    """The templates' language, as things are in the folder now.

    Args:
        study: whose words they are.
        amounts: Study.amounts, all settings by name.
        folder: of the study.

    Raises:
        FfptError: a name is used twice.
    """

    def __init__(self, study: Study, amounts: Mapping[str, Any], folder: Path) -> None:
        self._environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)
        self._environment.filters |= {"g": "{:g}".format, "short": "{:.3g}".format, "thousands": "{:,}".format}
        self._amounts = amounts
        numbers = {name: one for name, one in inspect.getmembers(Numbers(folder), inspect.ismethod) if name[0] != "_"}
        names = {"scratch": SCRATCH, "pretrained": PRETRAINED, "finetuned": FINETUNED, "folders": FOLDERS}
        known = {**numbers, **names, "labelled": labelled}
        own = [*amounts, *study.words]
        twice = sorted(name for name in set(own) if name in known or own.count(name) > 1)
        if twice:
            raise FfptError(f"a study cannot call a setting or word {twice[0]!r}: the name has a meaning already")
        words = {name: _Later(self, word) if "{" in str(word) else word for name, word in study.words.items()}
        self._environment.globals |= {**known, **amounts, **words}

    def fill(self, template: str, **variables: Any) -> str:
        """The text of a template, on one line.

        Raises:
            FfptError: the template is wrong, or asks for something that is not there.
        """
        try:
            text = self._environment.from_string(template).render(variables)
        except (jinja2.TemplateError, LookupError, TypeError, AttributeError) as error:
            raise FfptError(f"the text {_excerpt(template)!r} of the study cannot be filled: {error}") from error
        return re.sub(r"[ \n]+", " ", text).strip()

    def split(self, template: str, **variables: Any) -> tuple[str, ...]:
        """The text of a template as arguments, divided as a shell does; raises what fill does."""
        return tuple(shlex.split(self.fill(template, **variables)))

    def holds(self, condition: str, **variables: Any) -> bool:
        """Whether an expression is true; raises what fill does."""
        return self.fill("{{ 1 if (" + condition + ") else 0 }}", **variables) == "1"

    def each(self, over: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        """The variables of each repetition of a step or section; of one that is not repeated, none, once."""
        if not over:
            yield {}
        for variable, setting in over.items():
            yield from ({variable: value} for value in self._amounts[setting])


class _Later:
    """A word whose text is made when it is used: it may quote results that are not there yet."""

    def __init__(self, words: Words, template: Any) -> None:
        self._words, self._template = words, template

    def __str__(self) -> str:
        return self._words.fill(self._template)


def labelled(pattern: str, *names: str) -> str:
    """NAME=PATH of potentials, of all without names, as commands take them; a star stands for the folder of each."""
    return shlex.join(f"{name}={pattern.replace('*', FOLDERS[name])}" for name in names or FOLDERS)


def _excerpt(template: str, length: int = 60) -> str:
    text = " ".join(template.split())
    return text if len(text) <= length else f"{text[:length]}..."
