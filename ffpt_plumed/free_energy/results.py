"""What ``ffpt analyze fes`` leaves in its folder, and how a page shows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ffpt_core.base.results import Cell, Result, Table, decimals


def fes_table(record: Mapping[str, Any], caption: str = "") -> Table:
    """Minimum, barrier, basins and convergence of each free energy, from the fes.json of ``ffpt analyze fes``."""
    unit, surfaces = record["unit"], record["surfaces"]
    basins = {name: one["relative_to"] for surface in surfaces.values() for name, one in surface["basins"].items()}
    rows: list[list[Cell]] = []
    for label, surface in surfaces.items():
        minima, path, settled = surface["minima"], surface["path"], surface["convergence"]
        where = ", ".join(f"{name} {decimals(minima[0][name])}" for name in surface["variables"]) if minima else None
        row: list[Cell] = [label, f"{surface['time_ps']:,.1f}", surface["n_hills"], where]
        row += [None, None] if path is None else [_barrier(path, "barrier"), _barrier(path, "reverse_barrier")]
        for name in basins:
            basin = surface["basins"].get(name)
            row.append(None if basin is None else decimals(basin["difference"], 1))
        rows.append([*row, decimals(settled["rms_from_previous"][-1], 1)])
    differences = [f"{name} over {other} ({unit})" for name, other in basins.items()]
    columns = ["Potential", "Time (ps)", "Hills", "Minimum", f"Barrier ({unit})", f"Back ({unit})"]
    caption = caption or (
        f"Free energies from hills: the lowest barrier, and the RMS change of the last of the estimates over time up "
        f"to {record['within']:g} {unit} above the minimum. At least: the run was not everywhere on the way."
    )
    return Table(columns=[*columns, *differences, f"Last change ({unit})"], rows=rows, caption=caption)


def _barrier(path: Mapping[str, Any], name: str) -> str:
    return f"{'at least ' if path['is_lower_bound'] else ''}{decimals(path[name], 1)}"


FREE_ENERGIES = Result(
    title="Free energies",
    file="fes.json",
    table=fes_table,
    pictures=(
        ("fes.png", "Free energy surfaces with the path of the lowest barrier."),
        ("convergence.png", "Differences between estimates over time."),
    ),
)
