"""The 19 reactions of hydrogen combustion: atoms, spin, collective variables, molecules before and after.

    reaction = ffpt_plumed.reaction("9")
    reaction.equation                       # "H + O2 -> HO2"

Numbers, multiplicities, atom order and path energies are those of the benchmark of Guan et al., Sci. Data 9, 215
(2022), doi 10.1038/s41597-022-01330-5; the collective variables those of their later work, Nat. Comput. Sci. 3, 965
(2023). Reactions 6 and 12 exist on two spin surfaces (a and b).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ffpt_core.base.errors import FfptError
from ffpt_core.base.units import CALORIE
from ffpt_plumed.reactions.variables import CoordinationNumber


@dataclass(frozen=True)
class Molecule:
    """One molecule of a reaction.

    Args:
        species: its formula, one of the Q-Force species.
        atoms: its atoms in the reaction's numbering, in the order of the species: the vertex first in H2O and HO2
            (O, H, H; O, O, H), and O, O, then the H of each, in H2O2.
    """

    species: str
    atoms: tuple[int, ...]

    @property
    def bonds(self) -> frozenset[tuple[int, int]]:
        """Bonded pairs, the lower index first."""
        return frozenset(_pair(self.atoms[i], self.atoms[j]) for i, j in _BONDS[self.species])


State = tuple[Molecule, ...]
PathValues = tuple[float, float | None, float]


@dataclass(frozen=True)
class Reaction:
    """One reaction on one spin surface.

    Args:
        number: "1" to "19"; "6a", "6b", "12a", "12b" where there are two surfaces.
        equation: what happens.
        multiplicity: 2S + 1.
        symbols: elements in atom order.
        reactants, products: the molecules before and after.
        variables: one or two collective variables.
        path_values: of each variable on the reactants' end of the benchmark's path, at its highest point (None in
            scans, which have none), on the products' end.
        barrier: kJ/mol along the path, in the direction of the equation; None: there is none.
        energy: of the reaction, kJ/mol, between the ends of the path.
    """

    number: str
    equation: str
    multiplicity: int
    symbols: tuple[str, ...]
    reactants: State
    products: State
    variables: tuple[CoordinationNumber, ...]
    path_values: tuple[PathValues, ...]
    barrier: float | None
    energy: float

    @property
    def start(self) -> State:
        """Where a simulation starts: the side that is one molecule, if there is one, else the reactants."""
        return self.products if len(self.products) == 1 else self.reactants

    @property
    def reactive_pairs(self) -> tuple[tuple[int, int], ...]:
        """Pairs that are bonded on one side of the equation only."""
        return tuple(sorted(_bonds(self.reactants) ^ _bonds(self.products)))

    @property
    def bonded_pairs(self) -> tuple[tuple[int, int], ...]:
        """Pairs that are bonded on either side. They connect all atoms."""
        return tuple(sorted(_bonds(self.reactants) | _bonds(self.products)))


_BONDS = {
    "H": (), "O": (), "H2": ((0, 1),), "O2": ((0, 1),), "OH": ((0, 1),),
    "H2O": ((0, 1), (0, 2)), "HO2": ((0, 1), (0, 2)), "H2O2": ((0, 1), (0, 2), (1, 3)),
}  # fmt: skip
"""Of the species, in their own atom order."""


def _pair(i: int, j: int) -> tuple[int, int]:
    return (i, j) if i < j else (j, i)


def _bonds(state: State) -> frozenset[tuple[int, int]]:
    return frozenset().union(*(molecule.bonds for molecule in state))


def _state(text: str) -> State:
    """From "HO2:102 H:3": species and atoms."""
    parts = (part.split(":") for part in text.split())
    return tuple(Molecule(species, tuple(int(atom) for atom in atoms)) for species, atoms in parts)


def _variable(text: str) -> tuple[CoordinationNumber, PathValues]:
    """From "02 12 @ 0.97 | 1.0 0.7 0.1": pairs, mu in Angstrom, values along the path."""
    definition, values = text.split("|")
    pairs, mu = definition.split("@")
    first, top, last = values.split()
    atoms = tuple((int(pair[0]), int(pair[1])) for pair in pairs.split())
    return CoordinationNumber(atoms, float(mu)), (float(first), None if top == "-" else float(top), float(last))


def _reaction(
    number: str,
    equation: str,
    multiplicity: int,
    symbols: str,
    reactants: str,
    products: str,
    variables: Iterable[str],
    barrier: float | None,
    energy: float,
) -> Reaction:
    """Energies are given in kcal/mol, as the benchmark has them."""
    parsed = [_variable(text) for text in variables]
    return Reaction(
        number, equation, multiplicity, tuple(symbols), _state(reactants), _state(products),
        tuple(variable for variable, _ in parsed), tuple(values for _, values in parsed),
        None if barrier is None else barrier * CALORIE, energy * CALORIE,
    )  # fmt: skip


REACTIONS: dict[str, Reaction] = {
    reaction.number: reaction
    for reaction in (
        _reaction("1", "OH + O -> H + O2", 4, "OOH", "OH:12 O:0", "O2:01 H:2",
                  ("01 @ 1.45 | 0.286 1.051 1.363", "02 @ 2.0 | 0.091 0.272 0.008"), 22.87, -22.98),
        _reaction("2", "O + H2 -> OH + H", 3, "HOH", "H2:02 O:1", "OH:10 H:2",
                  ("02 @ 0.741 | 0.997 0.744 0.110", "01 12 @ 0.97 | 0.092 0.753 1.001"), 9.11, 2.07),
        _reaction("3", "H2 + OH -> H2O + H", 2, "HHHO", "H2:01 OH:32", "H2O:312 H:0",
                  ("01 02 12 @ 0.741 | 1.009 0.981 0.213", "03 13 23 @ 0.97 | 1.035 1.542 2.034"), 3.89, -13.13),
        _reaction("4", "H2O + O -> 2 OH", 3, "HOHO", "H2O:102 O:3", "OH:10 OH:32",
                  ("23 @ 0.96 | 0.045 0.822 0.971", "12 @ 0.96 | 0.999 0.573 0.123"), 15.97, 12.93),
        _reaction("5", "H2 -> 2 H", 1, "HH", "H2:01", "H:0 H:1",
                  ("01 @ 0.74 | 0.985 - 0.002",), None, 107.68),
        _reaction("6a", "O2 -> 2 O", 1, "OO", "O2:01", "O:0 O:1",
                  ("01 @ 1.21 | 1.015 - 0.000",), None, 115.65),
        _reaction("6b", "O2 -> 2 O", 3, "OO", "O2:01", "O:0 O:1",
                  ("01 @ 1.21 | 1.015 - 0.000",), None, 126.56),
        _reaction("7", "OH -> O + H", 2, "OH", "OH:01", "O:0 H:1",
                  ("01 @ 0.96 | 1.015 - 0.000",), None, 105.53),
        # The benchmark's second variable of reaction 8 is the bond that stays.
        _reaction("8", "H + OH -> H2O", 1, "OHH", "OH:02 H:1", "H2O:012",
                  ("02 01 @ 0.96 | 0.985 - 2.000",), None, -121.23),
        _reaction("9", "H + O2 -> HO2", 2, "OOH", "O2:01 H:2", "HO2:012",
                  ("02 @ 0.97 | 0.026 0.134 0.994", "12 @ 0.97 | 0.004 0.015 0.139"), 1.43, -52.83),
        _reaction("10", "HO2 + H -> H2 + O2", 3, "OOHH", "HO2:102 H:3", "O2:01 H2:23",
                  ("12 @ 0.97 | 0.988 0.923 0.023", "13 @ 1.5 | 0.044 0.144 0.013"), 1.32, -55.81),
        _reaction("11", "HO2 + H -> 2 OH", 3, "HOOH", "HO2:120 H:3", "OH:10 OH:23",
                  ("12 @ 1.45 | 1.201 1.007 0.022", "01 02 13 23 @ 0.97 | 1.153 1.569 2.059"), 16.40, -37.37),
        _reaction("12a", "HO2 + O -> OH + O2", 2, "OOHO", "HO2:012 O:3", "O2:01 OH:32",
                  ("02 12 @ 0.96 | 1.113 1.019 0.068", "23 @ 0.96 | 0.090 0.370 0.980"), 5.03, -39.81),
        _reaction("12b", "HO2 + O -> OH + O2", 4, "OOHO", "HO2:012 O:3", "O2:01 OH:32",
                  ("23 @ 0.96 | 0.117 0.420 0.981", "13 @ 2.0 | 0.311 0.552 0.131"), 4.05, -49.09),
        _reaction("13", "HO2 + OH -> H2O + O2", 3, "OOHHO", "HO2:012 OH:43", "O2:01 H2O:423",
                  ("04 @ 1.8 | 0.102 0.214 0.038", "24 @ 0.97 | 0.123 0.308 1.016"), 2.70, -61.78),
        _reaction("14", "2 HO2 -> H2O2 + O2", 3, "HOOHOO", "HO2:120 HO2:453", "H2O2:1203 O2:45",
                  ("23 @ 0.97 | 0.146 0.485 1.006", "24 @ 2.0 | 0.207 0.468 0.091"), 10.53, -23.94),
        _reaction("15", "H2O2 -> 2 OH", 1, "OHHO", "H2O2:0312", "OH:01 OH:32",
                  ("02 @ 1.87 | 0.999 0.371 0.355", "03 @ 1.21 | 0.680 0.020 0.012"), 51.23, 50.96),
        _reaction("16", "H2O2 + H -> H2O + OH", 2, "HOOHH", "H2O2:1203 H:4", "OH:10 H2O:234",
                  ("24 @ 0.97 | 0.021 0.296 1.016", "14 @ 2.5 | 0.032 0.319 0.048"), 7.62, -72.85),
        _reaction("17", "H2O2 + H -> HO2 + H2", 2, "OOHHH", "H2O2:0123 H:4", "HO2:012 H2:34",
                  ("34 @ 0.741 | 0.058 0.586 0.997", "14 @ 1.5 | 0.033 0.264 0.019"), 6.26, -19.99),
        _reaction("18", "H2O2 + O -> HO2 + OH", 3, "OOHHO", "H2O2:0123 O:4", "HO2:012 OH:43",
                  ("14 @ 2.0 | 0.106 0.591 0.137", "34 @ 0.97 | 0.066 0.529 0.992"), 6.15, -18.18),
        _reaction("19", "H2O2 + OH -> H2O + HO2", 2, "OOHHOH", "H2O2:0132 OH:45", "HO2:102 H2O:435",
                  ("02 03 05 @ 0.97 | 1.132 1.056 0.199", "24 34 45 @ 0.97 | 1.080 1.440 2.027"), 4.30, -29.70),
    )
}  # fmt: skip
"""All of them by number."""


def reaction(number: str | int) -> Reaction:
    """The reaction of a number: 9, "9", "12b".

    6 and 12 mean the surfaces that are lower at the ends of their paths, "6b" and "12b".

    Raises:
        FfptError: there is none.
    """
    name = str(number).strip().lower().lstrip("0")
    name = {"6": "6b", "12": "12b"}.get(name, name)
    if name not in REACTIONS:
        raise FfptError(f"no reaction {number}: there are {', '.join(REACTIONS)} ('ffpt reactions' lists them)")
    return REACTIONS[name]


def side(reaction: Reaction, values: np.ndarray) -> np.ndarray:
    """On which side of a reaction frames are, by their collective variables.

    The test of Guan et al. (2023): every variable is closer to its value at an end of the path than a fifth of the
    way from there to the highest point.

    Args:
        reaction: one with a highest point, so not 5 to 8.
        values: (n_frames, n_variables) of the collective variables.

    Returns:
        (n_frames,) "reactants", "products" or "".

    Raises:
        FfptError: the path has no highest point.
    """
    if any(top is None for _, top, _ in reaction.path_values):
        raise FfptError(
            f"reaction {reaction.number} has no barrier: its sides are told by the molecules, not by variables"
        )
    reactant, top, product = np.array(reaction.path_values, dtype=float).T
    found = np.full(len(values), "", dtype="<U9")
    for name, end in (("products", product), ("reactants", reactant)):
        found[np.all(np.abs(values - end) < 0.2 * np.abs(end - top), axis=1)] = name
    return found
