"""What ``ffpt analyze species`` leaves in its folder, and how a page shows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ffpt_core.base.results import Cell, Result, Table, percent


def species_table(record: Mapping[str, Any], caption: str = "") -> Table:
    """Molecules of each run of a reaction, from the species.json of ``ffpt analyze species``."""
    rows: list[list[Cell]] = []
    for label, run in record["runs"].items():
        pooled = run["pooled"]
        frequent = list(pooled["fractions"].items())[:4]
        first = pooled["first_unphysical_ps"]
        rows.append(
            [
                label,
                pooled["n_frames"],
                ", ".join(f"{name} {percent(fraction)}" for name, fraction in frequent),
                percent(pooled["unphysical_fraction"]),
                None if first is None else f"{first:.2f}",
                f"{pooled['n_stopped']} of {pooled['n_replicas']}",
            ]
        )
    columns = ["Potential", "Frames", "Most frequent", "Unphysical", "First unphysical (ps)", "Stopped by a guard"]
    allowed = ", ".join(record["allowed"])
    caption = caption or f"Molecules by their bonds in runs of {record['equation']}; all but {allowed} are unphysical."
    return Table(columns=columns, rows=rows, caption=caption)


SPECIES = Result(
    title="Molecules of a reaction",
    file="species.json",
    table=species_table,
    pictures=(
        ("species.png", "Molecules over time (a cross: stopped by a guard), and the fraction of unphysical frames."),
    ),
)
