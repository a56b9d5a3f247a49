"""The graph of bonds: molecules, walks, what hangs on what."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import molecule

from ffpt_core.base.errors import FfptError
from ffpt_core.structure.graph import MoleculeGraph, molecules, walks


def test_walks_meet_every_atom_once_along_bonds() -> None:
    bonds = np.array([(0, 4), (4, 2), (2, 1), (5, 3)])
    found = [(order.tolist(), parents.tolist()) for order, parents in walks(7, bonds)]
    assert [order[0] for order, _ in found] == [0, 3, 6]
    assert sorted(atom for order, _ in found for atom in order) == list(range(7))
    for order, parents in found:
        assert parents[0] < 0
        assert all({parent, atom} in [set(bond) for bond in bonds.tolist()] for atom, parent in
                   zip(order[1:], parents[1:], strict=True))  # fmt: skip
        assert all(order.index(parent) < order.index(atom) for atom, parent in
                   zip(order[1:], parents[1:], strict=True))  # fmt: skip


def test_molecules_without_bonds_are_atoms() -> None:
    assert molecules(3, np.zeros((0, 2), dtype=int)).tolist() == [0, 1, 2]


def test_what_is_reachable_without_an_atom_or_a_bond() -> None:
    graph = MoleculeGraph(molecule("CH3CH2OH"))  # C0 with H6 to H8, C1 with H4 and H5, O2 with H3
    assert graph.reachable(2) == set(range(9))
    assert graph.reachable(0, without=1) == {0, 6, 7, 8}
    assert graph.reachable(2, without_bond=(1, 2)) == graph.reachable(2, without_bond=(2, 1)) == {2, 3}
    assert graph.hanging(1, 0) == {1, 2, 3, 4, 5}


def test_rings_hold_together_without_one_bond() -> None:
    benzene = MoleculeGraph(molecule("C6H6"))
    assert [benzene.in_ring(*bond) for bond in benzene.bonds.tolist()] == [
        second < 6 for _, second in benzene.bonds.tolist()
    ]
    assert benzene.hanging(0, 1) == {0, 6}


def test_atoms_that_are_not_there_are_refused() -> None:
    graph = MoleculeGraph(molecule("H2O"))
    with pytest.raises(FfptError, match="named twice"):
        graph.check((1, 1))
    with pytest.raises(FfptError, match="no atom 3: the molecule has atoms 0 to 2"):
        graph.check((0, 3))
