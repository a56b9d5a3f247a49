"""The record of labelled frames: choosing, joining, checking, ASE."""

from __future__ import annotations

import time

import numpy as np
import pytest
from ase.build import molecule
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from dataset_examples import FIELDS, any_dataset, aspirin_like, assert_same, make
from hypothesis import given, settings
from hypothesis import strategies as st

from ffpt_core.base.errors import FfptError
from ffpt_core.datasets import Dataset

# --- the record


@given(any_dataset, st.data())
@settings(max_examples=60, deadline=None)
def test_choosing_frames_is_what_a_list_of_atoms_gives(dataset, data):
    frames = list(dataset)
    kind = data.draw(st.sampled_from(["slice", "numbers", "mask"]))
    if kind == "slice":
        bound = st.none() | st.integers(-9, 9)
        index = slice(data.draw(bound), data.draw(bound), data.draw(st.sampled_from([None, 1, 2, 3, -1, -2])))
        chosen = frames[index]
    elif kind == "numbers":
        index = data.draw(st.lists(st.integers(-len(frames), len(frames) - 1), max_size=6) if frames else st.just([]))
        chosen = [frames[i] for i in index]
    else:
        index = np.array(data.draw(st.lists(st.booleans(), min_size=len(frames), max_size=len(frames))), dtype=bool)
        chosen = [frame for frame, keep in zip(frames, index, strict=True) if keep]
    part = dataset[index]
    assert len(part) == len(chosen)
    for got, expected in zip(part, chosen, strict=True):
        assert got == expected
        assert got.calc is None or got.calc.results.keys() == expected.calc.results.keys()
        if dataset.energies is not None:
            assert got.get_potential_energy() == expected.get_potential_energy()
        if dataset.forces is not None:
            assert np.array_equal(got.get_forces(), expected.get_forces())
    if len(part):
        assert_same(part, Dataset.from_atoms(chosen, level=dataset.level))


@given(any_dataset, st.integers(0, 8))
@settings(max_examples=40, deadline=None)
def test_concatenate_undoes_cutting(dataset, at):
    assert_same(Dataset.concatenate([dataset[:at], dataset[at:]]), dataset)


def test_choosing_from_100000_frames_does_not_loop():
    rng = np.random.default_rng(0)
    dataset = Dataset.from_arrays(
        rng.integers(1, 9, 21), np.zeros((100_000, 21, 3)), np.arange(100_000.0), np.ones((100_000, 21, 3))
    )
    order = rng.permutation(100_000)
    start = time.process_time()
    shuffled = dataset[order]
    assert time.process_time() - start < 3.0  # measured 0.4 s; one Atoms per frame takes 5 s
    assert np.array_equal(shuffled.energies, order)


def test_atoms_carry_labels_and_cells():
    dataset = make([2, 4, 3], periodic=True)
    for index, atoms in enumerate(dataset):
        mine = slice(dataset.offsets[index], dataset.offsets[index + 1])
        assert np.array_equal(atoms.numbers, dataset.numbers[mine])
        assert np.array_equal(atoms.cell.array, dataset.cells[index])
        assert np.array_equal(atoms.pbc, dataset.pbc[index])
        assert atoms.get_potential_energy() == dataset.energies[index]
        assert np.array_equal(atoms.get_forces(), dataset.forces[mine])
    assert dataset[-1] == dataset[2]
    with pytest.raises(IndexError):
        dataset[3]
    with pytest.raises(IndexError):
        dataset[[0, 3]]
    dataset[0].positions[:] = 0  # a copy: the data set must not change
    assert dataset.positions[:2].any()


def test_counts_and_elements():
    dataset = Dataset.from_atoms([molecule("H2O"), molecule("CH3Cl")])
    assert dataset.elements == (1, 6, 8, 17)
    assert dataset.n_atoms.tolist() == [3, 5]
    assert dataset.energies is None
    assert dataset.forces is None
    empty = dataset[[]]
    assert len(empty) == 0
    assert empty.elements == ()
    assert list(empty) == []


def test_arrays_are_its_own():
    positions = np.zeros((2, 1, 3))
    dataset = Dataset.from_arrays([1], positions)
    before = dataset.fingerprint
    positions += 1.0  # the caller may reuse the buffer
    assert not dataset.positions.any()
    assert Dataset.from_arrays([1], dataset.positions[:, None]).fingerprint == before
    with pytest.raises(ValueError, match="read-only"):
        dataset.positions[0] = 1.0
    with pytest.raises(AttributeError):
        dataset.level = "other"


def test_fingerprint_sees_every_array_and_not_the_level():
    dataset = make([2, 3], periodic=True)
    seen = {dataset.fingerprint}
    for name in ("positions", "energies", "forces", "cells"):
        changed = getattr(dataset, name).copy()
        changed.flat[0] += 1e-12
        arrays = {field: getattr(dataset, field) for field in FIELDS} | {name: changed}
        seen.add(Dataset(**arrays).fingerprint)
    for change in ({"energies": None}, {"forces": None}, {"pbc": ~dataset.pbc}, {"numbers": dataset.numbers[::-1]}):
        seen.add(Dataset(**({field: getattr(dataset, field) for field in FIELDS} | change)).fingerprint)
    assert len(seen) == 9
    other = Dataset(**{field: getattr(dataset, field) for field in FIELDS}, level="other")
    assert other.fingerprint == dataset.fingerprint


@pytest.mark.parametrize("name", ["positions", "forces", "energies"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_unusable_numbers_name_their_frame(name, value):
    dataset = aspirin_like()
    arrays = {field: np.array(getattr(dataset, field)) for field in FIELDS}
    arrays[name][17 if name == "energies" else 17 * 21 + 5] = value
    with pytest.raises(FfptError, match=f"frame 17: NaN or infinite {name}"):
        Dataset(**arrays)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"forces": np.zeros((4, 3))}, r"forces of shape \(4, 3\); 2 frames of 5 atoms need \(5, 3\)"),
        ({"energies": np.zeros((2, 1))}, "energies of shape"),
        ({"offsets": [0, 2]}, "offsets must run from 0"),
        ({"offsets": [0, 5, 5]}, "frame 1 has no atoms"),
        ({"numbers": [1, 1, 0, 1, 1]}, "frame 1: 0 is not an atomic number"),
        ({"numbers": [1, 1, 1, 1, 119]}, "frame 1: 119 is not an atomic number"),
        ({"numbers": [1, 1, 1.5, 1, 1]}, "numbers: whole numbers needed"),
        ({"numbers": ["H", "H", "H", "H", "H"]}, "numbers: not an array"),
        ({"pbc": [[0, 0, 0], [0, 0, 1]]}, "frame 1: periodic, but its cell has no extent"),
        ({"pbc": np.ones((2, 3)), "cells": np.ones((2, 3, 3))}, "frame 0: periodic"),
    ],
)
def test_what_is_no_data_set(change, message):
    good = {"numbers": [1] * 5, "offsets": [0, 2, 5], "positions": np.zeros((5, 3))}
    assert len(Dataset(**good)) == 2
    with pytest.raises(FfptError, match=message):
        Dataset(**(good | change))


def test_from_arrays_checks_shapes():
    with pytest.raises(FfptError, match="2 atoms need"):
        Dataset.from_arrays([1, 1], np.zeros((4, 3, 3)))
    with pytest.raises(FfptError, match="forces of shape"):
        Dataset.from_arrays([1, 1], np.zeros((4, 2, 3)), forces=np.zeros((4, 2, 2)))


# --- labels of ase.Atoms


def test_labels_come_from_ref_keys_then_calculator_then_plain_keys():
    atoms = molecule("H2O")
    atoms.info["energy"] = 1.0
    assert Dataset.from_atoms([atoms]).energies[0] == 1.0
    atoms.calc = SinglePointCalculator(atoms, energy=2.0, forces=np.ones((3, 3)))
    assert Dataset.from_atoms([atoms]).energies[0] == 2.0
    atoms.info["REF_energy"] = 3.0
    atoms.arrays["REF_forces"] = np.full((3, 3), 7.0)
    dataset = Dataset.from_atoms([atoms])
    assert dataset.energies[0] == 3.0
    assert dataset.forces[0, 0] == 7.0


def test_calculators_are_not_run_and_stale_results_not_taken():
    atoms = molecule("N2")
    atoms.calc = EMT()
    assert Dataset.from_atoms([atoms]).energies is None
    energy = atoms.get_potential_energy()
    assert Dataset.from_atoms([atoms]).energies[0] == energy
    atoms.positions[0, 0] += 0.1
    assert Dataset.from_atoms([atoms]).energies is None


def test_labels_on_some_frames_only_are_refused():
    frames = list(make([2, 2, 2]))
    frames[2].calc = None
    with pytest.raises(FfptError, match="frame 0 has energy but frame 2 has no energy"):
        Dataset.from_atoms(frames)
    with pytest.raises(FfptError, match="data set 0 has no forces but data set 1 has forces"):
        Dataset.concatenate([make([2], forces=False), make([2])])


def test_levels_of_theory_are_not_mixed_by_accident():
    one, two = make([2], level="GAFF-2.11"), make([2], level="CCSD")
    with pytest.raises(FfptError, match=r"'CCSD', 'GAFF-2.11'.*different zeros"):
        Dataset.concatenate([one, two])
    assert Dataset.concatenate([one, two], level="both").level == "both"
