"""The stability measure of Fu et al. for liquids: how far g(r) of a sliding window is from a reference.

"Forces are not enough", TMLR 2023, and its code (github.com/kyonofx/MDsim, observable.ipynb): a simulation of water
becomes unstable at the time T at which the integral over r, from 0 to 6 Angstrom, of |g_window(r) - g_reference(r)|
exceeds 3 Angstrom for any of O-O, O-H and H-H, where the window lasts from T to T + 1 ps. g(r) has 500 bins and counts
all pairs, those within molecules too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ffpt_core.analysis.liquids import frame_spacing, half_width, same_system
from ffpt_core.analysis.pair_counts import check_edges, element_pairs, pair_counts, shells, volumes
from ffpt_core.analysis.rdf import RadialDistribution, radial_distributions
from ffpt_core.base.errors import FfptError

if TYPE_CHECKING:
    import mdtraj

WINDOW = 1.0
"""Length of the window in ps (Fu et al.)."""

THRESHOLD = 3.0
"""Largest error of a window in Angstrom (Fu et al.)."""

R_MAX = 6.0
"""Where the integral ends, in Angstrom, in boxes that are at least twice as wide (Fu et al.)."""

N_BINS = 500
"""Bins up to there (Fu et al.)."""


@dataclass(frozen=True, eq=False)
class RdfDrift:
    """Errors of g(r) in a sliding window of one trajectory.

    Args:
        starts: (n_windows,) ps at which the windows begin: at the first frame of each.
        errors: (n_windows,) by pair of elements: integral of |g_window(r) - g_reference(r)| over r, in Angstrom.
        floors: by pair, what is expected of a window that differs by its few frames only: pairs counted in a bin
            scatter as Poisson's numbers about those of the reference.
        n_frames: frames of a window.
        r_max: end of the integral in Angstrom.
    """

    starts: np.ndarray
    errors: dict[str, np.ndarray]
    floors: dict[str, float]
    n_frames: int
    r_max: float

    def first_above(self, threshold: float = THRESHOLD) -> tuple[int, str] | None:
        """Index of the first window with an error above a threshold in Angstrom, and its worst pair; or None."""
        worst = np.max(list(self.errors.values()), axis=0)
        above = np.flatnonzero(worst > threshold)
        if not len(above):
            return None
        window = int(above[0])
        return window, max(self.errors, key=lambda name: self.errors[name][window])

    def to_dict(self) -> dict[str, Any]:
        """Curves for a JSON file."""
        return {
            "starts_ps": self.starts,
            "errors_angstrom": self.errors,
            "floors_angstrom": self.floors,
            "n_frames_of_window": self.n_frames,
            "r_max_angstrom": self.r_max,
        }


def drift_reference(
    trajectories: mdtraj.Trajectory | Sequence[mdtraj.Trajectory], **settings: Any
) -> dict[str, RadialDistribution]:
    """g(r) of a reference as rdf_drift compares with it: all pairs, 500 bins up to 6 Angstrom or half the box.

    Args:
        trajectories: the reference, as in radial_distributions.
        settings: pairs, n_blocks, advance as there.
    """
    replicas = same_system(trajectories)
    r_max = min(R_MAX, *(half_width(one) for one in replicas))
    edges = np.linspace(0.0, r_max, N_BINS + 1)
    return radial_distributions(replicas, edges, intramolecular=True, **settings)


def rdf_drift(
    trajectory: mdtraj.Trajectory,
    reference: Mapping[str, RadialDistribution],
    window: float = WINDOW,
    threshold: float = THRESHOLD,
) -> RdfDrift:
    """Errors of g(r) in a window that slides over a trajectory, a frame at a time.

    Args:
        trajectory: mdtraj trajectory (nm, ps) with a cell and evenly spaced frames. It counts up to the first frame
            with coordinates that are not finite; one that is shorter than the window has no errors.
        reference: from drift_reference, or read from a file: all pairs, those within molecules too.
        window: ps.
        threshold: Angstrom, that the errors will be held against.

    Raises:
        FfptError: no cell, or half of it less than the reference's bins reach; pairs within molecules are missing
            from the reference; a window holds so few frames that its statistical error alone comes near the threshold.
    """
    if not reference or not all(found.intramolecular for found in reference.values()):
        raise FfptError("this measure counts pairs within molecules too: the reference must (--all-pairs)")
    # A single frame, of a run that failed at once, says no spacing: it is shorter than any window.
    n_frames = max(1, round(window / frame_spacing(trajectory))) if len(trajectory) > 1 else 2
    finite = np.isfinite(trajectory.xyz).all(axis=(1, 2))
    trajectory = trajectory if finite.all() else trajectory[: int(np.argmin(finite))]
    edges = next(iter(reference.values())).edges
    n_windows = max(0, len(trajectory) - n_frames + 1)
    errors: dict[str, np.ndarray] = {name: np.zeros(0) for name in reference}
    floors = dict.fromkeys(reference, 0.0)
    if n_windows:
        check_edges(edges, half_width(trajectory))
        inverse_volumes = _window_sums(1.0 / volumes(trajectory), n_frames)
        pairs = element_pairs(trajectory, list(reference), intramolecular=True)
        for name, found in reference.items():
            ideal = len(pairs[name]) * shells(edges)
            floors[name] = _floor(found.g, edges, ideal * inverse_volumes[0])
            counts = np.concatenate(list(pair_counts(trajectory, pairs[name], edges)))
            g = _window_sums(counts, n_frames) / (ideal * inverse_volumes[:, None])
            errors[name] = np.abs(g - found.g) @ np.diff(edges)
    worst = max(floors, key=lambda name: floors[name])
    if floors[worst] > 0.5 * threshold:
        raise FfptError(
            f"a window of {window:g} ps holds {n_frames} frames: too few, for chance alone makes an error of "
            f"{floors[worst]:.2f} Angstrom of {worst}. Save frames more often (Fu et al.: 0.1 ps) or widen the window"
        )
    return RdfDrift(trajectory.time[:n_windows].astype(float), errors, floors, n_frames, float(edges[-1]))


def _window_sums(values: np.ndarray, n_frames: int) -> np.ndarray:
    """Sums of n_frames successive rows, one for each place of the window."""
    sums = np.cumsum(values, axis=0)
    return np.concatenate([sums[n_frames - 1 : n_frames], sums[n_frames:] - sums[:-n_frames]])


def _floor(g: np.ndarray, edges: np.ndarray, ideal: np.ndarray) -> float:
    """The mean of the integral when the counts have Poisson distributions of means g times ideal, in Angstrom."""
    from scipy.special import gammaln, xlogy

    mean = g * ideal
    whole = np.floor(mean)
    # De Moivre: the mean absolute deviation of Poisson's distribution.
    deviation = 2.0 * np.exp(xlogy(whole + 1.0, mean) - mean - gammaln(whole + 1.0))
    return float(np.sum(deviation / ideal * np.diff(edges)))
