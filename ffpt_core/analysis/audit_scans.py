"""The scans of an audit: all bonds, angles and torsions of a molecule, and atoms pressed together."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from ase import Atoms
from ase.data import covalent_radii

from ffpt_core.analysis.scans import (
    Scan,
    scan_angle,
    scan_bond,
    scan_contact,
    scan_dihedral,
    scan_ring_angle,
    turning_sides,
)
from ffpt_core.base.errors import FfptError
from ffpt_core.structure.graph import MoleculeGraph

KINDS = ("bond", "angle", "dihedral", "contact")
"""The kinds of scans of an audit."""

STEP = 0.05
"""Distance between two bond lengths, or two distances of a contact, in Angstrom."""

_DEGREES = np.arange(30.0, 180.1, 5.0)
"""Of angles."""

_TURN = 10.0
"""Degrees between two values of a torsion."""

_NEAR, _FAR = 0.5, 1.6
"""A contact is scanned between these multiples of the sum of covalent radii: from far inside any bond to outside."""

_CLEAR = 0.8
"""An atom that is pressed against another keeps so much of the sum of covalent radii from all the rest."""

_STRAIGHT = 175.0
"""Degrees from which three atoms in line define no torsion."""


def audit_scans(
    atoms: Atoms,
    kinds: Sequence[str] = KINDS,
    *,
    angles: Literal["all", "hydrogen"] = "all",
    bonds: np.ndarray | None = None,
) -> list[Scan]:
    """The scans that an audit looks at, kind after kind.

    Bonds are scanned from 0.5 Angstrom below their length to 3 Angstrom, and to 1.5 Angstrom beyond their length where
    that is more; angles from 30 to 180 degrees, those of a ring by their corner, for neither of their sides can turn.
    Each bond that can turn has one torsion, through a whole turn. A contact is pressed to half the sum of the covalent
    radii: for each atom and each element, the nearest atom of that element that is three bonds or more away and that
    it can reach with no other atom in the way.

    Args:
        atoms: relaxed geometry in Angstrom.
        kinds: some of KINDS.
        angles: all of them, or those between two hydrogens of one atom.
        bonds: (n_bonds, 2) atom indices; None finds them in the geometry.

    Raises:
        FfptError: an unknown kind.
    """
    unknown = set(kinds) - set(KINDS)
    if unknown:
        raise FfptError(f"an audit has scans of the kinds {', '.join(KINDS)}, not {sorted(unknown)[0]}")
    graph = MoleculeGraph(atoms, bonds)
    make = {
        "bond": lambda: _bonds(atoms, graph),
        "angle": lambda: _angles(atoms, graph, angles == "hydrogen"),
        "dihedral": lambda: _dihedrals(atoms, graph),
        "contact": lambda: _contacts(atoms, graph),
    }
    return [scan for kind in KINDS if kind in kinds for scan in make[kind]()]


def _bonds(atoms: Atoms, graph: MoleculeGraph) -> Iterator[Scan]:
    for i, j in graph.bonds.tolist():
        start = atoms.get_distance(i, j)
        first, last = np.ceil(max(0.2, start - 0.5) / STEP), np.ceil(max(3.0, start + 1.5) / STEP)
        lengths = np.union1d(STEP * np.arange(first, last + 1), [start])
        yield scan_bond(atoms, i, j, lengths, graph.bonds)


def _angles(atoms: Atoms, graph: MoleculeGraph, hydrogen: bool) -> Iterator[Scan]:
    for j, around in enumerate(graph.neighbours):
        for i, k in itertools.combinations(sorted(around), 2):
            wanted = not hydrogen or atoms.numbers[i] == atoms.numbers[k] == 1
            if wanted:
                make = scan_angle if turning_sides(graph, i, j, k) else scan_ring_angle
                yield make(atoms, i, j, k, _DEGREES, graph.bonds)


def _dihedrals(atoms: Atoms, graph: MoleculeGraph) -> Iterator[Scan]:
    for j, k in graph.bonds.tolist():
        ends = [
            # The heaviest neighbour that is not in line with the bond, which would make the torsion undefined.
            sorted((-atoms.numbers[end], end) for end in graph.neighbours[here] - {there}
                   if atoms.get_angle(end, here, there) < _STRAIGHT)
            for here, there in ((j, k), (k, j))
        ]  # fmt: skip
        if all(ends) and not graph.in_ring(j, k):
            (_, i), (_, m) = ends[0][0], ends[1][0]
            start = atoms.get_dihedral(i, j, k, m)
            values = (start + _TURN * np.arange(round(360.0 / _TURN)) + 180.0) % 360.0 - 180.0
            yield scan_dihedral(atoms, i, j, k, m, np.sort(values), graph.bonds)


def _contacts(atoms: Atoms, graph: MoleculeGraph) -> Iterator[Scan]:
    radii = covalent_radii[atoms.numbers]
    for i, j in _pairs_to_press(atoms, graph):
        reach = radii[i] + radii[j]
        yield scan_contact(atoms, i, j, np.arange(_NEAR * reach, _FAR * reach, STEP), graph.bonds)


def _pairs_to_press(atoms: Atoms, graph: MoleculeGraph) -> list[tuple[int, int]]:
    """For each atom and element, the nearest free partner."""
    distances, near = atoms.get_all_distances(), graph.within_two_bonds()
    chosen: dict[tuple[int, int], tuple[int, int]] = {}
    first, second = np.triu_indices(len(atoms), 1)
    for which in np.argsort(distances[first, second], kind="stable"):
        i, j = int(first[which]), int(second[which])
        keys = [(i, int(atoms.numbers[j])), (j, int(atoms.numbers[i]))]
        if near[i, j] or all(key in chosen for key in keys) or not _is_free(atoms, i, j):
            continue
        for key in keys:
            chosen.setdefault(key, (i, j))
    return sorted(set(chosen.values()))


def _is_free(atoms: Atoms, i: int, j: int) -> bool:
    """Whether the lighter of two atoms can be pressed against the other, other atoms staying clear of it."""
    moved, target = (j, i) if atoms.get_masses()[j] <= atoms.get_masses()[i] else (i, j)
    radii = covalent_radii[atoms.numbers]
    outward = atoms.positions[moved] - atoms.positions[target]
    there = atoms.positions[target] + 0.7 * (radii[i] + radii[j]) * outward / np.linalg.norm(outward)
    others = np.setdiff1d(np.arange(len(atoms)), [i, j])
    distances = np.linalg.norm(atoms.positions[others] - there, axis=1)
    return bool(np.all(distances >= _CLEAR * (radii[moved] + radii[others])))
