"""How long trajectories stay physical: time to failure, and survival curves over replicas."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ffpt_core.analysis.criterion import Failure, StabilityCriterion
from ffpt_core.base import figures
from ffpt_core.base.errors import FfptError
from ffpt_core.base.results import Cell, Result, Table, with_sign_of_angstrom
from ffpt_core.base.units import NANOMETRE, NANOSECOND

if TYPE_CHECKING:
    import mdtraj
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ffpt_core.datasets.run_folders import Replica

__all__ = [
    "Failure",
    "FailureTime",
    "StabilityCriterion",
    "Survival",
    "compare",
    "guard_failure",
    "plot_survival",
    "replica_failure",
    "survival",
    "time_to_failure",
]


@dataclass(frozen=True)
class FailureTime:
    """When one trajectory stopped being physical, or how long it was watched without that.

    Args:
        time: ps from the start of the run to the failure, or to the end of what was watched.
        frame: index of the first unphysical frame; None where the run was stopped before saving one.
        reason: what broke, or "" where nothing did.
        censored: True when the trajectory was physical for as long as it was watched.
        name: of the trajectory, for tables.
    """

    time: float
    frame: int | None
    reason: str
    censored: bool
    name: str = ""


@dataclass(frozen=True, eq=False)
class Survival:
    """Kaplan-Meier estimate of the fraction of replicas that are still physical, over time.

    Args:
        times: (n,) ps, starting at 0: the curve is constant from each time to the next.
        fraction: (n,) fraction alive from each time on.
        lower, upper: (n,) confidence limits of it.
        confidence: level of the limits, such as 0.95.
        failures: what the estimate was made from.
    """

    times: np.ndarray
    fraction: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    confidence: float
    failures: tuple[FailureTime, ...]

    @property
    def n_replicas(self) -> int:
        """Number of trajectories."""
        return len(self.failures)

    @property
    def n_failed(self) -> int:
        """How many of them failed."""
        return sum(not failure.censored for failure in self.failures)

    @property
    def watched(self) -> float:
        """ps that all trajectories together were watched while physical."""
        return sum(failure.time for failure in self.failures)

    @property
    def median(self) -> float | None:
        """ps after which half of the replicas have failed; None when fewer did."""
        dead = np.flatnonzero(self.fraction <= 0.5)
        return float(self.times[dead[0]]) if len(dead) else None

    def to_dict(self) -> dict[str, Any]:
        """Summary, curve and failures for a JSON file; times in ps."""
        return {
            "n_replicas": self.n_replicas,
            "n_failed": self.n_failed,
            "watched_ps": self.watched,
            "failures_per_ns": NANOSECOND * self.n_failed / self.watched if self.watched else None,
            "median_ps": self.median,
            "confidence": self.confidence,
            "times_ps": self.times,
            "fraction": self.fraction,
            "lower": self.lower,
            "upper": self.upper,
            "replicas": [asdict(failure) for failure in self.failures],
        }


def time_to_failure(trajectory: mdtraj.Trajectory, criterion: StabilityCriterion, name: str = "") -> FailureTime:
    """The first frame of a trajectory that breaks a criterion, and its time.

    Args:
        trajectory: mdtraj trajectory (nm, ps) with the times of its frames counted from the start of the run.
        criterion: bounds for the same atoms; lattice vectors are taken from the trajectory.
        name: what the trajectory is called in tables.

    Raises:
        FfptError: the trajectory has no frames or other atoms.
    """
    if not len(trajectory):
        raise FfptError(f"{name or 'the trajectory'} has no frames")
    cells = trajectory.unitcell_vectors
    failure = criterion.check(NANOMETRE * trajectory.xyz, None if cells is None else NANOMETRE * cells)
    if failure is None:
        return FailureTime(float(trajectory.time[-1]), None, "", True, name)
    return FailureTime(float(trajectory.time[failure.frame]), failure.frame, failure.reason, False, name)


def replica_failure(
    replica: Replica, criterion: StabilityCriterion, frame_interval: float | None = None
) -> FailureTime:
    """When one replica of an MD run failed, by its saved frames and by the record of its guard.

    A run that its guard stopped has failed at that time, even where all frames saved before are physical.
    A run that was killed, or is still going, is censored at its last frame.

    Args:
        replica: of a run folder, or a trajectory file by itself.
        criterion: bounds for its atoms.
        frame_interval: ps between frames; None: from the file.

    Raises:
        FfptError: the run has neither a frame nor a recorded failure.
    """
    guarded = guard_failure(replica)
    if not replica.has_frames:
        if guarded is None:
            raise FfptError(f"{replica.name} has no frames yet")
        return guarded
    seen = time_to_failure(replica.load(frame_interval), criterion, replica.name)
    return guarded if guarded is not None and (seen.censored or seen.time > guarded.time) else seen


def guard_failure(replica: Replica) -> FailureTime | None:
    """When a run was stopped by its own guard, or None where it was not."""
    if replica.status != "failed" or replica.time is None:
        return None
    return FailureTime(replica.time, None, replica.reason or "stopped by its guard", False, replica.name)


def survival(failures: Sequence[FailureTime], confidence: float = 0.95) -> Survival:
    """Kaplan-Meier survival over replicas, with log-log confidence limits (Greenwood's variance).

    That formula has no limits where no replica, or every replica, has failed. There the exact binomial
    (Clopper-Pearson) limits stand in, for as many replicas as there are: 10 that all survive say that the
    fraction is 0.69 or more with 95 % confidence, not that it is 1.

    Args:
        failures: one for each replica.
        confidence: level of the limits.

    Raises:
        FfptError: there is no replica.
    """
    from scipy.stats import ecdf

    if not failures:
        raise FfptError("survival needs one trajectory or more")
    estimate = ecdf(_censored(failures)).sf
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The confidence interval is undefined", category=RuntimeWarning)
        limits = estimate.confidence_interval(confidence, method="log-log")
    times = np.concatenate([[0.0], estimate.quantiles])
    fraction = np.concatenate([[1.0], estimate.probabilities])
    lower = np.concatenate([[np.nan], limits.low.probabilities])
    upper = np.concatenate([[np.nan], limits.high.probabilities])
    lower, upper = _exact_where_undefined(fraction, lower, upper, len(failures), confidence)
    return Survival(times, fraction, lower, upper, confidence, tuple(failures))


def _censored(failures: Sequence[FailureTime]) -> Any:
    from scipy.stats import CensoredData

    return CensoredData.right_censored([failure.time for failure in failures], [f.censored for f in failures])


def _exact_where_undefined(
    fraction: np.ndarray, lower: np.ndarray, upper: np.ndarray, n_replicas: int, confidence: float
) -> tuple[np.ndarray, np.ndarray]:
    from scipy.stats import binomtest

    lower, upper = lower.copy(), upper.copy()
    for alive in (0, n_replicas):
        exact = binomtest(alive, n_replicas).proportion_ci(confidence)
        undefined = np.isclose(fraction, alive / n_replicas) & ~(np.isfinite(lower) & np.isfinite(upper))
        lower[undefined], upper[undefined] = exact.low, exact.high
    return lower, upper


def compare(first: Survival, second: Survival) -> float:
    """The p-value of the log-rank test that two groups of replicas fail alike; 1.0 where none failed in either."""
    from scipy.stats import logrank

    if first.n_failed + second.n_failed == 0:
        return 1.0
    return float(logrank(_censored(first.failures), _censored(second.failures)).pvalue)


@figures.styled
def plot_survival(curves: Mapping[str, Survival]) -> Figure:
    """Survival curves by label, with their confidence bands; a tick marks a replica that was watched no longer."""
    if not curves:
        raise FfptError("there is no survival curve to draw")
    figure, (axes,) = figures.new_figure(width=5.2, height=3.2)
    colours = figures.colours(curves)
    end = max(failure.time for curve in curves.values() for failure in curve.failures)
    for label, curve in curves.items():
        _draw(axes, curve, f"{label}: {curve.n_failed} of {curve.n_replicas} failed", colours[label])
    axes.set_xlim(0.0, 1.02 * end)
    axes.set_ylim(0.0, 1.05)
    axes.set_xlabel("Time (ps)")
    axes.set_ylabel("Fraction of replicas still physical")
    figures.legend_above(figure, *axes.get_legend_handles_labels())
    return figure


def _draw(axes: Axes, curve: Survival, label: str, colour: str) -> None:
    last = max(failure.time for failure in curve.failures)
    times = np.append(curve.times, last)
    fraction, lower, upper = (np.append(values, values[-1]) for values in (curve.fraction, curve.lower, curve.upper))
    axes.fill_between(times, lower, upper, step="post", color=colour, alpha=0.10, linewidth=0)
    axes.step(times, fraction, where="post", color=colour, label=label)
    watched = np.array([failure.time for failure in curve.failures if failure.censored])
    at = fraction[np.searchsorted(times[:-1], watched, side="right") - 1]
    axes.plot(watched, at, linestyle="none", marker="|", markersize=7, markeredgewidth=1.4, color=colour)


def stability_table(stability: Mapping[str, Any], caption: str = "") -> Table:
    """Failures of each set of replicas, from the stability.json of ``ffpt analyze stability``."""
    rows: list[list[Cell]] = []
    for label, curve in stability["survival"].items():
        failed = sorted((one for one in curve["replicas"] if not one["censored"]), key=lambda one: one["time"])
        first = f"{failed[0]['time']:.2f}" if failed else None
        alive = f"{curve['fraction'][-1]:.2f} ({curve['lower'][-1]:.2f} to {curve['upper'][-1]:.2f})"
        why = with_sign_of_angstrom(failed[0]["reason"]) if failed else None
        total = f"{curve['watched_ps']:,.1f}"
        rows.append([label, f"{curve['n_failed']} of {curve['n_replicas']}", first, total, alive, why])
    rules = stability.get("criterion", {})
    stretch = next((rule["max_stretch_angstrom"] for rule in rules.values()), 0.5)
    caption = caption or (
        f"Replicas that failed: a bond off by more than {stretch:g} Å, two atoms colliding, or coordinates not finite; "
        "fraction alive by Kaplan-Meier with 95 % confidence limits."
    )
    columns = ["Potential", "Failed", "First failure (ps)", "Watched (ps)", "Alive at the end", "First reason"]
    return Table(columns=columns, rows=rows, caption=caption)


STABILITY = Result(
    title="Stability",
    file="stability.json",
    table=stability_table,
    pictures=(
        ("stability.png", "Kaplan-Meier survival of the replicas with 95 % confidence limits."),
        ("stability-rdf.png", "Error of g(r) in a sliding window of time."),
    ),
    stage="dynamics",
)
"""The analysis ``stability``: when each replica stops being physical."""
