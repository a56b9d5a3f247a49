"""O-H bonds and H-O-H angles of water over time: their distributions, means and extremes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ffpt_core.analysis.liquids import same_system, water_molecules
from ffpt_core.base import figures
from ffpt_core.base.errors import FfptError
from ffpt_core.base.results import Cell, Result, Table
from ffpt_core.base.units import NANOMETRE

if TYPE_CHECKING:
    import mdtraj
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BOND_EDGES = np.linspace(0.4, 1.6, 121)
"""Limits of the bins of O-H bonds in Angstrom."""

ANGLE_EDGES = np.linspace(0.0, 180.0, 181)
"""Limits of the bins of H-O-H angles in degrees."""

WIDE_ANGLE = 150.0
"""Angles beyond this, in degrees, are where potentials from scratch have their hole."""


@dataclass(frozen=True, eq=False)
class WaterGeometry:
    """Distributions of O-H bonds and H-O-H angles in windows of time, over molecules and replicas.

    Args:
        times: (n_windows + 1,) limits of the windows in ps.
        bonds: (n_windows, 120) density of O-H lengths between BOND_EDGES, 1/Angstrom.
        angles: (n_windows, 180) density of H-O-H angles between ANGLE_EDGES, 1/degree.
        bond_mean, bond_std, bond_min, bond_max: (n_windows,) Angstrom.
        angle_mean, angle_std, angle_min, angle_max: (n_windows,) degrees.
        wide: (n_windows,) share of angles beyond 150 degrees.
        n_samples: (n_windows,) numbers of molecules times frames.
    """

    times: np.ndarray
    bonds: np.ndarray
    angles: np.ndarray
    bond_mean: np.ndarray
    bond_std: np.ndarray
    bond_min: np.ndarray
    bond_max: np.ndarray
    angle_mean: np.ndarray
    angle_std: np.ndarray
    angle_min: np.ndarray
    angle_max: np.ndarray
    wide: np.ndarray
    n_samples: np.ndarray

    def arrays(self) -> dict[str, np.ndarray]:
        """All arrays by name, with the bins, for an npz file."""
        return dict(vars(self)) | {"bond_edges": BOND_EDGES, "angle_edges": ANGLE_EDGES}

    def to_dict(self) -> dict[str, Any]:
        """Means and extremes of the whole trajectory for a JSON file."""
        return {
            "n_samples": int(self.n_samples.sum()),
            "bond_angstrom": self._overall("bond"),
            "angle_degrees": self._overall("angle"),
            "share_of_angles_above_150_degrees": float(np.average(self.wide, weights=self.n_samples)),
        }

    def _overall(self, what: str) -> dict[str, float]:
        means, stds = getattr(self, f"{what}_mean"), getattr(self, f"{what}_std")
        mean = float(np.average(means, weights=self.n_samples))
        variance = float(np.average(stds**2 + (means - mean) ** 2, weights=self.n_samples))
        lowest, highest = float(getattr(self, f"{what}_min").min()), float(getattr(self, f"{what}_max").max())
        return {"mean": mean, "std": variance**0.5, "min": lowest, "max": highest}


def water_geometry(trajectories: mdtraj.Trajectory | Sequence[mdtraj.Trajectory], n_windows: int = 50) -> WaterGeometry:
    """Distributions of O-H bonds and H-O-H angles over time.

    Args:
        trajectories: mdtraj trajectories (nm, ps) of water, periodic or not; replicas share the windows of time.
        n_windows: windows into which the time from the first frame to the last is cut; those without a frame, where
            replicas have gaps, are left out.

    Raises:
        FfptError: no frames, not water, or positions that are not finite.
    """
    import mdtraj

    replicas = same_system(trajectories)
    if not all(np.isfinite(one.xyz).all() for one in replicas):
        raise FfptError("bonds and angles need finite positions: cut the trajectory before its failure")
    water = water_molecules(replicas[0])
    periodic = replicas[0].unitcell_vectors is not None
    pairs = np.concatenate([water[:, [0, 1]], water[:, [0, 2]]])
    bonds = np.concatenate([NANOMETRE * mdtraj.compute_distances(one, pairs, periodic) for one in replicas])
    angles = np.concatenate([np.degrees(mdtraj.compute_angles(one, water[:, [1, 0, 2]], periodic)) for one in replicas])
    times = np.concatenate([one.time for one in replicas]).astype(float)
    limits = np.linspace(times.min(), times.max(), max(1, min(n_windows, len(times))) + 1)
    window = np.clip(np.searchsorted(limits, times, side="right") - 1, 0, len(limits) - 2)
    filled = np.unique(window)
    groups = [(bonds[window == one], angles[window == one]) for one in filled]
    moments = {
        f"{what}_{name}": np.array([float(function(group[index])) for group in groups])
        for index, what in enumerate(("bond", "angle"))
        for name, function in (("mean", np.mean), ("std", np.std), ("min", np.min), ("max", np.max))
    }
    return WaterGeometry(
        times=np.append(limits[filled], limits[filled[-1] + 1]),
        bonds=np.array([_density(group[0], BOND_EDGES) for group in groups]),
        angles=np.array([_density(group[1], ANGLE_EDGES) for group in groups]),
        wide=np.array([float(np.mean(group[1] > WIDE_ANGLE)) for group in groups]),
        n_samples=np.array([group[1].size for group in groups]),
        **moments,
    )


def _density(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Of all values, those outside the edges included: they are missing from the integral."""
    return np.histogram(values, edges)[0] / (values.size * np.diff(edges))


@figures.styled
def plot_water_geometry(found: Mapping[str, WaterGeometry]) -> Figure:
    """Bonds (left) and angles (right): over time for each label, and last all labels over the whole time.

    Densities of the maps are on a logarithmic scale; lines are the shortest and the longest of each window.

    Raises:
        FfptError: there is nothing to draw.
    """
    if not found:
        raise FfptError("there is no trajectory of water to draw")
    figure, axes = figures.new_figure(len(found) + 1, 2, width=3.6, height=2.1)
    colours = figures.colours(found)
    names = {"bond": "O–H (Å)", "angle": "H–O–H (degrees)"}
    for column, (what, edges) in enumerate((("bond", BOND_EDGES), ("angle", ANGLE_EDGES))):
        last = axes[2 * len(found) + column]
        limits = _limits(found.values(), what, edges)
        for row, (label, one) in enumerate(found.items()):
            panel, density = axes[2 * row + column], getattr(one, f"{what}s")
            _map(panel, one, density, edges, what)
            panel.set_ylim(*limits)
            panel.set_ylabel(names[what])
            panel.set_xlabel("Time (ps)")
            panel.set_title(label)
            overall = np.average(density, axis=0, weights=one.n_samples)
            last.stairs(np.where(overall > 0, overall, np.nan), edges, color=colours[label], label=label, linewidth=1.2)
        last.set_yscale("log")
        last.set_xlim(*limits)
        last.set_xlabel(names[what])
        last.set_ylabel("Density (1/Å)" if what == "bond" else "Density (1/degree)")
    figures.legend_above(figure, *axes[-1].get_legend_handles_labels())
    return figure


def _map(axes: Axes, one: WaterGeometry, density: np.ndarray, edges: np.ndarray, what: str) -> None:
    from matplotlib.colors import LogNorm

    shown = np.ma.masked_less_equal(density.T, 0.0)
    axes.pcolormesh(one.times, edges, shown, norm=LogNorm(), cmap="Blues", rasterized=True)
    centres = 0.5 * (one.times[1:] + one.times[:-1])
    for extreme in ("min", "max"):
        axes.plot(centres, getattr(one, f"{what}_{extreme}"), color="#404040", linewidth=0.7)
    axes.grid(False)


def _limits(found: Iterable[WaterGeometry], what: str, edges: np.ndarray) -> tuple[float, float]:
    """From the shortest to the longest of all, with a margin, within the bins."""
    found = list(found)
    lowest = min(float(getattr(one, f"{what}_min").min()) for one in found)
    highest = max(float(getattr(one, f"{what}_max").max()) for one in found)
    margin = 0.1 * (highest - lowest) + edges[1] - edges[0]
    return max(edges[0], lowest - margin), min(edges[-1], highest + margin)


def water_geometry_table(record: Mapping[str, Any], caption: str = "") -> Table:
    """Bonds and angles of water, from the geometry.json of ``ffpt analyze geometry``."""
    rows: list[list[Cell]] = []
    for label, one in record.items():
        bond, angle = one["bond_angstrom"], one["angle_degrees"]
        rows.append(
            [
                label,
                f"{bond['mean']:.3f} ± {bond['std']:.3f}",
                f"{bond['min']:.2f} to {bond['max']:.2f}",
                f"{angle['mean']:.1f} ± {angle['std']:.1f}",
                f"{angle['min']:.0f} to {angle['max']:.0f}",
            ]
        )
    columns = ["Run", "O-H (Å)", "O-H, range", "H-O-H (degrees)", "H-O-H, range"]
    return Table(
        columns=columns, rows=rows, caption=caption or "Mean, spread and extremes over all molecules and frames."
    )


GEOMETRY = Result(
    title="Bonds and angles of water",
    file="geometry.json",
    table=water_geometry_table,
    pictures=(("geometry.png", "O-H bonds and H-O-H angles over time."),),
)
"""The analysis ``geometry``: bonds and angles of water over time."""
