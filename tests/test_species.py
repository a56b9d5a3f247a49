"""Molecules told from bonds: known geometries, permutations, rotations, and what each reaction allows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from ffpt_core.errors import FfptError
from ffpt_plumed.reactions import REACTIONS, reaction
from ffpt_plumed.species import SpeciesCriterion, allowed_species, count_species, species_of
from ffpt_plumed.structures import starting_structure

numbers = pytest.mark.parametrize("number", list(REACTIONS))


@numbers
def test_starting_structures_are_their_molecules(number: str) -> None:
    found = REACTIONS[number]
    for state in (found.reactants, found.products):
        positions = starting_structure(found, state).positions[None]
        expected = " + ".join(sorted(molecule.species for molecule in state))
        assert species_of(found.symbols, positions)[0] == expected
        assert expected in allowed_species(found)
        assert SpeciesCriterion.from_reaction(found).check(positions) is None


@given(seed=st.integers(0, 10_000))
def test_species_do_not_depend_on_order_or_orientation(seed: int) -> None:
    rng = np.random.default_rng(seed)
    symbols = np.array(["H", "O", "O", "H", "H", "O"])
    positions = rng.uniform(-1.5, 1.5, (5, 6, 3))
    order = rng.permutation(6)
    turned = positions @ Rotation.random(rng=rng).as_matrix().T + rng.normal(size=3)
    expected = species_of(list(symbols), positions)
    assert list(species_of(list(symbols[order]), turned[:, order])) == list(expected)


def test_a_molecule_that_falls_apart() -> None:
    found = reaction(9)
    start = starting_structure(found)
    frames = np.stack([start.positions] * 4)
    frames[1, 2] += [0, 0, 5.0]  # H leaves: allowed
    frames[2, 1] += [0, 0, 5.0]  # O leaves: not
    frames[3] *= 5.0
    counted = count_species(found, frames, np.array([0.0, 1.0, 2.0, 3.0]))
    assert list(counted.species) == ["HO2", "H + O2", "O + OH", "H + O + O"]
    assert list(counted.unphysical) == [False, False, True, True]
    record = counted.to_dict()
    assert record["first_unphysical_ps"] == 2.0 and record["unphysical_fraction"] == 0.5
    assert record["allowed"] == ["H + O2", "HO2"]
    failure = SpeciesCriterion.from_reaction(found).check(frames)
    assert failure is not None and failure.frame == 2 and "O + OH" in failure.reason
    frames[1, 0, 0] = np.nan
    failure = SpeciesCriterion.from_reaction(found).check(frames)
    assert failure is not None and failure.frame == 1 and "finite" in failure.reason


def test_what_reactions_allow() -> None:
    assert allowed_species(reaction(3)) == {"H2 + OH", "H + H2O", "H3O"}
    assert allowed_species(reaction(14)) == {"HO2 + HO2", "H2O2 + O2", "H2O4"}
    assert allowed_species(reaction(15)) == {"H2O2", "OH + OH"}


def test_wrong_input() -> None:
    with pytest.raises(FfptError, match="not for C"):
        species_of(["C"], np.zeros((1, 1, 3)))
    with pytest.raises(FfptError, match="shape"):
        species_of(["H", "O"], np.zeros((1, 3, 3)))
    with pytest.raises(FfptError, match="no frames"):
        count_species(reaction(9), np.zeros((0, 3, 3)), np.zeros(0))
