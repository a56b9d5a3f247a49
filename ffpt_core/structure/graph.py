"""Atoms and bonds as a graph: the bonds of a geometry, molecules, and what comes along when one bond is changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from ase import Atoms
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import breadth_first_order, connected_components

from ffpt_core.base.errors import FfptError

BOND_TOLERANCE = 1.25
"""Two atoms are bonded in a reference geometry when closer than this times the sum of covalent radii."""


def find_bonds(atoms: Atoms, tolerance: float = BOND_TOLERANCE) -> np.ndarray:
    """Bonds of a relaxed geometry: pairs closer than tolerance times the sum of covalent radii (ASE's).

    Returns:
        (n_bonds, 2) indices, each bond once with the smaller index first, sorted.
    """
    from ase.neighborlist import natural_cutoffs, neighbor_list

    first, second = neighbor_list("ij", atoms, natural_cutoffs(atoms, mult=tolerance))
    return as_pairs(set(zip(first[first < second].tolist(), second[first < second].tolist(), strict=True)))


def as_pairs(bonds: Iterable[tuple[int, int]]) -> np.ndarray:
    """(n_bonds, 2) int64, the smaller index of each bond first, sorted."""
    return np.array(sorted((min(pair), max(pair)) for pair in bonds), dtype=np.int64).reshape(-1, 2)


def adjacency(n_atoms: int, bonds: np.ndarray) -> csr_array:
    """(n_atoms, n_atoms) sparse: an entry a bond, in one direction. scipy's walks take it as undirected.

    Args:
        n_atoms: how many.
        bonds: (n_bonds, 2) atom indices.
    """
    bonds = np.asarray(bonds, dtype=np.int32).reshape(-1, 2)
    return coo_array((np.ones(len(bonds)), (bonds[:, 0], bonds[:, 1])), shape=(n_atoms, n_atoms)).tocsr()


def molecules(n_atoms: int, bonds: np.ndarray) -> np.ndarray:
    """(n_atoms,) molecule labels: atoms connected by bonds share the label of their smallest index."""
    _, labels = connected_components(adjacency(n_atoms, bonds), directed=False)
    _, smallest = np.unique(labels, return_index=True)
    return np.asarray(smallest[labels])


def walks(n_atoms: int, bonds: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Each molecule as a walk along its bonds, breadth first, from its atom with the smallest index.

    Yields:
        The atoms of a molecule in the order in which they are met, and for each the one that it is met from (of the
        first: a negative number).
    """
    graph = adjacency(n_atoms, bonds)
    for first in np.unique(molecules(n_atoms, bonds)):
        order, parents = breadth_first_order(graph, first, directed=False)
        yield order, parents[order]


class MoleculeGraph:
    """The bonds of a geometry, and which atoms stay together when a bond or an atom is taken away.

    Args:
        atoms: geometry in Angstrom.
        bonds: (n_bonds, 2) atom indices; None finds them in the geometry.

    Attributes:
        bonds: (n_bonds, 2) int64.
        neighbours: the bonded neighbours of each atom.
    """

    def __init__(self, atoms: Atoms, bonds: np.ndarray | None = None) -> None:
        self._n_atoms = len(atoms)
        self.bonds = find_bonds(atoms) if bonds is None else np.asarray(bonds, dtype=np.int64).reshape(-1, 2)
        self.neighbours: list[set[int]] = [set() for _ in range(self._n_atoms)]
        for first, second in self.bonds.tolist():
            self.neighbours[first].add(second)
            self.neighbours[second].add(first)

    def check(self, named: tuple[int, ...]) -> None:
        """Refuse atoms that a user asked for where they make no sense.

        Raises:
            FfptError: an atom is named twice or is not there.
        """
        if len(set(named)) != len(named):
            raise FfptError(f"atoms {', '.join(map(str, named))}: the same atom is named twice")
        wrong = [index for index in named if not 0 <= index < self._n_atoms]
        if wrong:
            raise FfptError(f"there is no atom {wrong[0]}: the molecule has atoms 0 to {self._n_atoms - 1}")

    def reachable(
        self, start: int, without: int | None = None, without_bond: tuple[int, int] | None = None
    ) -> set[int]:
        """Atoms connected to start when one atom, or one bond, is taken out of the molecule."""
        kept = np.ones(len(self.bonds), dtype=bool)
        if without is not None:
            kept &= (self.bonds != without).all(axis=1)
        if without_bond is not None:
            kept &= ~np.isin(self.bonds, without_bond).all(axis=1)
        graph = adjacency(self._n_atoms, self.bonds[kept])
        order = breadth_first_order(graph, start, directed=False, return_predecessors=False)
        return set(order.tolist())

    def hanging(self, atom: int, partner: int) -> set[int]:
        """atom with the fragments that are connected to the rest, partner's side, through it only."""
        kept = {atom}
        for neighbour in self.neighbours[atom] - {partner}:
            fragment = self.reachable(neighbour, without=atom)
            if partner not in fragment:
                kept |= fragment
        return kept

    def within_two_bonds(self) -> np.ndarray:
        """(n_atoms, n_atoms) whether two atoms are bonded or have a neighbour in common, each with itself included."""
        bonded = adjacency(self._n_atoms, self.bonds).toarray() > 0
        bonded |= bonded.T | np.eye(self._n_atoms, dtype=bool)
        return np.asarray(bonded @ bonded)

    def in_ring(self, i: int, j: int) -> bool:
        """Whether the bond i-j is part of a ring: both stay connected without it."""
        return i in self.reachable(j, without_bond=(i, j))
