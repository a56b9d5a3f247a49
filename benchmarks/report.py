"""The measured rows as a table on the terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.rows.evaluation import PRODUCT
from benchmarks.rows.result import Result


def _spread(values: dict[str, float], digits: int = 2) -> str:
    return f"{values['median']:.{digits}f} ({values['low']:.{digits}f} to {values['high']:.{digits}f})"


def _milliseconds(seconds: dict[str, float]) -> str:
    scaled = {name: 1000 * value for name, value in seconds.items()}
    return _spread(scaled, 3 if scaled["median"] < 1 else 2 if scaled["median"] < 100 else 0)


def _share(entry: dict[str, Any]) -> str:
    shares = entry.get("share_of_floor")
    if not shares:
        return ""
    return f"{100 * shares['stated']['median']:.0f} / {100 * shares['rearranged']['median']:.0f} %"


def _target(row: Result) -> str:
    if row.reach is None:
        return ""
    sign = "at least" if row.ratio == "times faster" else "at most"
    return f"; to reach: {sign} {row.reach:g}" + (f", goal {row.goal:g}" if row.goal else "")


def show(row: Result, console: Console) -> None:
    """Print one row: a line for each case, the floor, what was left out."""
    console.print(f"\n[bold]{row.title}[/bold]{_target(row)}", highlight=False)
    table = Table(box=None)
    table.add_column("", style="cyan")
    memory = any("bytes_per_atom" in entry for entry in row.cases.values())
    ratios = any("ratio" in entry for entry in row.cases.values())
    heads = [f"ms per {row.unit}"] + [row.ratio, "in CPU time"] * ratios
    if memory:
        heads += ["us per atom", "kB per atom", "peak, GB"]
    shares = any("share_of_floor" in entry for entry in row.cases.values())
    if shares:
        heads.append("share of floor")
    for head in heads:
        table.add_column(head, justify="right")
    for name, entry in row.cases.items():
        cells = [_milliseconds(entry["seconds"])]
        if ratios:
            cells.append(_spread(entry["ratio"]) if "ratio" in entry else "")
            cells.append(f"{entry['processor_ratio']['median']:.2f}" if "processor_ratio" in entry else "")
        if row.unit == "frame":
            name += f": {1 / entry['seconds']['median']:,.0f} frames/s"
        if memory:
            cells.append(f"{1e6 * entry['seconds_per_atom']['median']:.0f}")
            cells += [f"{entry['bytes_per_atom'] / 1e3:.0f}", f"{entry['peak_bytes'] / 2**30:.2f}"]
        if shares:
            cells.append(_share(entry))
        table.add_row(name, *cells)
    if row.cases:
        console.print(table)
    for line in _notes(row):
        console.print(f"  {line}", style="dim", highlight=False)


def _notes(row: Result) -> list[str]:
    lines = [f"{row.rounds} rounds"] if row.cases else []
    if "floor" in row.details:
        for name, count in row.details["floor"].items():
            lines.append(
                f"floor, equations {name}: {2e-6 * count['multiply_adds']:,.1f} Mflop ({count['multiply_adds']:,} "
                f"multiply-adds), {1e-6 * count['bytes']:,.1f} MB, {1000 * count['seconds']:.3f} ms"
            )
        rate = _spread(row.details["product_gflops"], 0)
        lines.append(f"{row.details['n_pairs']} pairs; best {PRODUCT}: {rate} Gflop/s")
    if "largest_difference" in row.details:
        worst = row.details["largest_difference"]
        lines.append(
            f"largest difference to the reference: {worst['energy_eV']:.1e} eV, "
            f"{worst['force_eV_per_Angstrom']:.1e} eV/Angstrom"
        )
    if "first_loss" in row.details:
        losses = ", ".join(f"{name} {value:.6g}" for name, value in row.details["first_loss"].items())
        lines.append(f"loss of the first batch, from the same weights: {losses}")
    lines += [f"{name}: {settings}" for name, settings in row.details.get("peers", {}).items()]
    lines += [f"left out: {name}: {reason}" for name, reason in row.skipped.items()]
    return lines
