"""Radial distribution functions g(r) of liquids, by pairs of elements, with errors and coordination numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ffpt_core.analysis.blocks import jackknife_error
from ffpt_core.analysis.liquids import half_width, same_system, symbols
from ffpt_core.analysis.pair_counts import bin_edges, check_edges, element_pairs, pair_counts, shells, volumes
from ffpt_core.base.errors import FfptError
from ffpt_core.base.results import Cell, Result, Table

if TYPE_CHECKING:
    import mdtraj


@dataclass(frozen=True, eq=False)
class RadialDistribution:
    """g(r) of one pair of elements.

    g(r) = n(r) / (n_pairs <1/V> 4/3 pi (r_2^3 - r_1^3)), with n(r) the mean number of pairs in the bin from r_1 to
    r_2: 1 everywhere for an ideal gas of the same pairs.

    Args:
        elements: of the pair, such as ("O", "H").
        edges: (n_bins + 1,) limits of the bins in Angstrom, evenly spaced from 0.
        g: (n_bins,) the distribution.
        error: (n_bins,) its standard error from the scatter of the blocks; NaN with fewer than two.
        blocks: (n_blocks, n_bins) the same for each block of consecutive frames; empty when read from a file.
        density: partners of the second element for one atom of the first, per cubic Angstrom.
        n_frames: number of frames.
        intramolecular: whether pairs within a molecule are counted.
    """

    elements: tuple[str, str]
    edges: np.ndarray
    g: np.ndarray
    error: np.ndarray
    blocks: np.ndarray
    density: float
    n_frames: int
    intramolecular: bool = False

    @property
    def centres(self) -> np.ndarray:
        """(n_bins,) middles of the bins in Angstrom."""
        return 0.5 * (self.edges[1:] + self.edges[:-1])

    @property
    def coordination(self) -> np.ndarray:
        """(n_bins,) mean number of atoms of the second element within each bin's upper edge of one of the first."""
        return self.density * np.cumsum(self.g * shells(self.edges))

    @property
    def peak(self) -> tuple[float, float]:
        """Position in Angstrom and height of the highest bin."""
        highest = int(np.argmax(self.g))
        return float(self.centres[highest]), float(self.g[highest])

    def to_dict(self) -> dict[str, Any]:
        """Curves for a JSON file, which from_dict reads."""
        return {
            "elements": list(self.elements),
            "edges_angstrom": self.edges,
            "g": self.g,
            "error": self.error,
            "coordination": self.coordination,
            "density_per_cubic_angstrom": self.density,
            "n_frames": self.n_frames,
            "intramolecular": self.intramolecular,
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """From what to_dict gave; without the blocks.

        Raises:
            FfptError: something is missing or makes no sense.
        """
        try:
            first, second = record["elements"]
            edges, g, error = (np.array(record[key], dtype=float) for key in ("edges_angstrom", "g", "error"))
            density, n_frames = float(record["density_per_cubic_angstrom"]), int(record["n_frames"])
            intramolecular = bool(record["intramolecular"])
        except (KeyError, TypeError, ValueError) as failure:
            raise FfptError(f"this is no radial distribution: {failure}") from failure
        if edges.ndim != 1 or len(edges) < 2 or not len(g) == len(error) == len(edges) - 1:
            raise FfptError(f"the radial distribution of {first}-{second} does not have a value for each bin")
        check_edges(edges)
        return cls((first, second), edges, g, error, np.empty((0, len(g))), density, n_frames, intramolecular)


@dataclass(frozen=True)
class RdfError:
    """How far one g(r) is from a reference.

    Args:
        mae: mean over r, from 0 to r_max, of |g(r) - g_reference(r)|.
        error: its standard error from the blocks of the trajectory (jackknife).
        floor: what the statistical errors of both alone give if nothing else differs: the mean over r of
            sqrt(2/pi) sqrt(error^2 + error_reference^2).
        integral: Fu et al., TMLR 2023: the integral over r, from 0 to r_max, of |g(r) - g_reference(r)|, in
            Angstrom. It is mae times r_max; they take r_max = 6 Angstrom.
        r_max: in Angstrom.
    """

    mae: float
    error: float
    floor: float
    integral: float
    r_max: float

    def to_dict(self) -> dict[str, float]:
        """The numbers for a JSON file, units in the names."""
        renamed = {"integral": "integral_angstrom", "r_max": "r_max_angstrom"}
        return {renamed.get(key, key): value for key, value in asdict(self).items()}


def radial_distributions(
    trajectories: mdtraj.Trajectory | Sequence[mdtraj.Trajectory],
    edges: np.ndarray | None = None,
    pairs: Sequence[str] | None = None,
    *,
    intramolecular: bool = False,
    n_blocks: int = 10,
    advance: Callable[[float], Any] | None = None,
) -> dict[str, RadialDistribution]:
    """g(r) of all pairs of elements in a periodic trajectory, or in several replicas of one system.

    Args:
        trajectories: mdtraj trajectories with cells; wrapped or not. Each frame counts with its own volume.
        edges: (n_bins + 1,) limits of the bins in Angstrom (see bin_edges); None: 0.03 Angstrom up to half the box.
        pairs: such as ["O-O", "O-H"]; None: all elements with one another.
        intramolecular: count pairs within a molecule too, as the stability measure of Fu et al. does.
        n_blocks: blocks of consecutive frames into which each replica is cut for the error bars.
        advance: called with the number of frames done, for a progress bar.

    Returns:
        By name ("O-O", "O-H", "H-H"), heavier elements first.

    Raises:
        FfptError: no cell, bins beyond half of it, positions not finite, elements or molecules that are not there.
    """
    replicas = same_system(trajectories)
    widest = min(half_width(one) for one in replicas)
    edges = bin_edges(widest) if edges is None else check_edges(edges, widest)
    atoms = element_pairs(replicas[0], pairs, intramolecular)
    counts: dict[str, list[np.ndarray]] = {name: [] for name in atoms}
    inverse_volumes, sizes = [], []
    for one in replicas:
        for block in np.array_split(np.arange(len(one)), min(n_blocks, len(one))):
            part = one[block[0] : block[-1] + 1]
            for name, indices in atoms.items():
                counts[name].append(sum(chunk.sum(axis=0) for chunk in pair_counts(part, indices, edges)))
            inverse_volumes.append(float(np.sum(1.0 / volumes(part))))
            sizes.append(len(part))
            if advance is not None:
                advance(len(part))
    elements = symbols(replicas[0].topology)
    return {
        name: _distribution(
            name,
            edges,
            indices,
            elements,
            np.array(counts[name]),
            np.array(inverse_volumes),
            sum(sizes),
            intramolecular,
        )
        for name, indices in atoms.items()
    }


def _distribution(
    name: str,
    edges: np.ndarray,
    pairs: np.ndarray,
    elements: np.ndarray,
    counts: np.ndarray,
    inverse_volumes: np.ndarray,
    n_frames: int,
    intramolecular: bool,
) -> RadialDistribution:
    """g(r) from the (n_blocks, n_bins) counts and the sum of 1/V of each block."""
    first, second = name.split("-")
    ideal = len(pairs) * shells(edges)
    blocks = counts / (ideal * inverse_volumes[:, None])
    enough = len(blocks) > 1
    error = blocks.std(axis=0, ddof=1) / np.sqrt(len(blocks)) if enough else np.full(len(edges) - 1, np.nan)
    partners = (2 if first == second else 1) * len(pairs) / np.count_nonzero(elements == first)
    return RadialDistribution(
        elements=(first, second),
        edges=edges,
        g=counts.sum(axis=0) / (ideal * inverse_volumes.sum()),
        error=error,
        blocks=blocks,
        density=float(partners * inverse_volumes.sum() / n_frames),
        n_frames=n_frames,
        intramolecular=intramolecular,
    )


def rdf_error(found: RadialDistribution, reference: RadialDistribution) -> RdfError:
    """Mean absolute difference of two g(r), its error bar, and what statistical errors alone would give.

    Raises:
        FfptError: the two are of other elements, bins, or kinds of pairs.
    """
    if found.elements != reference.elements or found.intramolecular != reference.intramolecular:
        raise FfptError("the two radial distributions are of different pairs")
    if not (len(found.edges) == len(reference.edges) and np.allclose(found.edges, reference.edges)):
        raise FfptError("the two radial distributions have different bins")
    r_max = float(found.edges[-1])

    def mean_difference(g: np.ndarray) -> float:
        return float(np.mean(np.abs(g - reference.g)))

    mae = mean_difference(found.g)
    return RdfError(
        mae=mae,
        error=jackknife_error(found.blocks, mean_difference),
        floor=float(np.sqrt(2 / np.pi) * np.mean(np.sqrt(found.error**2 + reference.error**2))),
        integral=mae * r_max,
        r_max=r_max,
    )


def rdf_table(record: Mapping[str, Any], caption: str = "") -> Table:
    """Peaks of g(r) and errors against the reference, from the rdf.json of ``ffpt analyze rdf``."""
    rows: list[list[Cell]] = []
    for label, distributions in record["distributions"].items():
        for pair, one in distributions.items():
            top = max(range(len(one["g"])), key=one["g"].__getitem__)
            centre = (one["edges_angstrom"][top] + one["edges_angstrom"][top + 1]) / 2
            error = record["errors"].get(label, {}).get(pair)
            mae = None if error is None else f"{error['mae']:.3f} ± {error['error']:.3f}"
            chance = None if error is None else f"{error['floor']:.3f}"
            rows.append([label, pair, f"{one['g'][top]:.2f} at {centre:.2f} Å", mae, chance, one["n_frames"]])
    columns = ["Run", "Pair", "Peak of g(r)", "MAE of g(r)", "By chance", "Frames"]
    return Table(columns=columns, rows=rows, caption=caption or "Pairs of different molecules.")


RDF = Result(
    title="Radial distribution functions",
    file="rdf.json",
    table=rdf_table,
    pictures=(("rdf.png", "g(r) of different molecules, and its difference from the reference."),),
)
"""The analysis ``rdf``: radial distribution functions of liquids."""
