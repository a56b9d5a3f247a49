"""What ``ffpt metad`` leaves in its folder, and how a page shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ffpt_core.base.results import Result, Table
from ffpt_openmm.md.results import is_run, md_table


def metadynamics_table(record: Mapping[str, Any]) -> Table:
    """How far the replicas of a biased run came, and what its bias was."""
    table = md_table(record)
    rows = [[*row, record["bias"]["source"]] for row in table.rows]
    return replace(table, columns=[*table.columns, "Bias"], rows=rows, caption="Metadynamics.")


METADYNAMICS = Result(
    title="Metadynamics",
    file="run.json",
    table=metadynamics_table,
    stage="dynamics",
    recognises=lambda content: is_run(content) and "bias" in content,
)
