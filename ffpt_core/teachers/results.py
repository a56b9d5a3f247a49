"""What ``ffpt teacher`` leaves in its folder, and how a page shows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ffpt_core.base.results import Result, Table


def teacher_table(record: Mapping[str, Any]) -> Table:
    """The force field and the molecule of a teacher."""
    charges = record.get("charges_e")
    row = [record["level"], record.get("name"), record.get("smiles"), None if charges is None else len(charges)]
    return Table(["Force field", "Molecule", "SMILES", "Atoms"], [row], "The teacher.")


TEACHER = Result(title="Teachers", file="teacher.json", table=teacher_table, stage="teacher")
