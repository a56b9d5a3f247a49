"""When simulations of liquids fail, and by which criterion: bonds, contacts, drift of g(r)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ffpt_core.analysis.criterion import StabilityCriterion
from ffpt_core.analysis.rdf import RadialDistribution
from ffpt_core.analysis.sliding_rdf import THRESHOLD, WINDOW, RdfDrift, rdf_drift
from ffpt_core.analysis.stability import FailureTime, guard_failure, time_to_failure
from ffpt_core.base import figures
from ffpt_core.base.errors import FfptError

if TYPE_CHECKING:
    import mdtraj
    from matplotlib.figure import Figure

    from ffpt_core.datasets.run_folders import Replica

CONTACT = 1.2
"""Atoms of different molecules must stay this far apart, in Angstrom (Fu et al. for water)."""


@dataclass(frozen=True, eq=False)
class LiquidFailures:
    """When one trajectory of a liquid failed, by each criterion.

    Args:
        name: of the trajectory, for tables.
        by_criterion: "bonds", "contacts" and "rdf" (and "guard" where the run was stopped by its own).
        drift: errors of g(r) of the sliding window.
    """

    name: str
    by_criterion: dict[str, FailureTime]
    drift: RdfDrift

    @property
    def first(self) -> FailureTime:
        """The first failure of all, or how long the trajectory was watched without one."""
        failed = [failure for failure in self.by_criterion.values() if not failure.censored]
        if failed:
            return min(failed, key=lambda failure: failure.time)
        return max(self.by_criterion.values(), key=lambda failure: failure.time)

    def to_dict(self) -> dict[str, Any]:
        """First failure, that of each criterion, and the drift, for a JSON file; times in ps."""
        return {
            "name": self.name,
            "first": asdict(self.first),
            "by_criterion": {name: asdict(failure) for name, failure in self.by_criterion.items()},
            "rdf_drift": self.drift.to_dict(),
        }


def liquid_failures(
    trajectory: mdtraj.Trajectory,
    criterion: StabilityCriterion,
    reference: Mapping[str, RadialDistribution],
    *,
    window: float = WINDOW,
    max_rdf_error: float = THRESHOLD,
    guard: FailureTime | None = None,
    name: str = "",
) -> LiquidFailures:
    """The first failure of a liquid by each criterion of Fu et al., TMLR 2023.

    A window of g(r) that is too far off fails at the time of its first frame, as Fu et al. define it.

    Args:
        trajectory: mdtraj trajectory (nm, ps) with a cell, times counted from the start of the run.
        criterion: bounds on bonds and contacts of the same atoms, with min_distance=1.2 for water.
        reference: g(r) to compare with, from sliding_rdf.drift_reference.
        window: ps.
        max_rdf_error: Angstrom.
        guard: when the run's own guard stopped it.
        name: of the trajectory, for tables.

    Raises:
        FfptError: no frames, other atoms, or what rdf_drift refuses.
    """
    nothing, none = np.empty((0, 2), dtype=np.int64), np.empty(0)
    bonds_only = replace(criterion, contacts=nothing, bounds=none)
    contacts_only = replace(criterion, bonds=nothing, lengths=none)
    drift = rdf_drift(trajectory, reference, window, max_rdf_error)
    found = {
        "bonds": time_to_failure(trajectory, bonds_only, name),
        "contacts": time_to_failure(trajectory, contacts_only, name),
        "rdf": _drift_failure(trajectory, drift, window, max_rdf_error, name),
    }
    return LiquidFailures(name, found if guard is None else found | {"guard": guard}, drift)


def replica_liquid_failures(
    replica: Replica,
    criterion: StabilityCriterion,
    reference: Mapping[str, RadialDistribution],
    frame_interval: float | None = None,
    **settings: float,
) -> LiquidFailures:
    """When one replica of an MD run failed by each criterion, and by the record of its guard.

    Args:
        replica: of a run folder, or a trajectory file by itself.
        criterion, reference: as in liquid_failures.
        frame_interval: ps between frames; None: from the file.
        settings: window and max_rdf_error of liquid_failures.

    Raises:
        FfptError: the run has neither a frame nor a recorded failure, or what liquid_failures refuses.
    """
    guard = guard_failure(replica)
    if replica.has_frames:
        trajectory = replica.load(frame_interval)
        return liquid_failures(trajectory, criterion, reference, guard=guard, name=replica.name, **settings)
    if guard is None:
        raise FfptError(f"{replica.name} has no frames yet")
    empty = RdfDrift(np.empty(0), {name: np.empty(0) for name in reference}, {}, 0, 0.0)
    return LiquidFailures(replica.name, {"guard": guard}, empty)


def _drift_failure(
    trajectory: mdtraj.Trajectory, drift: RdfDrift, window: float, threshold: float, name: str
) -> FailureTime:
    above = drift.first_above(threshold)
    if above is None:
        return FailureTime(float(trajectory.time[-1]), None, "", True, name)
    frame, pair = above
    error = drift.errors[pair][frame]
    reason = f"g(r) of {pair} over {window:g} ps is off by {error:.2f} A, bound {threshold:g} A"
    return FailureTime(float(drift.starts[frame]), frame, reason, False, name)


@figures.styled
def plot_drift(runs: Mapping[str, Sequence[LiquidFailures]], threshold: float = THRESHOLD) -> Figure:
    """Error of g(r) of the sliding window over time, one panel a pair of elements, one line a replica.

    Raises:
        FfptError: there is no run, or none is as long as a window.
    """
    drifts = {label: [one.drift for one in group if len(one.drift.starts)] for label, group in runs.items()}
    names = list(dict.fromkeys(name for group in drifts.values() for drift in group for name in drift.errors))
    if not names:
        raise FfptError("no run is as long as the window of g(r)")
    figure, axes = figures.new_figure(1, len(names), width=2.9, height=2.7, sharey=True)
    colours = figures.colours(drifts)
    for panel, name in zip(axes, names, strict=True):
        for label, group in drifts.items():
            for index, drift in enumerate(group):
                named = label if index == 0 else "_replica"
                panel.plot(drift.starts, drift.errors[name], color=colours[label], linewidth=0.8, label=named)
        panel.axhline(threshold, color="#000000", linestyle=":", linewidth=1.2)
        panel.set_title(name.replace("-", "–"))
        panel.set_xlabel("Time (ps)")
    axes[0].set_ylim(bottom=0.0)
    axes[0].set_ylabel("Error of g(r) (Å)")
    figures.legend_above(figure, *axes[0].get_legend_handles_labels())
    return figure
