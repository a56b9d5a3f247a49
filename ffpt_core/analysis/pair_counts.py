"""How many pairs of atoms lie how far apart, in each frame of a periodic trajectory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ffpt_core.analysis.liquids import cells, molecule_labels, symbols
from ffpt_core.base.errors import FfptError
from ffpt_core.base.units import NANOMETRE
from ffpt_core.structure.distances import BIN

if TYPE_CHECKING:
    import mdtraj

_CHUNK = 4_000_000
"""Distances held in memory at once."""


def bin_edges(r_max: float, width: float = BIN) -> np.ndarray:
    """Limits of bins of one width in Angstrom, from 0 to as near r_max as whole bins come.

    Raises:
        FfptError: the width is not positive, or a bin does not fit.
    """
    if not (width > 0 and r_max >= width):
        raise FfptError(f"no bin of {width:g} Angstrom fits between 0 and {r_max:g} Angstrom")
    return width * np.arange(int(r_max / width * (1 + 1e-9)) + 1)


def element_pairs(
    trajectory: mdtraj.Trajectory, names: Sequence[str] | None = None, intramolecular: bool = False
) -> dict[str, np.ndarray]:
    """(n_pairs, 2) atom indices by pair of elements, heavier elements first.

    Raises:
        FfptError: a name that is not two elements of the system, or elements without any pair.
    """
    elements, labels = symbols(trajectory.topology), molecule_labels(trajectory)
    weights = {atom.element.symbol: atom.element.atomic_number for atom in trajectory.topology.atoms}
    present = sorted((symbol for symbol in weights if symbol != "VS"), key=lambda symbol: -weights[symbol])
    known = [f"{first}-{second}" for index, first in enumerate(present) for second in present[index:]]
    found = {}
    for name in known if names is None else names:
        first, _, second = name.strip().partition("-")
        if f"{first}-{second}" not in known and f"{second}-{first}" not in known:
            raise FfptError(f"{name!r} is not a pair of elements of this system: it has {', '.join(known)}")
        pairs = trajectory.topology.select_pairs(np.flatnonzero(elements == first), np.flatnonzero(elements == second))
        if not intramolecular and len(pairs):
            pairs = pairs[labels[pairs[:, 0]] != labels[pairs[:, 1]]]
        if len(pairs):
            found[f"{first}-{second}"] = pairs
        elif names is not None:
            raise FfptError(f"there are no two atoms {name} in different molecules")
    if not found:
        raise FfptError("there are no two atoms in different molecules: g(r) is for liquids")
    return found


def pair_counts(trajectory: mdtraj.Trajectory, pairs: np.ndarray, edges: np.ndarray) -> Iterator[np.ndarray]:
    """(n_frames, n_bins) numbers of pairs in each bin in each frame, some frames at a time.

    Raises:
        FfptError: positions are not finite.
    """
    import mdtraj

    if not np.isfinite(trajectory.xyz).all():
        raise FfptError("g(r) needs finite positions: cut the trajectory before its failure")
    n_bins = len(edges) - 1
    scale = NANOMETRE * n_bins / edges[-1]  # bins per nm
    step = max(1, _CHUNK // len(pairs))
    for start in range(0, len(trajectory), step):
        part = trajectory[start : start + step]
        bins = (mdtraj.compute_distances(part, pairs, periodic=True) * scale).astype(np.int64)
        # A last bin takes all that is farther; each frame has bins of its own.
        np.minimum(bins, n_bins, out=bins)
        bins += (n_bins + 1) * np.arange(len(part))[:, None]
        counted = np.bincount(bins.ravel(), minlength=len(part) * (n_bins + 1))
        yield counted.reshape(len(part), n_bins + 1)[:, :n_bins]


def volumes(trajectory: mdtraj.Trajectory) -> np.ndarray:
    """(n_frames,) volumes of the cells in cubic Angstrom."""
    return np.abs(np.linalg.det(cells(trajectory)))


_BOX_ROUNDING = 1e-4
"""Trajectory formats keep a box in single precision, some as lengths and angles: one box differs from file to file."""


def check_edges(edges: np.ndarray, widest: float = np.inf) -> np.ndarray:
    """The edges, if they are evenly spaced from 0 to at most half the box.

    Raises:
        FfptError: they are not.
    """
    edges = np.asarray(edges, dtype=float)
    if len(edges) < 2 or not np.allclose(edges, np.linspace(0.0, edges[-1], len(edges)), atol=1e-6) or edges[-1] <= 0:
        raise FfptError("bins of g(r) are evenly spaced from 0")
    if edges[-1] > widest * (1 + _BOX_ROUNDING):
        raise FfptError(f"g(r) up to {edges[-1]:g} Angstrom needs a larger box: half of this one is {widest:.2f}")
    return edges


def shells(edges: np.ndarray) -> np.ndarray:
    """(n_bins,) volumes of the spherical shells in cubic Angstrom."""
    return 4.0 / 3.0 * np.pi * np.diff(edges**3)
