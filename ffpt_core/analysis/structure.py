"""Structure along trajectories: the distribution h(r) of interatomic distances, and its error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ffpt_core.analysis.blocks import jackknife_error
from ffpt_core.base import figures
from ffpt_core.base.errors import FfptError
from ffpt_core.base.results import Cell, Result, Table, decimals
from ffpt_core.structure.periodic import nearest_image

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ffpt_core.datasets import Dataset

BIN = 0.03
"""Default width of a bin in Angstrom."""

_CHUNK = 1_000_000
"""Distances held in memory at once."""


@dataclass(frozen=True, eq=False)
class DistanceDistribution:
    """h(r): how the distances between all pairs of atoms are distributed.

    Fu et al., TMLR 2023: h(r) = 1/(N(N-1)) sum_i sum_(j != i) delta(r - |r_i - r_j|), averaged over frames,
    so that its integral over r is one.

    Args:
        edges: (n_bins + 1,) limits of the bins in Angstrom.
        density: (n_bins,) h(r) in 1/Angstrom.
        blocks: (n_blocks, n_bins) the same for each block of consecutive frames (or each replica's blocks).
        n_frames: number of frames.
        outside: fraction of all distances that lie beyond the last edge, and are missing from the integral.
    """

    edges: np.ndarray
    density: np.ndarray
    blocks: np.ndarray
    n_frames: int
    outside: float

    @property
    def centres(self) -> np.ndarray:
        """(n_bins,) middles of the bins in Angstrom."""
        return 0.5 * (self.edges[1:] + self.edges[:-1])

    @property
    def error(self) -> np.ndarray:
        """(n_bins,) standard error of the density in 1/Angstrom, from the scatter of the blocks."""
        if len(self.blocks) < 2:
            return np.full(len(self.density), np.nan)
        return self.blocks.std(axis=0, ddof=1) / np.sqrt(len(self.blocks))


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


def distance_distribution(
    frames: np.ndarray | Sequence[np.ndarray],
    edges: np.ndarray | None = None,
    cells: np.ndarray | Sequence[np.ndarray] | None = None,
    n_blocks: int = 10,
) -> DistanceDistribution:
    """h(r) of one trajectory or of several replicas.

    Args:
        frames: (n_frames, n_atoms, 3) positions in Angstrom in the order of time, or a list of such arrays
            for replicas of one system.
        edges: (n_bins + 1,) limits of the bins in Angstrom; None: bins of 0.03 Angstrom up to the longest distance.
        cells: lattice vectors of periodic frames, (n_frames, 3, 3) in Angstrom, a list for replicas; distances
            are those of nearest images.
        n_blocks: blocks into which each replica is cut for the error bars.

    Raises:
        FfptError: no frames, fewer than two atoms, replicas of different systems, or positions not finite.
    """
    replicas, boxes = _as_replicas(frames, cells)
    edges = _default_edges(replicas, boxes) if edges is None else np.asarray(edges, dtype=float)
    n_pairs = replicas[0].shape[1] * (replicas[0].shape[1] - 1) // 2
    counts, sizes = [], []
    for positions, box in zip(replicas, boxes, strict=True):
        for block in np.array_split(np.arange(len(positions)), min(n_blocks, len(positions))):
            counts.append(_histogram(positions[block], None if box is None else box[block], edges))
            sizes.append(len(block))
    counted, width, n_frames = np.array(counts, dtype=float), np.diff(edges), sum(sizes)
    blocks = counted / (np.array(sizes)[:, None] * n_pairs * width)
    total = counted.sum(axis=0)
    return DistanceDistribution(
        edges=edges,
        density=total / (n_frames * n_pairs * width),
        blocks=blocks,
        n_frames=n_frames,
        outside=1.0 - float(total.sum()) / (n_frames * n_pairs),
    )


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


def _as_replicas(frames: Any, cells: Any) -> tuple[list[np.ndarray], list[np.ndarray | None]]:
    single = isinstance(frames, np.ndarray)
    replicas = [np.asarray(part, dtype=float) for part in ([frames] if single else frames)]
    boxes = [None] * len(replicas) if cells is None else ([cells] if single else list(cells))
    if not replicas or any(part.ndim != 3 or not len(part) for part in replicas):
        raise FfptError("h(r) needs positions of one frame or more, (n_frames, n_atoms, 3)")
    if len({part.shape[1] for part in replicas}) > 1 or replicas[0].shape[1] < 2:
        raise FfptError("h(r) needs replicas of one system with two atoms or more")
    if not all(np.isfinite(part).all() for part in replicas):
        raise FfptError("h(r) needs finite positions: cut the trajectory before its failure")
    return replicas, boxes


def _default_edges(replicas: list[np.ndarray], boxes: list[np.ndarray | None]) -> np.ndarray:
    longest = 0.0
    for positions, box in zip(replicas, boxes, strict=True):
        longest = max(longest, *(chunk.max() for chunk in _distance_chunks(positions, box)))
    return BIN * np.arange(int(np.ceil(longest / BIN)) + 2)


def _histogram(positions: np.ndarray, box: np.ndarray | None, edges: np.ndarray) -> np.ndarray:
    return np.sum([np.histogram(chunk, edges)[0] for chunk in _distance_chunks(positions, box)], axis=0)


def _distance_chunks(positions: np.ndarray, box: np.ndarray | None) -> Any:
    """(frames, pairs) distances in Angstrom, so many frames at a time that they fit in memory."""
    first, second = np.triu_indices(positions.shape[1], k=1)
    step = max(1, _CHUNK // len(first))
    for start in range(0, len(positions), step):
        vectors = positions[start : start + step, first] - positions[start : start + step, second]
        if box is not None:
            vectors = nearest_image(vectors, box[start : start + step])
        yield np.linalg.norm(vectors, axis=-1)


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
