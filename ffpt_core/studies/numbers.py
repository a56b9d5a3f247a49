"""Numbers that the pages of the demonstrations quote, from the JSON files of the commands."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ffpt_core.report.content import Headline
from ffpt_core.studies.study import FINETUNED, SCRATCH


def versus(label: str, number: Callable[[str], str]) -> Headline:
    """What the fine-tuned potential gives, beside the one from scratch.

    Args:
        label: what it is.
        number: of a potential by its name, with its unit.
    """
    return Headline(label=label, value=number(FINETUNED), detail=f"from scratch {number(SCRATCH)}")


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


def unphysical(species: Mapping[str, Any], name: str) -> str:
    """Such as "1.2 %", from species.json of ``ffpt analyze species``: frames with molecules that cannot be."""
    return f"{100 * species['runs'][name]['pooled']['unphysical_fraction']:.3g} %"


def free_energy(fes: Mapping[str, Any] | None, name: str, basin: str) -> str:
    """Such as "at least 187.2 kJ/mol", of a basin over the first, from fes.json of ``ffpt analyze fes``."""
    if fes is None or name not in fes["surfaces"]:
        return "not known, the run was too short"
    surface = fes["surfaces"][name]
    least = "at least " if surface["path"]["is_lower_bound"] else ""
    return f"{least}{surface['basins'][basin]['difference']:.0f} {fes['unit']}"


def temperatures(energy: Mapping[str, Any] | None) -> str:
    """Such as "from scratch 311 K, pre-trained 305 K", from energy.json of ``ffpt analyze energy``."""
    means = {label: [run["temperature_k"] for run in runs] for label, runs in (energy or {}).items()}
    return ", ".join(f"{label} {sum(one) / len(one):.0f} K" for label, one in means.items()) or "not measured"
