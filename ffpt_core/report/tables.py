"""Tables of a report from the JSON files that the verbs write."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ffpt_core.base.results import (
    Cell,
    Table,
    decimals,
    duration,
    milli,
    percent,
)


def training_table(results: Mapping[str, Mapping[str, Any]], caption: str = "") -> Table:
    """Error, data and time of each potential.

    Args:
        results: the result.json of ``ffpt train`` by the label of the potential.
        caption: None of the numbers' conditions but what they are measured on: "On 1,150 GFN2-xTB frames."
    """
    rows: list[list[Cell]] = []
    for label, result in results.items():
        errors = result.get("test") or result.get("validation") or {}
        seconds = result.get("training_seconds")
        rows.append(
            [
                label,
                milli(errors.get("energy_mae")),
                milli(errors.get("force_mae")),
                result.get("train_frames"),
                result.get("epochs"),
                None if seconds is None else duration(seconds),
            ]
        )
    columns = ["Potential", "Energy MAE (meV)", "Force MAE (meV/Å)", "Training frames", "Epochs", "Training time"]
    return Table(columns=columns, rows=rows, caption=caption)


def evaluation_table(evaluation: Mapping[str, Any], caption: str = "") -> Table:
    """Errors of each potential, from the evaluate.json of ``ffpt evaluate``."""
    names = ("energy_mae", "energy_rmse", "force_mae", "force_rmse")
    rows = [
        [label, *(milli(errors.get(name)) for name in names), errors.get("frames")]
        for label, errors in evaluation["errors"].items()
    ]
    columns = ["Potential", "Energy MAE (meV)", "RMSE", "Force MAE (meV/Å)", "RMSE", "Test frames"]
    level = f" Labels: {evaluation['level']}." if evaluation.get("level") else ""
    return Table(columns=columns, rows=rows, caption=caption or f"Errors on test frames.{level}")


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
