"""A report of a folder that has no report.json: the known results in it, in the order of the work."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ffpt_core.analysis.registry import ANALYSES
from ffpt_core.base.errors import FfptError
from ffpt_core.base.files import read_json
from ffpt_core.base.results import Table
from ffpt_core.report import tables
from ffpt_core.report.content import Figure, Link, Report, Section

_KNOWN: tuple[tuple[str, str, Callable[[Any], Table] | None, tuple[tuple[str, str], ...]], ...] = (
    (
        "learning_curve.png",
        "Training",
        None,
        (("learning_curve.png", "Validation errors and learning rate by epoch."),),
    ),
    ("evaluate.json", "Errors", tables.evaluation_table, (("evaluate.png", "Errors against the labels."),)),
    *((one.file, one.title, one.table, one.pictures) for one in ANALYSES.all().values()),
    (
        "species.json",
        "Molecules of a reaction",
        tables.species_table,
        (("species.png", "Molecules over time (a cross: stopped by a guard), and the fraction of unphysical frames."),),
    ),
    (
        "fes.json",
        "Free energies",
        tables.fes_table,
        (
            ("fes.png", "Free energy surfaces with the path of the lowest barrier."),
            ("convergence.png", "Differences between estimates over time."),
        ),
    ),
)
"""File that stands for a result, title of its section, its table, and pictures beside it with captions."""


def collect(folder: Path) -> Report:
    """The known results below a folder as a report.

    Args:
        folder: searched with its subfolders; several results of a kind share a section.

    Raises:
        FfptError: nothing known is there, or a file is not what its name says.
    """
    sections = []
    for name, title, make_table, pictures in _KNOWN:
        section = Section(title=title)
        for path in sorted(folder.rglob(name)):
            where = path.parent.relative_to(folder)
            if make_table is not None:
                section.tables.append(_table(make_table, path, where))
                section.files.append(Link(path=str(where / name)))
            beside = [(where / file, caption) for file, caption in pictures if (path.parent / file).is_file()]
            section.figures += [Figure(path=str(file), caption=_placed(text, where)) for file, text in beside]
        if section.tables or section.figures:
            sections.append(section)
    if not sections:
        raise FfptError(f"{folder} holds no report.json and no results of ffpt train, evaluate, scan or analyze")
    return Report(title=f"Results in {folder.resolve().name}", sections=sections)


def _table(make_table: Callable[[Any], Table], path: Path, where: Path) -> Table:
    content: Mapping[str, Any] = read_json(path)
    try:
        table = make_table(content)
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise FfptError(f"{path} is not a file that ffpt wrote under this name: {error!r}") from error
    return dataclasses.replace(table, caption=_placed(table.caption, where))


def _placed(caption: str, where: Path) -> str:
    return caption if where == Path() else f"{caption} (`{where}`)".strip()
