"""Improper torsions of GAFF, atom for atom as tleap assigns them.

An improper of Amber is the dihedral angle a-b-c-d of three atoms a, b, d around their centre c. Which of the
three comes where changes the energy of a bent centre, so the order is part of the force field. OpenMM's
ForceField takes another one in places: gaff-2.11.xml sorts the outer types of an entry by name (ca-ca-ca-br
becomes br-ca-ca-ca), and a general entry such as X-X-c-o may get an ester's other oxygen in the place of o.
The rule here: of the entries that match the most specific one, and of the ways to match it the one with
the lowest atom indices a, then b, then d.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations

from ffpt_core.base.errors import FfptError
from ffpt_core.base.units import CALORIE
from ffpt_core.teachers.gaff.parameters import Entry, gaff_dat, read_entry

_IMPROPER_BLOCK = 4
"""Blocks of a parameter file, parted by blank lines: atom types, bonds, angles, dihedrals, impropers."""


@dataclass(frozen=True)
class Improper:
    """One improper torsion in OpenMM's units.

    Args:
        atoms: indices a, b, c, d; c is the centre.
        periodicity: n.
        phase: radians.
        k: kJ/mol, in E = k (1 + cos(n phi - phase)).
    """

    atoms: tuple[int, int, int, int]
    periodicity: int
    phase: float
    k: float


@lru_cache(maxsize=1)
def gaff_impropers() -> tuple[Entry, ...]:
    """The improper torsions of gaff-2.11.dat; "X" matches any type.

    Raises:
        FfptError: openmmforcefields is missing, or its file is not what it was.
    """
    blocks: list[list[str]] = [[]]
    for line in gaff_dat().read_text().splitlines():
        if line.strip():
            blocks[-1].append(line)
        else:
            blocks.append([])
    if len(blocks) <= _IMPROPER_BLOCK or not blocks[_IMPROPER_BLOCK]:
        raise FfptError(f"{gaff_dat()} has no block of improper torsions")
    return tuple(read_entry("improper", line) for line in blocks[_IMPROPER_BLOCK])


def _order(entry: Entry, outer: Sequence[int], types: Sequence[str]) -> tuple[int, int, int] | None:
    """The outer atoms in the order of entry, lowest indices first, or None where it does not match."""
    wanted = (entry.classes[0], entry.classes[1], entry.classes[3])
    for first, second, last in permutations(sorted(outer)):
        if all(name in ("X", types[atom]) for name, atom in zip(wanted, (first, second, last), strict=True)):
            return first, second, last
    return None


def match(
    centre: int, outer: Sequence[int], types: Sequence[str], entries: Iterable[Entry]
) -> tuple[Entry, tuple[int, int, int]] | None:
    """The entry for a centre and its three neighbours with the order of these, or None.

    Args:
        centre: atom index.
        outer: indices of its three neighbours.
        types: GAFF type of every atom.
        entries: impropers; of equally specific ones the first counts.
    """
    found = None
    for entry in sorted(entries, key=lambda entry: entry.classes.count("X")):
        if entry.classes[2] == types[centre] and found is None:
            order = _order(entry, outer, types)
            found = None if order is None else (entry, order)
    return found


def covered(classes: Sequence[str]) -> bool:
    """Whether GAFF-2.11 has an improper for atom types classes, whose third is the centre."""
    return match(2, (0, 1, 3), classes, gaff_impropers()) is not None


def improper_torsions(
    neighbours: Sequence[Sequence[int]], types: Sequence[str], added: Iterable[Entry] = ()
) -> list[Improper]:
    """The impropers of a molecule.

    Args:
        neighbours: bonded atoms of every atom.
        types: GAFF type of every atom.
        added: entries beside those of GAFF-2.11.

    Raises:
        FfptError: see gaff_impropers.
    """
    entries = [*gaff_impropers(), *(entry for entry in added if entry.kind == "improper")]
    found = []
    for centre, outer in enumerate(neighbours):
        matched = match(centre, outer, types, entries) if len(outer) == 3 else None
        if matched is not None:
            entry, (first, second, last) = matched
            k, phase, periodicity = entry.values
            atoms = (first, second, centre, last)
            found.append(Improper(atoms, abs(round(periodicity)), math.radians(phase), k * CALORIE))
    return found
