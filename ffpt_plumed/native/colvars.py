"""Collective variables as OpenMM forces whose energy is their value."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from ffpt_plumed.native.keywords import KERNEL_HINT, Keywords
from ffpt_plumed.native.switching import coordination_switch, cutoff
from ffpt_plumed.native.translation import Translation
from ffpt_plumed.native.values import ANGLE_PERIOD

if TYPE_CHECKING:
    from openmm import Force


def read_distance(keywords: Keywords, translation: Translation) -> None:
    """DISTANCE ATOMS=i,j, or its COMPONENTS x, y, z from i to j."""
    atoms = keywords.atoms("ATOMS", 2)
    periodic = _periodic(keywords, translation)
    label, scale = keywords.action.label, 1.0 / translation.units.length
    if not keywords.flag("COMPONENTS"):
        translation.add_colvar(label, atoms, _bonds(f"{scale!r}*r", [(atoms[0], atoms[1])], periodic), periodic)
        return
    if periodic:
        # OpenMM's expressions see coordinates, not the nearest image of one atom to the other.
        raise keywords.error(f"COMPONENTS in a box need NOPBC natively; {KERNEL_HINT}", "COMPONENTS")
    for axis in "xyz":
        translation.add_colvar(f"{label}.{axis}", atoms, _compound(f"{scale!r}*({axis}2-{axis}1)", atoms), False)


def read_angle(keywords: Keywords, translation: Translation) -> None:
    """ANGLE ATOMS=i,j,k in radians."""
    atoms = keywords.atoms("ATOMS", 3)
    periodic = _periodic(keywords, translation)

    def build(index: Mapping[int, int]) -> Force:
        from openmm import CustomAngleForce

        force = CustomAngleForce("theta")
        force.addAngle(*(index[atom] for atom in atoms), [])
        force.setUsesPeriodicBoundaryConditions(periodic)
        return force

    translation.add_colvar(keywords.action.label, atoms, build, periodic)


def read_torsion(keywords: Keywords, translation: Translation) -> None:
    """TORSION ATOMS=i,j,k,l in radians, periodic, or its COSINE."""
    atoms = keywords.atoms("ATOMS", 4)
    periodic = _periodic(keywords, translation)
    cosine = keywords.flag("COSINE")

    def build(index: Mapping[int, int]) -> Force:
        from openmm import CustomTorsionForce

        force = CustomTorsionForce("cos(theta)" if cosine else "theta")
        force.addTorsion(*(index[atom] for atom in atoms), [])
        force.setUsesPeriodicBoundaryConditions(periodic)
        return force

    translation.add_colvar(keywords.action.label, atoms, build, periodic, None if cosine else ANGLE_PERIOD)


def read_coordination(keywords: Keywords, translation: Translation) -> None:
    """COORDINATION: the sum of a switching function over pairs of atoms."""
    first = keywords.atoms("GROUPA")
    second = keywords.atoms("GROUPB") if keywords.has("GROUPB") else None
    periodic = _periodic(keywords, translation)
    expression = coordination_switch(keywords)
    _read_neighbour_list(keywords)
    keywords.flag("SERIAL")
    if keywords.flag("PAIR"):
        if second is None or len(first) != len(second):
            raise keywords.error("PAIR needs as many atoms in GROUPB as in GROUPA", "PAIR")
        pairs = list(zip(first, second, strict=True))
    elif second is None:
        pairs = [(i, j) for k, i in enumerate(first) for j in first[k + 1 :]]
    else:
        pairs = [(i, j) for i in first for j in second]
    # As PLUMED: an atom is no neighbour of itself, and a pair that is in both orders counts twice.
    pairs = [(i, j) for i, j in pairs if i != j]
    if not pairs:
        raise keywords.error("there is no pair of atoms")
    translation.add_colvar(
        keywords.action.label,
        [atom for pair in pairs for atom in pair],
        _bonds(f"{expression}; u={1.0 / translation.units.length!r}*r", pairs, periodic),
        periodic,
    )


def _read_neighbour_list(keywords: Keywords) -> None:
    """A neighbour list that drops nothing is a matter of speed, which is not that of all pairs on a GPU."""
    if not (keywords.flag("NLIST") | keywords.flag("NLISTCELLS")):
        return
    keywords.positive("NL_STRIDE")
    longest, d_max = keywords.number("NL_CUTOFF"), cutoff(keywords)
    if d_max is None or longest < d_max:
        raise keywords.error(
            f"NLIST leaves out pairs that count, unless SWITCH has a D_MAX up to NL_CUTOFF; {KERNEL_HINT}", "NL_CUTOFF"
        )


def _periodic(keywords: Keywords, translation: Translation) -> bool:
    return not keywords.flag("NOPBC") and translation.periodic


def _bonds(expression: str, pairs: Sequence[tuple[int, int]], periodic: bool) -> Callable[[Mapping[int, int]], Force]:
    def build(index: Mapping[int, int]) -> Force:
        from openmm import CustomBondForce

        force = CustomBondForce(expression)
        for i, j in pairs:
            force.addBond(index[i], index[j], [])
        force.setUsesPeriodicBoundaryConditions(periodic)
        return force

    return build


def _compound(expression: str, atoms: Sequence[int]) -> Callable[[Mapping[int, int]], Force]:
    def build(index: Mapping[int, int]) -> Force:
        from openmm import CustomCompoundBondForce

        force = CustomCompoundBondForce(len(atoms), expression)
        force.addBond([index[atom] for atom in atoms], [])
        return force

    return build
