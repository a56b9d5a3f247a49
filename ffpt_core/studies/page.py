"""report.json of a study: its page, filled from the results on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ffpt_core.analysis.audit_table import costs_table
from ffpt_core.base.figures import save_figure
from ffpt_core.base.files import read_json, write_json
from ffpt_core.base.results import Table
from ffpt_core.report.content import Figure, FlowStep, Headline, Link, Report, Section
from ffpt_core.report.results import side_by_side, table_of
from ffpt_core.studies.study import FINETUNED, FOLDERS, SCRATCH, Number, Part, Shown, Study
from ffpt_core.studies.words import Words
from ffpt_core.training.plots import plot_learning_curve

COMPARED = (SCRATCH, FINETUNED)


def write_page(study: Study, amounts: Mapping[str, Any], folder: Path, commands: Sequence[str]) -> None:
    """Write report.json, and the learning curves of both potentials in one picture, learning_curves.png.

    Args:
        study: whose page it is.
        amounts: Study.amounts.
        folder: with the results.
        commands: that were run, as one would type them.

    Raises:
        FfptError: a result is missing, or a template is wrong.
    """
    histories = {name: read_json(folder / FOLDERS[name] / "result.json")["history"] for name in COMPARED}
    save_figure(plot_learning_curve(histories), folder / "learning_curves.png")
    words = Words(study, amounts, folder)
    report = Report(
        title=words.fill(study.title),
        subtitle=words.fill(study.subtitle),
        summary=words.fill(study.summary),
        headline=[_headline(number, words) for number in study.headline],
        flow=[
            FlowStep(title=words.fill(one.title), value=words.fill(one.value), detail=words.fill(one.detail))
            for one in study.flow
        ],
        sections=[
            _section(part, words, variables, folder) for part in study.sections for variables in words.each(part.each)
        ],
        commands=list(commands),
    )
    write_json(folder / "report.json", report.model_dump())


def _headline(number: Number, words: Words) -> Headline:
    label = words.fill(number.label)
    if not number.versus:
        return Headline(label=label, value=words.fill(number.value), detail=words.fill(number.detail))
    tuned, scratch = (words.fill(number.versus, name=name) for name in (FINETUNED, SCRATCH))
    return Headline(label=label, value=tuned, detail=f"from scratch {scratch}")


def _section(part: Part, words: Words, variables: Mapping[str, Any], folder: Path) -> Section:
    title = words.fill(part.title, **variables)
    if part.otherwise is not None and not (folder / words.fill(part.needs, **variables)).exists():
        return Section(title=words.fill(part.otherwise.title) or title, text=words.fill(part.otherwise.text))
    return Section(
        title=title,
        text=words.fill(part.text, **variables),
        tables=[_table(shown, words, variables, folder) for shown in part.tables],
        figures=[
            Figure(path=words.fill(path, **variables), caption=words.fill(caption, **variables))
            for path, caption in part.figures.items()
        ],
        files=[Link(path=words.fill(path, **variables)) for path in part.files],
    )


def _table(shown: Shown, words: Words, variables: Mapping[str, Any], folder: Path) -> Table:
    caption = words.fill(shown.caption, **variables)
    if shown.potentials:
        files = {name: folder / shown.potentials.replace("*", FOLDERS[name]) for name in COMPARED}
        return side_by_side("Potential", {name: table_of(file) for name, file in files.items()}, caption)
    file = folder / words.fill(shown.file, **variables)
    if shown.scan:
        return costs_table(read_json(file), words.fill(shown.scan, **variables), caption)
    return table_of(file, caption)
