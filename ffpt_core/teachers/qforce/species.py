"""Q-Force parameters of the eight species of hydrogen combustion.

Table 1 of Yuan and Head-Gordon (arXiv 2509.14205, 2025), fitted by Q-Force to wB97X-V/cc-pVTZ. Depths of the Morse
bonds are chosen so that a molecule at its minimum lies below its free atoms by its atomisation energy at that level.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class MorseBond:
    """D (1 - exp(-alpha (r - r0)))^2 - D with alpha = sqrt(k / (2 D)), so that k is the curvature at r0.

    The paper prints the exponent without the square root, which has the wrong dimension.

    Args:
        atoms: indices.
        r0: nm.
        k: kJ/mol/nm^2.
        depth: D, kJ/mol.
    """

    atoms: tuple[int, int]
    r0: float
    k: float
    depth: float


@dataclass(frozen=True)
class HarmonicAngle:
    """k / 2 (theta - theta0)^2.

    Args:
        atoms: indices, the vertex in the middle.
        theta0: rad.
        k: kJ/mol/rad^2.
    """

    atoms: tuple[int, int, int]
    theta0: float
    k: float


@dataclass(frozen=True)
class PeriodicDihedral:
    """k (1 + cos(n phi - phase)).

    Args:
        atoms: indices.
        n: periodicity.
        phase: rad.
        k: kJ/mol.
    """

    atoms: tuple[int, int, int, int]
    n: int
    phase: float
    k: float


@dataclass(frozen=True)
class Species:
    """A small molecule, or an atom, with its terms.

    Args:
        name: formula.
        symbols: elements in atom order.
        multiplicity: 2S + 1 of the ground state.
        bonds, angles, dihedrals: the terms.
    """

    name: str
    symbols: tuple[str, ...]
    multiplicity: int
    bonds: tuple[MorseBond, ...] = ()
    angles: tuple[HarmonicAngle, ...] = ()
    dihedrals: tuple[PeriodicDihedral, ...] = ()


_HOOH = (2, 0, 1, 3)

SPECIES: dict[str, Species] = {
    species.name: species
    for species in (
        Species("H", ("H",), 2),
        Species("O", ("O",), 3),
        Species("H2", ("H", "H"), 1, (MorseBond((0, 1), 0.074451338, 352643.84, 450.529259),)),
        Species("O2", ("O", "O"), 3, (MorseBond((0, 1), 0.119614093, 839237.053, 529.522227),)),
        Species("OH", ("O", "H"), 2, (MorseBond((0, 1), 0.097519183, 472095.947, 441.538052),)),
        Species(
            "H2O",
            ("O", "H", "H"),
            1,
            (
                MorseBond((0, 1), 0.096205047, 511168.368, 476.339341),
                MorseBond((0, 2), 0.096205047, 511168.368, 476.339341),
            ),
            (HarmonicAngle((1, 0, 2), 1.83330493, 448.270537),),
        ),
        Species(
            "HO2",
            ("O", "O", "H"),
            2,
            (
                MorseBond((0, 1), 0.131276144, 462105.576, 306.492086),
                MorseBond((0, 2), 0.09757723, 451086.258, 441.538052),
            ),
            (HarmonicAngle((1, 0, 2), 1.84308154, 698.279951),),
        ),
        Species(
            "H2O2",
            ("O", "O", "H", "H"),
            1,
            (
                MorseBond((0, 1), 0.143811214, 316472.666, 234.832386),
                MorseBond((0, 2), 0.096527728, 493591.819, 441.538052),
                MorseBond((1, 3), 0.096527728, 493591.819, 441.538052),
            ),
            (HarmonicAngle((1, 0, 2), 1.73955327, 638.30292), HarmonicAngle((0, 1, 3), 1.73955327, 638.30292)),
            (
                PeriodicDihedral(_HOOH, 1, 0.0, 5.9853054),
                PeriodicDihedral(_HOOH, 2, math.pi, -3.0246061),
                PeriodicDihedral(_HOOH, 3, 0.0, -2.185907),
                PeriodicDihedral(_HOOH, 4, math.pi, 0.650878),
            ),
        ),
    )
}
"""The species by formula."""
