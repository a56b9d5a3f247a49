"""The reactions as data: atoms, bonds, variables, structures and inputs agree with one another and the benchmark."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase.io import read
from hypothesis import given
from hypothesis import strategies as st

from ffpt_core.base.errors import FfptError
from ffpt_core.cli.main import main
from ffpt_plumed.reactions.inputs import MetadynamicsSettings, plumed_input
from ffpt_plumed.reactions.records import REACTIONS, Molecule, reaction, side
from ffpt_plumed.reactions.structures import CONTACT, starting_structure
from ffpt_plumed.reactions.variables import CoordinationNumber

BENCHMARK = Path(__file__).parents[3] / "shared" / "data" / "h2combustion"
KCAL = 4.184
numbers = pytest.mark.parametrize("number", list(REACTIONS))


def _formula(symbols: list[str]) -> str:
    counts = {element: symbols.count(element) for element in ("H", "O")}
    return "".join(element + (str(n) if n > 1 else "") for element, n in counts.items() if n)


def test_all_are_there() -> None:
    assert len(REACTIONS) == 21  # 19, of which 6 and 12 on two surfaces
    assert reaction(9) is reaction("09") is REACTIONS["9"]
    assert reaction(6).number == "6b" and reaction("12").number == "12b"
    with pytest.raises(FfptError, match="no reaction 20"):
        reaction(20)


@numbers
def test_molecules_are_made_of_the_atoms(number: str) -> None:
    found = REACTIONS[number]
    for state in (found.reactants, found.products):
        atoms = [atom for molecule in state for atom in molecule.atoms]
        assert sorted(atoms) == list(range(len(found.symbols)))
        for molecule in state:
            symbols = [found.symbols[atom] for atom in molecule.atoms]
            name = {"HO": "OH"}.get(_formula(symbols), _formula(symbols))
            assert name == molecule.species
    assert not set(found.reactive_pairs) - set(found.bonded_pairs)
    assert found.reactive_pairs


@numbers
def test_equation_names_the_molecules(number: str) -> None:
    found = REACTIONS[number]
    for text, state in zip(found.equation.split(" -> "), (found.reactants, found.products), strict=True):
        species = sorted(molecule.species for molecule in state)
        named = [part.split() for part in text.split(" + ")]
        assert sorted(name for *count, name in named for _ in range(int(count[0]) if count else 1)) == species


@numbers
def test_starting_structure_has_the_bonds_and_the_contact(number: str) -> None:
    found = REACTIONS[number]
    for state in (found.reactants, found.products):
        atoms = starting_structure(found, state)
        bonds = {pair for molecule in state for pair in molecule.bonds}
        distances = atoms.get_all_distances()
        longest = {"HH": 0.8, "HO": 1.0, "OO": 1.5}
        apart = []
        for i in range(len(atoms)):
            for j in range(i):
                bonded = distances[i, j] < longest["".join(sorted((found.symbols[i], found.symbols[j])))]
                assert bonded == ((j, i) in bonds)
                if (j, i) in found.bonded_pairs and not bonded:
                    apart.append(distances[i, j])
        # One contact for each molecule after the first; other pairs that will bind are beyond a bond too.
        assert sum(np.isclose(apart, CONTACT)) >= len(state) - 1
        assert np.min(distances[~np.eye(len(atoms), dtype=bool)]) > 0.7


def test_coordination_number_known_values() -> None:
    variable = CoordinationNumber(((0, 1),), 0.97)
    positions = np.array([[[0.0, 0, 0], [0.97, 0, 0]], [[0.0, 0, 0], [1e4, 0, 0]], [[0.0, 0, 0], [0.0, 0, 0]]])
    assert np.allclose(variable(positions), [1.0, 0.0, variable.largest], atol=1e-12)
    step = 1e-6
    stretched = np.array([[[0.0, 0, 0], [0.97 + sign * step, 0, 0]] for sign in (1, -1)])
    assert np.subtract(*variable(stretched)) / (2 * step) == pytest.approx(-1.5, rel=1e-6)


@given(st.lists(st.tuples(*[st.floats(-3, 3)] * 3), min_size=4, max_size=4))
def test_coordination_number_stays_in_its_range(points: list[tuple[float, float, float]]) -> None:
    variable = CoordinationNumber(((0, 1), (0, 2), (2, 3)), 0.97)
    value = variable(np.array(points))
    assert 0 <= value <= variable.largest
    assert value == pytest.approx(variable(np.array(points)[None] + 1.0)[0], rel=1e-9)


@numbers
def test_variables_take_the_published_values_on_the_paths(number: str) -> None:
    name = "12" if number.startswith("12") else number.zfill(3 if number.startswith("6") else 2)
    path = BENCHMARK / f"{name}_irc.npz"
    if not path.exists():
        pytest.skip(f"{path} is not here")
    found = REACTIONS[number]
    with np.load(path) as data:
        positions = data["R"][:, : len(found.symbols)]
        symbols = ["?HxxxxxxO"[z] for z in data["Z"][0][: len(found.symbols)]]
    assert tuple(symbols) == found.symbols
    values = np.stack([variable(positions) for variable in found.variables], axis=1)
    for column, name in ((0, "reactants"), (2, "products")):
        end = np.array([value[column] for value in found.path_values])
        nearest = np.argmin(np.abs(values - end).max(axis=1))
        assert np.abs(values[nearest] - end).max() < 0.012
        if found.barrier is not None:
            assert side(found, values[[nearest]])[0] == name


def test_sides() -> None:
    found = reaction(9)
    reactant, top, product = np.array(found.path_values, dtype=float).T
    assert list(side(found, np.stack([reactant, top, product]))) == ["reactants", "", "products"]
    with pytest.raises(FfptError, match="no barrier"):
        side(reaction(5), np.zeros((1, 1)))


@numbers
def test_input_holds_what_the_reaction_needs(number: str) -> None:
    found = REACTIONS[number]
    text = plumed_input(found, MetadynamicsSettings(height=3, pace=100, bias_factor=20, stride=7))
    assert text.count("DISTANCE ATOMS=") >= len(found.bonded_pairs)
    assert "HEIGHT=3\n  PACE=100" in text and "BIASFACTOR=20 TEMP=300" in text and "STRIDE=7" in text
    assert text.count("CUSTOM ARG=") == len(found.variables)
    highest = max(
        int(index)
        for line in text.splitlines()
        if "ATOMS=" in line
        for index in line.split("=")[1].split()[0].split(",")
    )
    assert highest <= len(found.symbols)


def test_molecule_bonds() -> None:
    assert Molecule("H2O2", (1, 2, 0, 3)).bonds == {(1, 2), (0, 1), (2, 3)}


def test_command_writes_input_and_structure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reactions"]) == 0
    assert main(["reactions", "9", "-o", str(tmp_path)]) == 0
    assert (tmp_path / "plumed.dat").read_text() == plumed_input(reaction(9))
    atoms = read(tmp_path / "start.xyz")
    assert atoms.get_chemical_symbols() == ["O", "O", "H"]
    capsys.readouterr()
    for wrong in (["reactions", "99"], ["reactions", "9", "--from", "nowhere"], ["reactions", "-o", str(tmp_path)]):
        assert main(wrong) == 2
