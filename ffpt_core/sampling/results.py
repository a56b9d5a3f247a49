"""What ``ffpt rattle`` writes beside its frames, and how a page shows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ffpt_core.base.results import Result, Table, duration


def rattled_table(record: Mapping[str, Any]) -> Table:
    """How many frames were made, how, and how fast."""
    low, high = record["sigma_min_A"], record["sigma_A"]
    noise = f"{high:g}" if low == high else f"{low:g} to {high:g}"
    row = [record["level"], record["frames"], noise, record.get("temperature_K"), duration(record["seconds"])]
    columns = ["Labelled by", "Frames", "Noise (Å)", "Temperature of the frames before (K)", "Time"]
    return Table(columns, [row], "Frames moved by chance and labelled.")


RATTLED = Result(
    title="Rattled frames",
    file="*.json",
    table=rattled_table,
    pictures=(("{stem}.png", "Energies, and distances between atoms."),),
    stage="data",
    recognises=lambda content: isinstance(content, dict) and {"sigma_A", "frames_per_second"} <= content.keys(),
)
