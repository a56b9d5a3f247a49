"""Numbers that the pages of the demonstrations quote, from the JSON files of the commands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def mae(results: Mapping[str, Any], name: str, label: str = "force") -> str:
    """Error on test frames in meV, or meV/Angstrom, from result.json of ``ffpt train`` by potential."""
    return f"{1000 * results[name]['test'][f'{label}_mae']:.1f}"


def holes(audits: Sequence[Mapping[str, Any]], name: str) -> str:
    """Such as "3 of 24", from audit.json of ``ffpt scan``."""
    counts = next(audit for audit in audits if audit["label"] == name)["counts"]
    found, scans = (sum(counts[kind][what] for kind in ("bond", "angle")) for what in ("holes", "scans"))
    return f"{found} of {scans}"


def failures(survival: Mapping[str, Any], name: str) -> str:
    """Such as "2 of 4", from stability.json of ``ffpt analyze stability``."""
    curve = survival["survival"][name]
    return f"{curve['n_failed']} of {curve['n_replicas']}"
