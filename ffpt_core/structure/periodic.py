"""Atoms in a periodic box: nearest images, paths without jumps, molecules made whole and put back as a whole.

Cells are lattice vectors as rows, in the unit of the positions; all three directions are periodic.
"""

from __future__ import annotations

import numpy as np

from ffpt_core.structure.graph import walks


def half_width(cells: np.ndarray) -> np.ndarray:
    """Half the shortest distance between opposite faces, (...) of cells (..., 3, 3).

    A vector that is shorter is the only one of its images that is.
    """
    # The columns of the inverse are normal to the faces, one over their distance long.
    return np.asarray(0.5 / np.linalg.norm(np.linalg.inv(cells), axis=-2).max(axis=-1))


def nearest_image(vectors: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """The shortest of the periodic images of each vector, in any cell.

    Rounding fractional coordinates gives it in right-angled cells, and in others where the result is shorter than
    half_width; the rest are searched for in the reduced cell, by ASE.

    Args:
        vectors: (..., 3); with several cells (n, m, 3). Those that are not finite stay so.
        cells: (3, 3), or (n, 3, 3).

    Returns:
        (..., 3).
    """
    vectors, cells = np.asarray(vectors, dtype=float), np.asarray(cells, dtype=float)
    lengths = np.diagonal(cells, axis1=-2, axis2=-1)
    if np.array_equal(cells, lengths[..., None] * np.eye(3)):
        edges = lengths if cells.ndim == 2 else lengths[:, None]
        return np.asarray(vectors - edges * np.rint(vectors / edges))
    flat = vectors.reshape(-1, 3) if cells.ndim == 2 else vectors
    found = flat - np.rint(flat @ np.linalg.inv(cells)) @ cells
    _shorten(found[None] if cells.ndim == 2 else found, cells.reshape(-1, 3, 3))
    return np.asarray(found.reshape(vectors.shape))


def _shorten(vectors: np.ndarray, cells: np.ndarray) -> None:
    """Replace vectors (n, m, 3) in place by their shortest images in cells (n, 3, 3) where rounding was not enough."""
    from ase.geometry.geometry import general_find_mic

    far = np.einsum("nmx,nmx->nm", vectors, vectors) > half_width(cells)[:, None] ** 2
    for index in np.flatnonzero(far.any(axis=1)):
        vectors[index, far[index]], _ = general_find_mic(vectors[index, far[index]], cells[index], pbc=(True,) * 3)


def unwrap(positions: np.ndarray, cells: np.ndarray) -> tuple[np.ndarray, float]:
    """Paths without jumps at the faces of the cell: the steps to the nearest image, added up.

    Paths that were never wrapped stay as they are. In a box that changes, this is the scheme that keeps the dynamics
    (von Buelow, Bullerjahn and Hummer, J. Chem. Phys. 153, 021101, 2020).

    Args:
        positions: (n_frames, n_atoms, 3).
        cells: (n_frames, 3, 3).

    Returns:
        (n_frames, n_atoms, 3), and the longest step as a share of a lattice vector. From 0.5 on, and a little before
        in cells that are not right-angled, nobody can tell which way an atom went.
    """
    steps = nearest_image(np.diff(positions, axis=0), cells[1:])
    longest = float(np.max(np.abs(steps @ np.linalg.inv(cells[1:])), initial=0.0))
    return np.concatenate([positions[:1], positions[:1] + np.cumsum(steps, axis=0)]), longest


def make_whole(positions: np.ndarray, cell: np.ndarray, bonds: np.ndarray) -> np.ndarray:
    """Positions with every bonded atom at the image that is nearest to its partner.

    Args:
        positions: (n_atoms, 3).
        cell: (3, 3) cell vectors as rows, in the same unit.
        bonds: (n_bonds, 2) bonded atoms.

    Returns:
        (n_atoms, 3); the first atom of each molecule stays where it is. What is bonded to its own images, such as a
        crystal, cannot be whole: it is cut somewhere.
    """
    whole = np.array(positions, dtype=float)
    for order, parents in walks(len(positions), bonds):
        for atom, parent in zip(order[1:], parents[1:], strict=True):
            vector = whole[atom] - whole[parent]
            whole[atom] += nearest_image(vector, cell) - vector
    return whole


def wrap_molecules(positions: np.ndarray, cell: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Positions with the centre of every molecule in the box; molecules that were whole stay whole.

    Args:
        positions: (n_atoms, 3).
        cell: (3, 3) cell vectors as rows, in the same unit.
        labels: (n_atoms,) whole numbers, the same for the atoms of a molecule.
    """
    counts = np.maximum(np.bincount(labels), 1)[:, None]
    centres = np.stack([np.bincount(labels, column) for column in positions.T], axis=1) / counts
    return positions - (np.floor(centres @ np.linalg.inv(cell)) @ cell)[labels]
