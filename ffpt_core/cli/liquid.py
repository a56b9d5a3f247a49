"""What ``ffpt analyze stability`` adds for liquids: the drift of g(r)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ffpt_core.cli.rdf import read_rdfs, reference_trajectories

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ffpt_core.analysis.criterion import StabilityCriterion
    from ffpt_core.analysis.liquid_stability import LiquidFailures
    from ffpt_core.analysis.rdf import RadialDistribution
    from ffpt_core.base.results import Table
    from ffpt_core.datasets.run_folders import Replica

RdfReference = Annotated[
    str | None,
    typer.Option(
        help="Liquids: frames whose g(r) to compare with: data set, run, trajectory, or rdf.json (all pairs)."
    ),
]
Window = Annotated[float, typer.Option(help="Liquids: ps over which g(r) is averaged.")]
MaxRdfError = Annotated[float, typer.Option(help="Liquids: g(r) may be off by so much, integrated, in Angstrom.")]


def drift_truth(
    source: str, topology: Path | None, frame_interval: float | None, box: str | None
) -> dict[str, RadialDistribution]:
    """The g(r) that stability of liquids compares with."""
    from ffpt_core.analysis.sliding_rdf import drift_reference

    if source.endswith(".json"):
        return read_rdfs(source)
    return drift_reference(reference_trajectories(source, topology, frame_interval, box))


def failures(
    groups: Mapping[str, Sequence[Replica]],
    criteria: Mapping[str, StabilityCriterion],
    truth: Mapping[str, RadialDistribution],
    window: float,
    max_rdf_error: float,
    frame_interval: float | None,
) -> dict[str, list[LiquidFailures]]:
    """When each replica failed by each criterion."""
    from ffpt_core.analysis.liquid_stability import replica_liquid_failures
    from ffpt_core.base.progress import progress_bar

    found: dict[str, list[LiquidFailures]] = {}
    with progress_bar("stability", sum(len(group) for group in groups.values()), "replicas") as advance:
        for label, group in groups.items():
            for one in group:
                failed = replica_liquid_failures(
                    one, criteria[label], truth, frame_interval, window=window, max_rdf_error=max_rdf_error
                )
                found.setdefault(label, []).append(failed)
                advance(1)
    return found


def drift_record(
    liquids: Mapping[str, Sequence[LiquidFailures]], window: float, threshold: float, source: str
) -> dict[str, Any]:
    """The part for stability.json."""
    return {
        "rdf": {"reference": source, "window_ps": window, "max_error_angstrom": threshold},
        "liquid": {label: [one.to_dict() for one in group] for label, group in liquids.items()},
    }


def drift_figures(liquids: Mapping[str, Sequence[LiquidFailures]], threshold: float) -> dict[str, Figure]:
    """The errors of g(r) over time, where there are any."""
    from ffpt_core.analysis.liquid_stability import plot_drift

    if not any(len(one.drift.starts) for group in liquids.values() for one in group):
        return {}
    return {"stability-rdf.png": plot_drift(liquids, threshold)}


def drift_table(liquids: Mapping[str, Sequence[LiquidFailures]]) -> Table:
    """When each replica failed by each criterion."""
    from ffpt_core.base.results import Cell, Table

    kinds = list(dict.fromkeys(kind for group in liquids.values() for one in group for kind in one.by_criterion))
    rows: list[list[Cell]] = [
        [f"{label}: {one.name}", *(_failure_cell(one, kind) for kind in kinds)]
        for label, group in liquids.items()
        for one in group
    ]
    return Table(["first failure (ps)", *kinds], rows)


def _failure_cell(one: LiquidFailures, kind: str) -> str | None:
    failure = one.by_criterion.get(kind)
    return None if failure is None or failure.censored else f"{failure.time:.2f}"
