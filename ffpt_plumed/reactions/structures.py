"""Starting structures of the reactions: molecules at their Q-Force geometries, set before one another."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from ase import Atoms
from scipy.spatial.transform import Rotation

from ffpt_core.teachers.qforce.species_teachers import species_teacher
from ffpt_plumed.reactions.records import Molecule, Reaction, State

CONTACT = 2.2
"""Angstrom between the atoms that will bind, in a starting structure: beyond any bond, within the reach of both CVs."""


def starting_structure(reaction: Reaction, state: State | None = None, contact: float = CONTACT) -> Atoms:
    """The molecules of one side of a reaction, the atoms that will bind facing each other.

    Args:
        reaction: which.
        state: reaction.reactants or reaction.products; None: reaction.start.
        contact: Angstrom between those atoms.

    Returns:
        All atoms in the reaction's order, Angstrom, without a cell; ``info`` says reaction and multiplicity.
    """
    state = reaction.start if state is None else state
    positions = np.full((len(reaction.symbols), 3), np.nan)
    waiting = list(state)
    _place(positions, waiting.pop(0))
    while waiting:
        there = {atom for atom in range(len(positions)) if np.isfinite(positions[atom, 0])}
        molecule, here, near = _next(reaction.bonded_pairs, waiting, there)
        waiting.remove(molecule)
        _place(positions, molecule)
        outward = _outward(positions, here, _neighbours(here, state))
        inward = _outward(positions, near, _neighbours(near, state))
        turn, _ = Rotation.align_vectors(-outward[None], inward[None])
        atoms = list(molecule.atoms)
        positions[atoms] = turn.apply(positions[atoms] - positions[near]) + positions[here] + contact * outward
    info = {"reaction": reaction.number, "multiplicity": reaction.multiplicity}
    return Atoms(reaction.symbols, positions - positions.mean(axis=0), info=info)


def _place(positions: np.ndarray, molecule: Molecule) -> None:
    positions[list(molecule.atoms)] = species_teacher(molecule.species).atoms.positions


def _next(pairs: Iterable[tuple[int, int]], waiting: Iterable[Molecule], there: set[int]) -> tuple[Molecule, int, int]:
    """A molecule that will bind to what is there, with the atom there and its own: bonded_pairs connect all atoms."""
    return next(
        (molecule, here, near)
        for molecule in waiting
        for pair in pairs
        for here, near in (pair, pair[::-1])
        if here in there and near in molecule.atoms
    )


def _neighbours(atom: int, state: State) -> list[int]:
    return [sum(pair) - atom for molecule in state for pair in molecule.bonds if atom in pair]


def _outward(positions: np.ndarray, atom: int, neighbours: list[int]) -> np.ndarray:
    """Unit vector from an atom away from those that it is bonded to; along x where there are none."""
    if not neighbours:
        return np.array([1.0, 0.0, 0.0])
    away = positions[atom] - positions[neighbours].mean(axis=0)
    return np.asarray(away / np.linalg.norm(away))
