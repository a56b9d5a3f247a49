"""Molecules in a periodic box: made whole, and put back into the box as a whole."""

from __future__ import annotations

import numpy as np


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
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import breadth_first_order

    n_atoms, inverse = len(positions), np.linalg.inv(cell)
    bonds = np.asarray(bonds, dtype=int).reshape(-1, 2)
    graph = coo_array((np.ones(len(bonds)), (bonds[:, 0], bonds[:, 1])), shape=(n_atoms, n_atoms)).tocsr()
    whole = np.array(positions, dtype=float)
    seen = np.zeros(n_atoms, dtype=bool)
    for first in range(n_atoms):
        if seen[first]:
            continue
        order, parents = breadth_first_order(graph, first, directed=False)
        seen[order] = True
        for atom in order[1:]:
            vector = whole[atom] - whole[parents[atom]]
            whole[atom] -= np.rint(vector @ inverse) @ cell
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
