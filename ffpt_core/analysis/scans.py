"""Geometries along one bond, angle, dihedral or contact, everything else kept rigid.

A rigid scan asks a potential about geometries that its training frames never held, which is where holes
are found: a bond pulled out, an angle folded, two atoms pushed together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import covalent_radii

from ffpt_core.base.errors import FfptError
from ffpt_core.structure.graph import MoleculeGraph

LENGTHS = np.round(np.arange(0.60, 3.2001, 0.05), 4)
"""Default bond lengths and contact distances in Angstrom."""

ANGLES = np.arange(30.0, 180.1, 3.0)
"""Default angles in degrees."""

DIHEDRALS = np.arange(-180.0, 180.1, 5.0)
"""Default dihedral angles in degrees."""


@dataclass(frozen=True, eq=False)
class Scan:
    """Geometries along one internal coordinate.

    Args:
        kind: "bond", "angle", "dihedral" or "contact".
        atoms: the two, three or four atom indices (from 0) that define the coordinate.
        values: (n,) values of the coordinate, in unit.
        geometries: the n geometries in Angstrom, without calculators.
        start: the geometry that was displaced.
        start_value: the coordinate there, in unit.
        moved: indices of the atoms that were displaced, as one rigid body unless note says otherwise.
        note: what a reader must know about the displacement, or "".
        closest: (n,) how near atoms that moved come to others that they are three bonds or more away from: the
            shortest distance over the sum of covalent radii, without the two atoms of a contact. Infinite where there
            are none.
    """

    kind: str
    atoms: tuple[int, ...]
    values: np.ndarray
    geometries: list[Atoms]
    start: Atoms
    start_value: float
    moved: tuple[int, ...]
    note: str = ""
    closest: np.ndarray = field(default_factory=lambda: np.zeros(0))

    @property
    def unit(self) -> str:
        """The unit of the values: Angstrom or degrees."""
        return "Angstrom" if self.kind in ("bond", "contact") else "degrees"

    @property
    def name(self) -> str:
        """Such as "bond C0-H13": symbols with indices counted from 0."""
        return f"{self.kind} " + "-".join(f"{self.start.symbols[index]}{index}" for index in self.atoms)

    def to_dict(self) -> dict[str, Any]:
        """The scan without its geometries."""
        return {
            "name": self.name,
            "kind": self.kind,
            "atoms": list(self.atoms),
            "unit": self.unit,
            "values": self.values,
            "start_value": self.start_value,
            "moved": list(self.moved),
            "note": self.note,
        }


def scan_bond(
    atoms: Atoms, i: int, j: int, lengths: Iterable[float] = LENGTHS, bonds: np.ndarray | None = None
) -> Scan:
    """Stretch the bond i-j: the smaller of the two fragments it joins is translated along it.

    A bond in a ring joins no two fragments. There both atoms move apart symmetrically along the bond,
    each with the fragments that hang on it alone, and the scan's note says so.

    Args:
        atoms: start geometry in Angstrom (isolated molecule).
        i: one atom, counted from 0.
        j: the other.
        lengths: bond lengths in Angstrom.
        bonds: (n_bonds, 2) atom indices; None finds them in the start geometry.

    Raises:
        FfptError: i and j are not bonded, or not in the molecule.
    """
    graph = _graph(atoms, bonds, (i, j))
    if j not in graph.neighbours[i]:
        raise FfptError(f"atoms {i} and {j} are not bonded; scan_contact brings together any two atoms")
    direction, start_value = _direction(atoms.positions[i], atoms.positions[j])
    beyond = graph.reachable(j, without=i)
    values = np.array(list(lengths), dtype=float)
    if graph.in_ring(i, j):
        parts = (graph.hanging(i, j), graph.hanging(j, i))
        shares = [(parts[0], -0.5), (parts[1], 0.5)]
        note = "ring bond: both atoms move apart along it, each with what hangs on it alone"
    else:
        rest = graph.reachable(i, without=j)
        part, sign = (beyond, 1.0) if len(beyond) <= len(rest) else (rest, -1.0)
        shares, note = [(part, sign)], ""

    def displace(positions: np.ndarray, value: float) -> None:
        for part, share in shares:
            positions[sorted(part)] += share * (value - start_value) * direction

    moved = sorted(set().union(*(part for part, _ in shares)))
    return _scan("bond", (i, j), atoms, graph, values, start_value, moved, displace, note)


def scan_angle(
    atoms: Atoms, i: int, j: int, k: int, degrees: Iterable[float] = ANGLES, bonds: np.ndarray | None = None
) -> Scan:
    """Open and close the angle i-j-k: the smaller terminal fragment turns about j in the plane of the three.

    Args:
        atoms: start geometry in Angstrom (isolated molecule).
        i: one end, counted from 0.
        j: the atom in the middle, bonded to both others.
        k: the other end.
        degrees: angles between 0 and 180.
        bonds: (n_bonds, 2) atom indices; None finds them in the start geometry.

    Raises:
        FfptError: j is not bonded to both, or the three are part of one ring.
    """
    graph = _graph(atoms, bonds, (i, j, k))
    if i not in graph.neighbours[j] or k not in graph.neighbours[j]:
        raise FfptError(f"angle {i}-{j}-{k}: atom {j} is not bonded to both others")
    sides = turning_sides(graph, i, j, k)
    if not sides:
        raise FfptError(f"angle {i}-{j}-{k} is part of a ring: neither side can turn about atom {j}")
    end = min(sides, key=lambda one: len(sides[one]))
    moved = sorted(sides[end])
    centre = atoms.positions[j]
    arms = atoms.positions[[i, k]] - centre
    start_value = float(np.degrees(_angle(arms[0], arms[1])))
    axis = np.cross(arms[0], arms[1]) if end == k else np.cross(arms[1], arms[0])
    axis = _unit_or_perpendicular(axis, arms[0])

    def displace(positions: np.ndarray, value: float) -> None:
        positions[moved] = centre + (positions[moved] - centre) @ _rotation(axis, np.radians(value - start_value)).T

    return _scan("angle", (i, j, k), atoms, graph, np.array(list(degrees), dtype=float), start_value, moved, displace)


def turning_sides(graph: MoleculeGraph, i: int, j: int, k: int) -> dict[int, set[int]]:
    """The terminal fragments of the angle i-j-k that can turn about j, by their atom next to it (k first).

    Empty where the three are part of one ring.
    """
    sides = {end: graph.reachable(end, without=j) for end in (k, i)}
    # A fragment that holds other neighbours of the central atom is a ring, which turns about it where nothing else can.
    chains = {end: fragment for end, fragment in sides.items() if len(graph.neighbours[j] & fragment) == 1}
    return chains or ({} if i in sides[k] else sides)


def scan_ring_angle(
    atoms: Atoms, i: int, j: int, k: int, degrees: Iterable[float] = ANGLES, bonds: np.ndarray | None = None
) -> Scan:
    """Open and close the angle i-j-k of a ring: its corner j moves to or from the line i-k, in the plane of the three.

    What hangs on j alone moves with it. The bonds i-j and j-k change their lengths too, and the scan's note says so.

    Args:
        atoms: start geometry in Angstrom (isolated molecule).
        i: one neighbour in the ring, counted from 0.
        j: the corner.
        k: the other neighbour.
        degrees: angles between 0 and 180, 0 excluded.
        bonds: (n_bonds, 2) atom indices; None finds them in the start geometry.

    Raises:
        FfptError: j is not bonded to both, the three are not part of one ring, or they are in line.
    """
    graph = _graph(atoms, bonds, (i, j, k))
    if not {i, k} <= graph.neighbours[j] or i not in graph.reachable(k, without=j):
        raise FfptError(f"angle {i}-{j}-{k} is not one of a ring: scan_angle turns one of its sides")
    line, length = _direction(atoms.positions[i], atoms.positions[k])
    arm = atoms.positions[j] - atoms.positions[i]
    before = float(arm @ line)
    after = length - before
    outward, start_height = _direction(before * line, arm)
    moved = sorted(graph.hanging(j, i))
    values = np.array(list(degrees), dtype=float)

    def displace(positions: np.ndarray, value: float) -> None:
        positions[moved] += (_height(before, after, np.radians(value)) - start_height) * outward

    note = f"ring: atom {atoms.symbols[j]}{j} moves with what hangs on it alone, and its bonds change their lengths"
    return _scan("angle", (i, j, k), atoms, graph, values, atoms.get_angle(i, j, k), moved, displace, note)


def _height(before: float, after: float, angle: float) -> float:
    """How far from a line a point lies that sees so much of it, before and after its foot, under an angle (radians).

    The tangent of the angle is (before + after) h / (h^2 - before after).
    """
    half = 0.5 * (before + after) * np.cos(angle)
    root = np.sqrt(half**2 + before * after * np.sin(angle) ** 2)
    # Two forms of one solution: neither takes the difference of nearly equal numbers.
    return float((half + root) / np.sin(angle) if half > 0 else before * after * np.sin(angle) / (root - half))


def scan_dihedral(
    atoms: Atoms, i: int, j: int, k: int, m: int, degrees: Iterable[float] = DIHEDRALS, bonds: np.ndarray | None = None
) -> Scan:
    """Turn the smaller side of the bond j-k about it, to given dihedral angles i-j-k-m.

    Args:
        atoms: start geometry in Angstrom (isolated molecule).
        i: first of four atoms bonded in this order, counted from 0.
        j: second.
        k: third.
        m: fourth.
        degrees: dihedral angles between -180 and 180 (IUPAC sign).
        bonds: (n_bonds, 2) atom indices; None finds them in the start geometry.

    Raises:
        FfptError: the four are not bonded in this order, or j-k is part of a ring.
    """
    graph = _graph(atoms, bonds, (i, j, k, m))
    if j not in graph.neighbours[i] or k not in graph.neighbours[j] or m not in graph.neighbours[k]:
        raise FfptError(f"dihedral {i}-{j}-{k}-{m}: these atoms are not bonded in this order")
    if graph.in_ring(j, k):
        raise FfptError(f"dihedral {i}-{j}-{k}-{m}: the bond {j}-{k} is part of a ring and cannot turn")
    start_value = _signed(atoms.get_dihedral(i, j, k, m))
    axis, _ = _direction(atoms.positions[j], atoms.positions[k])
    far, near = graph.reachable(k, without=j), graph.reachable(j, without=k)
    part, sign = (far, 1.0) if len(far) <= len(near) else (near, -1.0)
    moved, centre = sorted(part), atoms.positions[j]

    def displace(positions: np.ndarray, value: float) -> None:
        turn = _rotation(axis, sign * np.radians(value - start_value))
        positions[moved] = centre + (positions[moved] - centre) @ turn.T

    return _scan(
        "dihedral", (i, j, k, m), atoms, graph, np.array(list(degrees), dtype=float), start_value, moved, displace
    )


def scan_contact(
    atoms: Atoms, i: int, j: int, distances: Iterable[float] | None = None, bonds: np.ndarray | None = None
) -> Scan:
    """Push two atoms that are not bonded together along the line between them.

    In different molecules, the smaller molecule is translated whole, so that nothing but the contact
    changes. Within one molecule no rigid fragment can do that, so one atom moves alone, the lighter one
    (j where they weigh the same), and the scan's note says so: its own bonds change too, which makes the
    energies those of a collision, not of a contact alone.

    Args:
        atoms: start geometry in Angstrom (no periodic images).
        i: one atom, counted from 0.
        j: the other.
        distances: in Angstrom; None: from 0.4 to the start distance or 3, whichever is longer.
        bonds: (n_bonds, 2) atom indices; None finds them in the start geometry.

    Raises:
        FfptError: the two are bonded, or not in the system.
    """
    graph = _graph(atoms, bonds, (i, j))
    if j in graph.neighbours[i]:
        raise FfptError(f"atoms {i} and {j} are bonded; scan_bond changes their distance")
    direction, start_value = _direction(atoms.positions[i], atoms.positions[j])
    mine, other = graph.reachable(i), graph.reachable(j)
    note = ""
    if j in mine:
        part = {j} if atoms.get_masses()[j] <= atoms.get_masses()[i] else {i}
        note = f"atom {atoms.symbols[min(part)]}{min(part)} moves alone: its bonds change too"
    else:
        part = other if len(other) <= len(mine) else mine
    moved, sign = sorted(part), 1.0 if j in part else -1.0
    last = max(3.0, np.ceil(start_value / 0.05) * 0.05)
    values = np.arange(0.4, last + 0.025, 0.05) if distances is None else np.array(list(distances))

    def displace(positions: np.ndarray, value: float) -> None:
        positions[moved] += sign * (value - start_value) * direction

    return _scan("contact", (i, j), atoms, graph, values.astype(float), start_value, moved, displace, note)


def _scan(
    kind: str,
    indices: tuple[int, ...],
    atoms: Atoms,
    graph: MoleculeGraph,
    values: np.ndarray,
    start_value: float,
    moved: list[int],
    displace: Callable[[np.ndarray, float], None],
    note: str = "",
) -> Scan:
    """The scan whose geometries displace() makes, in place, from the start positions."""
    if not len(values) or not np.all(np.isfinite(values)):
        raise FfptError(f"a {kind} scan needs one value or more, all finite")
    start = Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc, info=dict(atoms.info))
    geometries = []
    for value in values:
        geometry = start.copy()
        displace(geometry.positions, float(value))
        geometries.append(geometry)
    closest = _closest(geometries, moved, graph, indices if kind == "contact" else ())
    return Scan(kind, indices, values, geometries, start, float(start_value), tuple(moved), note, closest)


def _closest(geometries: list[Atoms], moved: list[int], graph: MoleculeGraph, but: tuple[int, ...] = ()) -> np.ndarray:
    """See Scan.closest. The pair of atoms in but does not count."""
    rest = np.setdiff1d(np.arange(len(graph.neighbours)), moved)
    near = graph.within_two_bonds()[np.ix_(np.array(moved), rest)]
    if but:
        near |= np.isin(moved, but)[:, None] & np.isin(rest, but)
    radii = covalent_radii[geometries[0].numbers]
    sums = np.where(near, np.nan, radii[moved][:, None] + radii[rest])
    if np.isnan(sums).all():
        return np.full(len(geometries), np.inf)
    positions = np.array([geometry.positions for geometry in geometries])
    distances = np.linalg.norm(positions[:, moved, None] - positions[:, None, rest], axis=-1)
    return np.asarray(np.nanmin(distances / sums, axis=(1, 2)))


def _graph(atoms: Atoms, bonds: np.ndarray | None, named: tuple[int, ...]) -> MoleculeGraph:
    graph = MoleculeGraph(atoms, bonds)
    graph.check(named)
    return graph


def _direction(start: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, float]:
    vector = end - start
    length = float(np.linalg.norm(vector))
    if length < 1e-6:
        raise FfptError("two atoms of the scan lie on one another in the start geometry")
    return vector / length, length


def _angle(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.arctan2(np.linalg.norm(np.cross(first, second)), first @ second))


def _signed(degrees: float) -> float:
    return (degrees + 180.0) % 360.0 - 180.0


def _unit_or_perpendicular(axis: np.ndarray, arm: np.ndarray) -> np.ndarray:
    """axis with length one; where three atoms are in line and have no plane, any axis across the line."""
    if np.linalg.norm(axis) < 1e-6 * (arm @ arm):
        axis = np.cross(arm, np.eye(3)[np.argmin(np.abs(arm))])
    return axis / np.linalg.norm(axis)


def _rotation(axis: np.ndarray, angle: float) -> np.ndarray:
    """Matrix that turns vectors by angle (radians) about a unit axis, right-handed (Rodrigues)."""
    x, y, z = axis
    skew = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.eye(3) + np.sin(angle) * skew + (1.0 - np.cos(angle)) * skew @ skew
