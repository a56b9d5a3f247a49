"""Molecules as graphs: which atoms come along when one bond or angle is changed."""

from __future__ import annotations

import numpy as np
from ase import Atoms

from ffpt_core.analysis.criterion import find_bonds
from ffpt_core.base.errors import FfptError


def neighbours_of(atoms: Atoms, bonds: np.ndarray | None, named: tuple[int, ...]) -> list[set[int]]:
    """The bonded neighbours of each atom of a molecule.

    Args:
        atoms: geometry in Angstrom.
        bonds: (n_bonds, 2) atom indices; None finds them in the geometry.
        named: atoms that a user asked for, to be checked.

    Raises:
        FfptError: an atom is named twice or is not there.
    """
    if len(set(named)) != len(named):
        raise FfptError(f"atoms {', '.join(map(str, named))}: the same atom is named twice")
    wrong = [index for index in named if not 0 <= index < len(atoms)]
    if wrong:
        raise FfptError(f"there is no atom {wrong[0]}: the molecule has atoms 0 to {len(atoms) - 1}")
    neighbours: list[set[int]] = [set() for _ in range(len(atoms))]
    for first, second in find_bonds(atoms) if bonds is None else np.asarray(bonds):
        neighbours[first].add(int(second))
        neighbours[second].add(int(first))
    return neighbours


def reachable(
    neighbours: list[set[int]], start: int, without: int | None = None, without_edge: tuple[int, int] | None = None
) -> set[int]:
    """Atoms connected to start when one atom, or one bond, is taken out of the molecule."""
    found, queue = {start}, [start]
    while queue:
        here = queue.pop()
        for there in neighbours[here] - found:
            if there != without and {here, there} != set(without_edge or ()):
                found.add(there)
                queue.append(there)
    return found


def hanging(neighbours: list[set[int]], atom: int, partner: int) -> set[int]:
    """atom with the fragments that are connected to the rest of the molecule, partner's side, through it only."""
    kept = {atom}
    for neighbour in neighbours[atom] - {partner}:
        fragment = reachable(neighbours, neighbour, without=atom)
        if partner not in fragment:
            kept |= fragment
    return kept
