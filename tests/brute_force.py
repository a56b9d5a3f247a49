"""Pair lists by looking at every pair of atoms and every image: the truth for the lists of ffpt_core."""

from __future__ import annotations

import itertools

import numpy as np


def every_pair(positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray, cutoff: float) -> list[tuple[int, ...]]:
    """(first, second, n_1, n_2, n_3) of each pair closer than cutoff, sorted, as structure.neighbours lists them.

    cell: (3, 3) Angstrom, invertible; its vectors along directions that are not periodic only have to span space.
    """
    inverse = np.linalg.inv(cell)
    # Perpendicular thickness along k is 1/|column k of the inverse|. A displacement reduced to fractional coordinates
    # in [-1/2, 1/2] has images within the cutoff only up to cutoff/thickness + 1/2 cells away.
    reach = np.floor((cutoff * np.linalg.norm(inverse, axis=0) + 0.5) * pbc).astype(int)
    images = np.array(list(itertools.product(*(range(-n, n + 1) for n in reach))))
    first, second = np.triu_indices(len(positions))
    displacements = positions[first] - positions[second]
    shifts = images[None] - np.round(displacements @ inverse * pbc).astype(int)[:, None]
    distances = np.linalg.norm(displacements[:, None] + shifts @ cell, axis=2)
    pair, image = np.nonzero(distances < cutoff)
    found = ((int(first[p]), int(second[p]), *map(int, shifts[p, n])) for p, n in zip(pair, image, strict=True))
    return sorted(row for row in found if row[0] != row[1] or row[2:] > (0, 0, 0))
