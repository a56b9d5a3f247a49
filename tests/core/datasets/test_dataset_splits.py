"""Splits, energy references, overview, and the command that works with them."""

from __future__ import annotations

import importlib.resources
import json
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.io import read as ase_read
from dataset_examples import FIELDS, SHARED, aspirin_like, assert_same, make
from typer.testing import CliRunner

from ffpt_core import datasets
from ffpt_core.base.errors import FfptError
from ffpt_core.cli.data import data as app
from ffpt_core.cli.main import main
from ffpt_core.datasets import Dataset, Split, read

# --- splits


def test_splits_are_reproducible_nested_and_disjoint(tmp_path):
    dataset = aspirin_like(100)
    small, large = (datasets.random_split(dataset, n, 10, 20, seed=3) for n in (30, 60))
    assert np.array_equal(large.train[:30], small.train)
    assert np.array_equal(large.validation, small.validation)
    assert np.array_equal(large.test, small.test)
    assert len({*large.train, *large.validation, *large.test}) == 90
    assert len(datasets.random_split(dataset, 30, 10).test) == 60
    assert not np.array_equal(datasets.random_split(dataset, 30, 10, seed=4).train, small.train)
    train, validation, test = small.apply(dataset)
    assert np.array_equal(train.energies, dataset.energies[small.train])
    assert (len(train), len(validation), len(test)) == (30, 10, 20)
    small.save(tmp_path / "split.json")
    loaded = Split.load(tmp_path / "split.json")
    assert loaded.seed == 3
    assert loaded.fingerprint == dataset.fingerprint
    assert all(np.array_equal(getattr(loaded, part), getattr(small, part)) for part in ("train", "validation", "test"))


def test_a_split_refuses_other_data():
    dataset = aspirin_like(20)
    split = datasets.random_split(dataset, 10, 5)
    with pytest.raises(FfptError, match="the split was made for a data set with fingerprint"):
        split.apply(aspirin_like(20, seed=1))
    with pytest.raises(FfptError, match="train names frame 20 of a data set of 20"):
        Split([20], [], [], None, dataset.fingerprint).apply(dataset)


def test_bad_splits_are_refused(tmp_path):
    dataset = aspirin_like(20)
    with pytest.raises(FfptError, match=r"23 frames asked for \(18 \+ 5 \+ 0\), 20 in the data"):
        datasets.random_split(dataset, 18, 5)
    with pytest.raises(FfptError, match="0 training"):
        datasets.random_split(dataset, 0, 5)
    with pytest.raises(FfptError, match="frame 2 is used twice"):
        Split([1, 2], [2], [], None, "")
    path = tmp_path / "split.json"
    good = datasets.random_split(dataset, 10, 5)
    for change, message in (
        ({"format": "other"}, "not an ffpt split"),
        ({"version": 9}, "version 9"),
        ({"train": ["a"]}, "damaged"),
        ({"train": [0.5]}, "list of frame numbers"),
        ({"train": [-1]}, "list of frame numbers"),
    ):
        good.save(path)
        path.write_text(json.dumps(json.loads(path.read_text()) | change))
        with pytest.raises(FfptError, match=message):
            Split.load(path)
    path.write_text("{")
    with pytest.raises(FfptError, match="not a JSON file"):
        Split.load(path)


def test_repeated_frames_are_found():
    dataset = make([3, 2, 3, 2, 3])
    twice = Dataset.concatenate([dataset, dataset[[2, 1]], make([3], seed=5)])
    assert datasets.first_of_repeats(twice).tolist() == [0, 1, 2, 3, 4, 2, 1, 7]
    assert_same(datasets.drop_repeats(twice), twice[[0, 1, 2, 3, 4, 7]])
    # The same places with other atoms, or in another cell, is another frame.
    places = np.random.default_rng(3).normal(size=(1, 3, 3))
    water = Dataset.from_arrays([8, 1, 1], places)
    other = Dataset.from_arrays([8, 1, 9], places)
    boxed = Dataset(water.numbers, water.offsets, water.positions, cells=[np.eye(3) * 9], pbc=[[True] * 3])
    near = Dataset.from_arrays([8, 1, 1], places.round(6) + 1e-9)
    frames = Dataset.concatenate([water, other, boxed, near])
    assert datasets.first_of_repeats(frames).tolist() == [0, 1, 2, 0]
    signs = Dataset.from_arrays([1], [[[0.0, 1.0, 2.0]], [[-1e-9, 1.0, 2.0]]])
    assert datasets.first_of_repeats(signs).tolist() == [0, 0]


# --- energy references


def test_shifts_are_recovered_where_compositions_determine_them():
    dataset = make([1, 3, 5, 2, 4, 4, 5, 3, 2, 5], energies=False)
    truth = {1: -13.6, 6: -1030.2, 8: -2041.9, 17: -12500.7}
    energies = datasets.shift_energies(dataset, truth)
    arrays = {name: getattr(dataset, name) for name in FIELDS}
    labelled = Dataset(**(arrays | {"energies": energies}))
    assert datasets.fit_shifts(labelled) == pytest.approx(truth, abs=1e-8)


def test_shifts_are_the_least_squares_solution():
    dataset = make([3, 2, 5, 4, 1, 2, 3, 3, 4, 1, 1, 1])
    fitted = datasets.fit_shifts(dataset)
    residual = dataset.energies - datasets.shift_energies(dataset, fitted)
    counts = np.array([[(atoms.numbers == z).sum() for z in dataset.elements] for atoms in dataset])
    assert np.abs(counts.T @ residual).max() < 1e-6  # the normal equations


@pytest.mark.parametrize("frames", [1, 1000])
def test_one_molecule_gets_its_mean_to_the_last_digits(frames):
    rng = np.random.default_rng(1)
    energies = -17592.2 + rng.normal(0, 0.3, frames)
    dataset = Dataset.from_arrays([6] * 9 + [8] * 4 + [1] * 8, np.zeros((frames, 21, 3)), energies)
    shifts = datasets.fit_shifts(dataset)
    assert datasets.shift_energies(dataset, shifts)[0] == pytest.approx(energies.mean(), abs=1e-9)
    # The smallest norm: shifts in proportion to the counts.
    assert shifts[6] / 9 == pytest.approx(shifts[1] / 8) == pytest.approx(shifts[8] / 4)


def test_refitting_changes_the_zero_and_nothing_else():
    dataset = aspirin_like(50)
    old = {1: -1.0, 6: -2.0, 7: -3.0, 8: -4.0}
    predicted = dataset.energies + 5.0 + np.random.default_rng(2).normal(0, 0.1, 50)
    new = datasets.refit_shifts(old, dataset, predicted)
    change = datasets.shift_energies(dataset, new) - datasets.shift_energies(dataset, old)
    assert change == pytest.approx(np.full(50, (dataset.energies - predicted).mean()), abs=1e-10)
    assert new[7] == old[7]
    assert datasets.refit_shifts(old, dataset, dataset.energies) == pytest.approx(old, abs=1e-10)


def test_shifts_refuse_what_they_cannot_do():
    with pytest.raises(FfptError, match="need frames with energies"):
        datasets.fit_shifts(make([2], energies=False))
    with pytest.raises(FfptError, match="no energy reference for O; known: H, C"):
        datasets.shift_energies(aspirin_like(), {1: 0.0, 6: 0.0})
    with pytest.raises(FfptError, match="frame 3: NaN"):
        datasets.refit_shifts({}, aspirin_like(5), np.array([0, 0, 0, np.nan, 0]))
    with pytest.raises(FfptError, match="predicted energies of shape"):
        datasets.refit_shifts({}, aspirin_like(5), np.zeros(4))


# --- overview, built-in and real data


def test_summary_counts():
    frames = [molecule("H2O"), molecule("CH4"), molecule("H2O")]
    found = datasets.summary(Dataset.from_atoms(frames))
    assert found.formulas == {"H2O": 2, "CH4": 1}
    assert list(found.formulas) == ["H2O", "CH4"]
    assert found.atoms == (3, 5)
    assert found.elements == ("H", "C", "O")
    assert found.labels == ()
    dataset = aspirin_like(30)
    found = datasets.summary(dataset)
    assert found.force_rms == pytest.approx(np.sqrt((dataset.forces**2).mean()))
    assert found.energy_mean == pytest.approx(dataset.energies.mean())
    assert json.loads(json.dumps(found.to_dict()))["fingerprint"] == dataset.fingerprint
    assert dict(found.rows())["formulas"] == "C9H8O4 (30)"
    assert found.repeats == 0
    assert datasets.summary(dataset[[0, 1, 0, 0]]).repeats == 2
    assert datasets.summary(dataset[:0]).frames == 0


DEMO = importlib.resources.files("ffpt_core.datasets") / "data" / "aspirin-gfn2.npz"


def test_absent_demo_data_say_so(monkeypatch):
    monkeypatch.setattr("importlib.resources.files", lambda package: Path("/nowhere"))
    with pytest.raises(FfptError, match=r"the demo data are not installed .*: reinstall ffpt"):
        datasets.aspirin_gfn2()


@pytest.mark.skipif(not DEMO.is_file(), reason="the demo data are not there")
def test_built_in_aspirin():
    dataset = datasets.aspirin_gfn2()
    assert dataset.elements == (1, 6, 8)
    assert set(dataset.n_atoms) == {21}
    assert dataset.energies is not None
    assert dataset.forces is not None
    assert "GFN2" in dataset.level
    # The total force on a free molecule is zero.
    total = np.add.reduceat(dataset.forces, dataset.offsets[:-1])
    assert np.abs(total).max() < 1e-3


@pytest.mark.skipif(not (SHARED / "aspirin_ccsd").exists(), reason="the CCSD data are not on this machine")
def test_real_aspirin_ccsd():
    path = SHARED / "aspirin_ccsd" / "aspirin_ccsd_train.xyz"
    dataset = read(path, level="CCSD")
    assert len(dataset) == 1000
    assert set(dataset.n_atoms) == {21}
    assert dataset.elements == (1, 6, 8)
    reference = ase_read(path, index="::100")
    assert_same(dataset[::100], Dataset.from_atoms(reference, level="CCSD"))
    total = np.add.reduceat(dataset.forces, dataset.offsets[:-1])
    assert np.abs(total).max() < 1e-4
    shifts = datasets.fit_shifts(dataset)
    assert datasets.shift_energies(dataset, shifts)[0] == pytest.approx(dataset.energies.mean(), abs=1e-8)
    # The published file holds three frames twice, bit for bit.
    repeated = np.flatnonzero(datasets.first_of_repeats(dataset) != np.arange(1000))
    assert repeated.tolist() == [311, 695, 948]
    test = read(SHARED / "aspirin_ccsd" / "aspirin_ccsd_test_first250.xyz", level="CCSD")
    first = datasets.first_of_repeats(Dataset.concatenate([dataset, test]))
    assert not np.isin(first[1000:], first[:1000]).any()


# --- the command


def run(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_command_info_convert_and_split(tmp_path, capsys):
    source = tmp_path / "frames.xyz"
    dataset = Dataset.concatenate([aspirin_like(30, level="GAFF-2.11")] * 2)
    datasets.write(dataset, source)
    assert main(["data", "info", str(source), "--json", "-o", str(tmp_path / "info.json")]) == 0
    assert json.loads((tmp_path / "info.json").read_text())["frames"] == 60
    assert json.loads(capsys.readouterr().out)["level"] == "GAFF-2.11"
    table = run("info", source)
    assert "C9H8O4 (60)" in table.stdout
    leaky = run("split", source, "--train", 20, "-o", tmp_path / "s.json", "--validation", 5)
    assert "test frames repeat training frames" in leaky.output
    converted = tmp_path / "frames.npz"
    result = run("convert", source, converted, "--drop-repeats", "--level", "other")
    assert result.exit_code == 0
    assert "left out 30 repeated frames of 60" in result.output
    stored = Dataset.load(converted)
    assert len(stored) == 30
    assert stored.level == "other"
    result = run("split", converted, "--train", 20, "--validation", 5, "--seed", 1, "-o", tmp_path / "s.json")
    assert result.exit_code == 0
    assert "repeat" not in result.output
    assert len(Split.load(tmp_path / "s.json").apply(stored)[2]) == 5


def test_command_errors_are_ffpt_errors(tmp_path):
    np.savez(tmp_path / "a.npz", R=np.zeros((4, 1, 3)), z=[1], E=np.zeros(4))
    result = run("info", tmp_path / "a.npz")
    assert isinstance(result.exception, FfptError)
    assert "names no units" in str(result.exception)
    result = run("info", tmp_path / "a.npz", "--energy-unit", "kcal/mol", "--length-unit", "Angstrom")
    assert result.exit_code == 0


def test_one_atom_one_frame():
    atoms = Atoms("H", positions=[[0, 0, 0]])
    assert Dataset.from_atoms([atoms]).n_atoms.tolist() == [1]
