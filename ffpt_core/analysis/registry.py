"""The analyses of ``ffpt analyze``, by the name of their verb: numbers in a JSON file, their table, pictures.

An analysis is a module that computes a record and draws it, and a Result that says what the files are called and how
the record becomes a table. Another package adds its own by an entry point of the group ``ffpt.analyses``, and a verb of
that name by one of ``ffpt.commands``, "analyze.NAME".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ffpt_core.base.files import to_json, write_json
from ffpt_core.base.registry import Registry
from ffpt_core.base.results import Result, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ANALYSES: Registry[Result] = Registry(
    "ffpt.analyses",
    "analysis",
    {
        "audit": "ffpt_core.analysis.audit_table:AUDIT",
        "stability": "ffpt_core.analysis.stability:STABILITY",
        "h-of-r": "ffpt_core.analysis.structure:H_OF_R",
        "rdf": "ffpt_core.analysis.rdf:RDF",
        "diffusion": "ffpt_core.analysis.self_diffusion:DIFFUSION",
        "geometry": "ffpt_core.analysis.water:GEOMETRY",
        "energy": "ffpt_core.analysis.thermodynamics:ENERGY",
    },
)
"""In the order in which a page shows them."""


def write_analysis(analysis: Result, record: Any, figures: Mapping[str, Figure], folder: Path) -> Table:
    """Write what an analysis found: its JSON file, and its pictures beside it.

    Args:
        analysis: which.
        record: JSON values, numpy arrays among them.
        figures: by file name; each is one of the pictures that the analysis says it has.
        folder: where to.

    Returns:
        The analysis's table of the record.

    Raises:
        FfptError: the folder cannot be written to.
        ValueError: a picture that the analysis does not know, which a page would not show.
    """
    from ffpt_core.base.figures import save_figure

    unknown = set(figures) - {file for file, _ in analysis.pictures}
    if unknown:
        raise ValueError(f"{analysis.file} has no picture {sorted(unknown)[0]}")
    write_json(folder / analysis.file, record)
    for file, figure in figures.items():
        save_figure(figure, folder / file)
    return analysis.table(json.loads(to_json(record)))
