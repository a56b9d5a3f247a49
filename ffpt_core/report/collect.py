"""A report of a folder that has no report.json: the known results in it, in the order of the work."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from ffpt_core.base.errors import FfptError
from ffpt_core.base.files import read_json
from ffpt_core.base.results import Result
from ffpt_core.report.content import Figure, Link, Report, Section
from ffpt_core.report.results import checked_table, known_results


def collect(folder: Path) -> Report:
    """The known results below a folder as a report.

    A picture whose JSON file is not there yet, such as that of a training that goes on, is shown alone.

    Args:
        folder: searched with its subfolders; several results of a kind share a section.

    Raises:
        FfptError: nothing known is there, or a file is not what its name says.
    """
    sections = [section for result in known_results() if (section := _section(result, folder))]
    if not sections:
        raise FfptError(f"{folder} holds no report.json and no results of ffpt train, evaluate, scan or analyze")
    return Report(title=f"Results in {folder.resolve().name}", sections=sections)


def _section(result: Result, folder: Path) -> Section | None:
    """All results of one kind; None without one."""
    section = Section(title=result.title)
    found = {path: read_json(path) for path in sorted(folder.rglob(result.file))}
    found = {path: content for path, content in found.items() if result.recognises(content)}
    for path, content in found.items():
        where = path.relative_to(folder)
        table = checked_table(result, content, path)
        section.tables.append(dataclasses.replace(table, caption=_placed(table.caption, where.parent)))
        section.files.append(Link(path=str(where)))
    for name, caption in result.pictures:
        if "{stem}" in name:
            pictures = [path.with_name(name.format(stem=path.stem)) for path in found]
        else:
            pictures = sorted(folder.rglob(name))
        for path in filter(Path.is_file, pictures):
            where = path.relative_to(folder)
            section.figures.append(Figure(path=str(where), caption=_placed(caption, where.parent)))
    return section if section.tables or section.figures else None


def _placed(caption: str, where: Path) -> str:
    return caption if where == Path() else f"{caption} (`{where}`)".strip()
