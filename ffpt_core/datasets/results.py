"""What ``ffpt data info -o FILE`` writes, and how a page shows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ffpt_core.base.results import Result, Table, milli


def summary_table(record: Mapping[str, Any]) -> Table:
    """Frames, molecules and labels of a data set."""
    formulas = ", ".join(f"{name} ({count:,})" for name, count in list(record["formulas"].items())[:4])
    low, high = record["atoms"]
    atoms = str(low) if low == high else f"{low} to {high}"
    row = [record["file"], record["frames"], atoms, formulas, record["level"], milli(record["energy_std"])]
    columns = ["File", "Frames", "Atoms", "Most frequent", "Level of theory", "Spread of energies (meV)"]
    return Table([*columns, "Forces (eV/Å rms)"], [[*row, record["force_rms"]]], "The data set.")


SUMMARY = Result(
    title="Data sets",
    file="*.json",
    table=summary_table,
    stage="data",
    recognises=lambda content: isinstance(content, dict) and {"file", "formulas", "fingerprint"} <= content.keys(),
)
