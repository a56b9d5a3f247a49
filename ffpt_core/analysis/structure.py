"""Structure along trajectories: the distribution h(r) of interatomic distances, and its error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ffpt_core.analysis.blocks import jackknife_error
from ffpt_core.base import figures
from ffpt_core.base.errors import FfptError
from ffpt_core.base.results import Cell, Result, Table, decimals
from ffpt_core.structure.distances import DistanceDistribution

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ffpt_core.datasets import Dataset


@dataclass(frozen=True)
class DistributionError:
    """How far a distribution is from a reference.

    Args:
        mae: integral over r of |h(r) - h_reference(r)|, without unit: 0 for the same, 2 for nothing in common.
        error: its standard error from the blocks of the trajectory (jackknife).
        floor: the same integral between two halves of the reference frames (every other block): about what
            a perfect potential reaches with as few frames.
    """

    mae: float
    error: float
    floor: float

    def to_dict(self) -> dict[str, float]:
        """The three numbers for a JSON file."""
        return asdict(self)


def dataset_frames(dataset: Dataset) -> tuple[np.ndarray, np.ndarray | None]:
    """Positions (n_frames, n_atoms, 3) in Angstrom and cells (None where not periodic) of a data set of one system.

    Raises:
        FfptError: its frames differ in their atoms.
    """
    if not len(dataset):
        raise FfptError("the data set has no frames")
    n_atoms = int(dataset.n_atoms[0])
    if np.any(dataset.n_atoms != n_atoms):
        raise FfptError("the frames of the data set have different numbers of atoms: h(r) needs one system")
    numbers = dataset.numbers.reshape(len(dataset), n_atoms)
    if np.any(numbers != numbers[0]):
        raise FfptError("the frames of the data set have different elements: h(r) needs one system")
    cells = dataset.cells if np.all(dataset.pbc) else None
    return dataset.positions.reshape(len(dataset), n_atoms, 3), cells


def distribution_error(found: DistanceDistribution, reference: DistanceDistribution) -> DistributionError:
    """The integral error of h(r), with its error bar and the floor that the reference's own sampling sets.

    Raises:
        FfptError: the two have different bins.
    """
    if not np.array_equal(found.edges, reference.edges):
        raise FfptError("the two distributions have different bins")
    width = np.diff(found.edges)

    def integral(density: np.ndarray, other: np.ndarray) -> float:
        return float(np.sum(np.abs(density - other) * width))

    # Distances beyond the last bin are part of the distribution too.
    tail = abs(found.outside - reference.outside)
    even, odd = reference.blocks[::2], reference.blocks[1::2]
    return DistributionError(
        mae=integral(found.density, reference.density) + tail,
        error=jackknife_error(found.blocks, lambda density: integral(density, reference.density)),
        floor=integral(even.mean(axis=0), odd.mean(axis=0)) if len(odd) else float("nan"),
    )


@figures.styled
def plot_distances(
    distributions: Mapping[str, DistanceDistribution],
    reference: str,
    errors: Mapping[str, DistributionError] | None = None,
) -> Figure:
    """h(r) of trajectories over that of the reference, and below it the difference with its error bars.

    Args:
        distributions: by label, with the same bins; one of them is the reference.
        reference: its label.
        errors: to be named in the legend.
    """
    figure, (upper, lower) = figures.new_figure(
        2, 1, width=5.6, height=2.0, sharex=True, gridspec_kw={"height_ratios": (2.2, 1)}
    )
    colours = figures.colours(distributions, reference)
    truth = distributions[reference]
    upper.fill_between(truth.centres, truth.density, color="#000000", alpha=0.10, linewidth=0)
    upper.plot(truth.centres, truth.density, color=colours[reference], linewidth=1.0, label=reference)
    for label, found in distributions.items():
        if label != reference:
            named = label if errors is None or label not in errors else f"{label}: MAE {errors[label].mae:.3f}"
            upper.plot(found.centres, found.density, color=colours[label], linewidth=1.2, label=named)
            _draw_difference(lower, found, truth, colours[label])
    lower.axhline(0.0, color="#000000", linewidth=0.8)
    filled = np.flatnonzero(truth.density)
    upper.set_xlim(max(0.0, truth.edges[filled[0]] - 0.3), truth.edges[filled[-1]] + 0.5)
    upper.set_ylim(bottom=0.0)
    upper.set_ylabel("h(r) (1/Å)")
    lower.set_ylabel("Difference (1/Å)")
    lower.set_xlabel("Distance r (Å)")
    figures.legend_above(figure, *upper.get_legend_handles_labels())
    return figure


def _draw_difference(axes: Axes, found: DistanceDistribution, truth: DistanceDistribution, colour: str) -> None:
    difference = found.density - truth.density
    spread = np.sqrt(np.nan_to_num(found.error) ** 2 + np.nan_to_num(truth.error) ** 2)
    axes.fill_between(found.centres, difference - spread, difference + spread, color=colour, alpha=0.3, linewidth=0)
    axes.plot(found.centres, difference, color=colour, linewidth=0.9)


def distances_table(record: Mapping[str, Any], caption: str = "") -> Table:
    """Errors of h(r), from the h-of-r.json of ``ffpt analyze h-of-r``."""
    rows: list[list[Cell]] = [
        [
            label,
            f"{error['mae']:.3f} ± {error['error']:.3f}",
            decimals(error["floor"], 3),
            record["distributions"][label]["n_frames"],
        ]
        for label, error in record["errors"].items()
    ]
    columns = ["Potential", "MAE of h(r)", "Two halves of the reference", "Frames"]
    reference = record["reference"].removesuffix(" (reference)")
    return Table(columns=columns, rows=rows, caption=caption or f"Integral error of h(r) against {reference}.")


H_OF_R = Result(
    title="Structure",
    file="h-of-r.json",
    table=distances_table,
    pictures=(("h-of-r.png", "Distribution of interatomic distances, and its difference from the reference."),),
)
"""The analysis ``h-of-r``: distances between all atoms, against those of reference frames."""
