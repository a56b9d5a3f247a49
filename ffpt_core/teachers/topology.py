"""The topology of a molecule as OpenMM knows it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ffpt_core.teachers.systems import import_openmm

if TYPE_CHECKING:
    from openmm.app import Topology


def build_topology(symbols: Sequence[str], bonds: Sequence[tuple[int, int]]) -> Topology:
    """A topology of one residue MOL with unique atom names (C1, C2, ..., H1, ...).

    Args:
        symbols: element of each atom.
        bonds: pairs of atom indices.
    """
    mm = import_openmm()
    topology = mm.app.Topology()
    residue = topology.addResidue("MOL", topology.addChain("A"))
    counts: dict[str, int] = {}
    atoms = []
    for symbol in symbols:
        counts[symbol] = counts.get(symbol, 0) + 1
        atoms.append(topology.addAtom(f"{symbol}{counts[symbol]}", mm.app.Element.getBySymbol(symbol), residue))
    for first, second in bonds:
        topology.addBond(atoms[first], atoms[second])
    return topology
