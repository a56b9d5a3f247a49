"""g(r): 1 for ideal gases, shells of a lattice, molecules left out or counted, errors of known size."""

from __future__ import annotations

import json

import mdtraj
import numpy as np
import pytest
from ase import Atoms
from hypothesis import given, settings
from hypothesis import strategies as st
from liquid_examples import EDGE, atoms, ideal_gas, trajectory, water

from ffpt_core.analysis import RadialDistribution, radial_distributions, rdf_error
from ffpt_core.analysis.liquids import dataset_trajectory, half_width, molecule_labels, water_molecules
from ffpt_core.analysis.pair_counts import bin_edges
from ffpt_core.analysis.rdf_plot import plot_rdfs
from ffpt_core.base.errors import FfptError
from ffpt_core.base.files import to_json
from ffpt_core.datasets import Dataset
from ffpt_core.structure.trajectory_files import with_box

CUBE = 18.0 * np.eye(3)
TILTED = np.array([[18.0, 0.0, 0.0], [5.0, 17.0, 0.0], [-4.0, 3.0, 16.0]])
BREATHING = np.linspace(0.8, 1.25, 150)[:, None, None] * CUBE


@pytest.mark.parametrize("cells", [CUBE, TILTED, BREATHING], ids=["cube", "tilted", "breathing"])
def test_ideal_gas_is_one_within_its_error(cells: np.ndarray) -> None:
    gas = ideal_gas(np.broadcast_to(cells, (150, 3, 3)))
    found = radial_distributions(gas, bin_edges(half_width(gas), 0.3))["Ar-Ar"]
    far = found.centres > 1.5
    scaled = (found.g[far] - 1.0) / found.error[far]
    # Student's t with 9 degrees of freedom has the variance 9/7.
    assert 0.5 < np.mean(scaled**2) < 2.6
    assert np.mean(found.g[far]) == pytest.approx(1.0, abs=0.01)


def test_agrees_with_mdtraj() -> None:
    gas = ideal_gas(BREATHING)
    found = radial_distributions(gas, bin_edges(7.0, 0.1), intramolecular=True)["Ar-Ar"]
    pairs = gas.topology.select_pairs("all", "all")
    _, g = mdtraj.compute_rdf(gas, pairs, r_range=(0.0, 0.7), n_bins=len(found.g))
    # Single-precision distances at the limits of bins may fall on either side.
    np.testing.assert_allclose(found.g, g, atol=0.02)
    assert np.mean(np.abs(found.g - g)) < 1e-4


def test_lattice_has_its_shells_and_coordination_numbers() -> None:
    grid = 3.0 * np.stack(np.meshgrid(*[np.arange(5)] * 3), axis=-1).reshape(1, -1, 3)
    found = radial_distributions(atoms(grid, 15.0 * np.eye(3)), bin_edges(7.5, 0.05), intramolecular=True)["Ar-Ar"]
    shells = 3.0 * np.sqrt([1, 2, 3, 4, 5, 6])
    # A shell at the limit of two bins fills both.
    distance = np.abs(found.centres[found.g > 0, None] - shells)
    assert distance.min(axis=1).max() < 0.0251 and distance.min(axis=0).max() < 0.0251
    within = np.interp([2.9, 3.1, 4.4, 5.3, 6.1, 6.8, 7.45], found.edges[1:], found.coordination)
    np.testing.assert_allclose(within, [0, 6, 18, 26, 32, 56, 80], atol=1e-9)


def test_pairs_within_molecules_are_left_out_or_counted() -> None:
    box = water(20)
    between, everything = radial_distributions(box), radial_distributions(box, intramolecular=True)
    assert list(between) == ["O-O", "O-H", "H-H"]
    near = between["O-H"].edges[1:] < 1.2
    assert not between["O-H"].g[near].any()
    assert everything["O-H"].coordination[near][-1] == pytest.approx(2.0)
    assert everything["H-H"].g[everything["H-H"].edges[1:] < 1.7].any()
    # All pairs are those between and those within: numbers of neighbours differ by the molecule's own.
    extra = everything["O-H"].coordination - between["O-H"].coordination
    np.testing.assert_allclose(extra[between["O-H"].edges[1:] > 1.2], 2.0)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_images_do_not_matter(seed: int) -> None:
    box = water(4)
    shifted = water(4)
    images = np.random.default_rng(seed).integers(-2, 3, size=(4, 192, 3))
    shifted.xyz = shifted.xyz + (images * EDGE / 10.0).astype(np.float32)
    edges = bin_edges(6.0, 0.5)
    for name, found in radial_distributions(shifted, edges).items():
        expected = radial_distributions(box, edges)[name]
        np.testing.assert_allclose(found.coordination, expected.coordination, atol=0.05)


def test_replicas_and_blocks_are_pooled_by_frames() -> None:
    edges = bin_edges(6.0, 0.1)
    parts = [water(7, seed=1), water(23, seed=2)]
    whole = mdtraj.join(parts)
    for name, found in radial_distributions(parts, edges).items():
        np.testing.assert_allclose(found.g, radial_distributions(whole, edges)[name].g)
        assert found.n_frames == 30 and len(found.blocks) == 17


def test_error_is_that_of_chance_for_equal_systems_and_that_of_the_shift_for_others() -> None:
    edges = bin_edges(8.0, 0.2)
    one, two = (radial_distributions(ideal_gas(np.broadcast_to(CUBE, (150, 3, 3)), seed=s), edges) for s in (1, 2))
    chance = rdf_error(one["Ar-Ar"], two["Ar-Ar"])
    assert chance.mae == pytest.approx(chance.floor, rel=0.35)
    assert chance.integral == pytest.approx(8.0 * chance.mae)
    # A gas and a lattice without peaks up to 3 Angstrom: |g - 1| is 1 there.
    grid = 3.6 * np.stack(np.meshgrid(*[np.arange(5)] * 3), axis=-1).reshape(1, -1, 3)
    lattice = radial_distributions(atoms(np.repeat(grid, 20, axis=0), CUBE), bin_edges(3.4, 0.2))
    gas = radial_distributions(ideal_gas(np.broadcast_to(CUBE, (600, 3, 3))), bin_edges(3.4, 0.2))
    assert rdf_error(lattice["Ar-Ar"], gas["Ar-Ar"]).mae == pytest.approx(1.0, abs=0.15)


def test_json_keeps_the_curves() -> None:
    found = radial_distributions(water(12))["O-O"]
    again = RadialDistribution.from_dict(json.loads(to_json(found.to_dict())))
    assert rdf_error(found, again).mae == 0.0
    np.testing.assert_allclose(again.coordination, found.coordination)
    np.testing.assert_allclose(again.error, found.error)
    for wrong in ({}, found.to_dict() | {"g": [1.0]}, found.to_dict() | {"edges_angstrom": np.arange(208.0)[::-1]}):
        with pytest.raises(FfptError, match=r"radial distribution|bins"):
            RadialDistribution.from_dict(wrong)


def test_what_is_refused() -> None:
    box = water(3)
    bare = trajectory(10.0 * box.xyz, ["O", "H", "H"] * 64)
    with pytest.raises(FfptError, match="has no cell"):
        radial_distributions(bare)
    with pytest.raises(FfptError, match=r"larger box: half of this one is 6\.20"):
        radial_distributions(box, bin_edges(6.5))
    with pytest.raises(FfptError, match="it has O-O, O-H, H-H"):
        radial_distributions(box, pairs=["O-C"])
    with pytest.raises(FfptError, match="different bins"):
        rdf_error(radial_distributions(box)["O-O"], radial_distributions(box, bin_edges(5.0))["O-O"])
    with pytest.raises(FfptError, match="different pairs"):
        rdf_error(radial_distributions(box)["O-O"], radial_distributions(box)["O-H"])
    with pytest.raises(FfptError, match="evenly spaced from 0"):
        radial_distributions(box, np.array([0.0, 1.0, 3.0]))
    with pytest.raises(FfptError, match="their atoms differ"):
        radial_distributions([box, ideal_gas(np.broadcast_to(CUBE, (2, 3, 3)))])
    box.xyz[1, 5] = np.nan
    with pytest.raises(FfptError, match="finite positions"):
        radial_distributions(box)


def test_a_box_for_trajectories_without_one() -> None:
    box = water(3)
    bare = trajectory(10.0 * box.xyz, ["O", "H", "H"] * 64)
    edges = bin_edges(6.0)
    found = radial_distributions(with_box(bare, [EDGE]), edges)
    # No bonds in the topology: those of the first frame.
    assert np.array_equal(molecule_labels(with_box(bare, [EDGE])), molecule_labels(box))
    np.testing.assert_allclose(found["O-H"].g, radial_distributions(box, edges)["O-H"].g)
    assert with_box(box, [99.0]) is box
    with pytest.raises(FfptError, match="one edge or three"):
        with_box(bare, [1.0, 2.0])
    assert half_width(ideal_gas(TILTED[None])) == pytest.approx(0.5 * np.linalg.det(TILTED) / np.linalg.norm(
        np.cross(TILTED[0], TILTED[1])))  # fmt: skip


def test_data_sets_are_trajectories_too() -> None:
    box = water(5)
    frames = [Atoms([8, 1, 1] * 64, positions=10.0 * xyz, cell=3 * [EDGE], pbc=True) for xyz in box.xyz]
    same = dataset_trajectory(Dataset.from_atoms(frames))
    assert np.array_equal(water_molecules(same), water_molecules(box))
    np.testing.assert_allclose(radial_distributions(same)["O-O"].g, radial_distributions(box)["O-O"].g)
    with pytest.raises(FfptError, match="no cell"):
        dataset_trajectory(Dataset.from_arrays(np.array([8, 1, 1]), np.zeros((2, 3, 3))))


def test_picture_has_a_panel_for_each_pair_and_names_the_errors() -> None:
    one, two = radial_distributions(water(5), bin_edges(6.0)), radial_distributions(water(5, seed=1), bin_edges(6.0))
    errors = {"run": {name: rdf_error(two[name], one[name]) for name in one}}
    figure = plot_rdfs({"reference": one, "run": two}, "reference", errors)
    assert [axes.get_title() for axes in figure.axes[:3]] == ["O–O", "O–H", "H–H"]
    assert figure.legends[0].get_texts()[1].get_text().startswith("run: MAE 0.")
