"""What ``ffpt md`` leaves in its folder, and how a page shows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ffpt_core.base.results import Result, Table, with_sign_of_angstrom
from ffpt_core.datasets.run_folders import FORMAT


def md_table(record: Mapping[str, Any]) -> Table:
    """How far the replicas of a run came."""
    settings, replicas = record["settings"], record["replicas"]
    failed = [one for one in replicas if one["status"] == "failed"]
    first = min(failed, key=lambda one: one["time_ps"], default=None)
    row = [
        record["potential"]["source"],
        f"{settings['temperature']:g}" if settings["friction"] else None,
        f"{settings['length']:g}",
        len(replicas),
        f"{sum(one['time_ps'] for one in replicas):,.4g}",
        f"{len(failed)} of {len(replicas)}",
        None if first is None else f"{first['time_ps']:.2f} ps: {with_sign_of_angstrom(first['reason'])}",
    ]
    columns = ["Potential", "Thermostat (K)", "Length (ps)", "Replicas", "Time of all (ps)", "Stopped by the guard"]
    return Table([*columns, "First reason"], [row], "Molecular dynamics.")


def is_run(content: Any) -> bool:
    """Whether a JSON file is the record of a run; that of a biased one has its bias in it."""
    return isinstance(content, dict) and content.get("format") == FORMAT


MD = Result(
    title="Molecular dynamics",
    file="run.json",
    table=md_table,
    stage="dynamics",
    recognises=lambda content: is_run(content) and "bias" not in content,
)
