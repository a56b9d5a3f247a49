"""Data sets: the record, its files, splits, energy references."""

from __future__ import annotations

import json
import os
import pickle
import resource
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read as ase_read
from ase.io import write as ase_write
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from ffpt_core import datasets
from ffpt_core.cli.data import app
from ffpt_core.datasets import Dataset, DatasetWarning, Split, read
from ffpt_core.errors import FfptError
from ffpt_core.units import BOHR, KCAL_PER_MOL

ROOT = Path(__file__).resolve().parents[1]
ASPIRIN_CCSD = ROOT.parent / "shared" / "data" / "aspirin_ccsd"
FIELDS = ("numbers", "offsets", "positions", "energies", "forces", "cells", "pbc")


def make(sizes, seed=0, energies=True, forces=True, periodic=False, level="made up") -> Dataset:
    """Frames of the given sizes with random numbers in them."""
    rng = np.random.default_rng(seed)
    total, frames = sum(sizes), len(sizes)
    return Dataset(
        numbers=rng.choice([1, 6, 8, 17], size=total),
        offsets=np.concatenate([[0], np.cumsum(sizes, dtype=int)]),
        positions=rng.normal(size=(total, 3)),
        energies=rng.normal(-1e4, 1, size=frames) if energies else None,
        forces=rng.normal(size=(total, 3)) if forces else None,
        cells=np.eye(3) * 9 + rng.normal(size=(frames, 3, 3)) if periodic else None,
        pbc=rng.integers(0, 2, size=(frames, 3)).astype(bool) if periodic else None,
        level=level,
    )


def aspirin_like(frames=40, seed=0, **options) -> Dataset:
    rng = np.random.default_rng(seed)
    numbers = [6] * 9 + [8] * 4 + [1] * 8
    positions = rng.normal(size=(frames, 21, 3))
    return Dataset.from_arrays(numbers, positions, rng.normal(size=frames), rng.normal(size=(frames, 21, 3)), **options)


def assert_same(left: Dataset, right: Dataset) -> None:
    for name in FIELDS:
        a, b = getattr(left, name), getattr(right, name)
        assert (a is None) == (b is None), name
        assert a is None or np.array_equal(a, b), name
    assert left.level == right.level


any_dataset = st.builds(
    make,
    sizes=st.lists(st.integers(1, 5), max_size=8),
    seed=st.integers(0, 99),
    energies=st.booleans(),
    forces=st.booleans(),
    periodic=st.booleans(),
)


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
    assert time.process_time() - start < 3.0  # measured 0.4 s; one Atoms per frame takes 2 s without copying
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
    assert dataset.energies is None and dataset.forces is None
    empty = dataset[[]]
    assert len(empty) == 0 and empty.elements == () and list(empty) == []


def test_arrays_are_its_own():
    positions = np.zeros((2, 1, 3))
    dataset = Dataset.from_arrays([1], positions)
    before = dataset.fingerprint
    positions += 1.0  # the caller may reuse the buffer
    assert not dataset.positions.any() and Dataset.from_arrays([1], dataset.positions[:, None]).fingerprint == before
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
    assert dataset.energies[0] == 3.0 and dataset.forces[0, 0] == 7.0


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
    with pytest.raises(FfptError, match="'CCSD', 'GAFF-2.11'.*different zeros"):
        Dataset.concatenate([one, two])
    assert Dataset.concatenate([one, two], level="both").level == "both"


# --- our own file


@given(any_dataset, st.booleans())
@settings(max_examples=30, deadline=None)
def test_saved_and_loaded_is_the_same(tmp_path_factory, dataset, compressed):
    path = tmp_path_factory.mktemp("saved") / "frames.npz"
    dataset.save(path, compressed=compressed)
    loaded = Dataset.load(path)
    assert_same(loaded, dataset)
    assert loaded.fingerprint == dataset.fingerprint
    assert_same(read(path), dataset)


def test_file_is_plain_numpy_with_a_record(tmp_path):
    dataset = make([2, 3], periodic=True)
    dataset.save(tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz", allow_pickle=False) as stored:
        record = json.loads(str(stored["record"]))
        assert np.array_equal(stored["positions"], dataset.positions)
        assert stored["n_atoms"].tolist() == [2, 3]
    assert record["format"] == "ffpt-dataset" and record["version"] == 1 and record["level"] == "made up"
    assert record["units"]["energies"] == "eV" and record["units"]["forces"] == "eV/Angstrom"


def test_float32_on_disk_halves_the_file_and_keeps_energies(tmp_path):
    dataset = aspirin_like(200)
    dataset.save(tmp_path / "64.npz", compressed=False)
    dataset.save(tmp_path / "32.npz", compressed=False, precision="float32")
    loaded = Dataset.load(tmp_path / "32.npz")
    assert (tmp_path / "32.npz").stat().st_size < 0.55 * (tmp_path / "64.npz").stat().st_size
    assert loaded.positions.dtype == np.float64 and np.array_equal(loaded.energies, dataset.energies)
    assert np.array_equal(loaded.forces, dataset.forces.astype(np.float32))
    with pytest.raises(FfptError, match="precision 'half'"):
        dataset.save(tmp_path / "a.npz", precision="half")


class Bomb:
    """Runs when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_pickles_are_refused_and_never_run(tmp_path):
    fired = tmp_path / "fired"
    (tmp_path / "a.npz").write_bytes(pickle.dumps(Bomb(fired)))
    np.savez(tmp_path / "b.npz", R=np.array([Bomb(fired)], dtype=object), z=np.array([1]))
    with pytest.raises(FfptError, match="pickle"):
        Dataset.load(tmp_path / "a.npz")
    for reader in (Dataset.load, read):
        with pytest.raises(FfptError, match="pickled"):
            reader(tmp_path / "b.npz")
    assert not fired.exists()


def test_damaged_and_foreign_files_are_refused_in_one_line(tmp_path):
    path = tmp_path / "whole.npz"
    aspirin_like(10).save(path)
    whole = path.read_bytes()
    part = tmp_path / "part.npz"
    for size in (*range(0, len(whole), len(whole) // 40), len(whole) - 1):
        part.write_bytes(whole[:size])
        with pytest.raises(FfptError) as error:
            Dataset.load(part)
        assert str(part) in str(error.value) and "\n" not in str(error.value)
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0xFF
    part.write_bytes(flipped)
    with pytest.raises(FfptError, match="damaged"):
        Dataset.load(part)
    np.savez(tmp_path / "other.npz", weights=np.zeros(3))
    with pytest.raises(FfptError, match=r"not an ffpt data set \(its keys: weights\)"):
        Dataset.load(tmp_path / "other.npz")
    with pytest.raises(FfptError, match="no data set known here"):
        read(tmp_path / "other.npz")
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(FfptError, match="not an npz file"):
        Dataset.load(tmp_path / "text.npz")
    with pytest.raises(FfptError, match="cannot read .*No such file"):
        Dataset.load(tmp_path / "absent.npz")
    with zipfile.ZipFile(tmp_path / "zip.npz", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(FfptError):
        Dataset.load(tmp_path / "zip.npz")


def test_a_newer_version_says_so(tmp_path):
    record = np.array(json.dumps({"format": "ffpt-dataset", "version": 99}))
    np.savez(tmp_path / "new.npz", record=record)
    with pytest.raises(FfptError, match="version 99; this ffpt reads 1"):
        read(tmp_path / "new.npz")


def test_a_full_disk_leaves_the_earlier_file(tmp_path):
    path = tmp_path / "frames.npz"
    aspirin_like(3).save(path)
    before = path.read_bytes()
    big = Dataset.from_arrays([1], np.random.default_rng(0).random((20_000, 1, 3)))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))  # what a full disk does, for this process only
    try:
        with pytest.raises(FfptError, match="cannot write .*frames.npz: File too large"):
            big.save(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["frames.npz"]


# --- extended XYZ


@given(dataset=any_dataset.filter(len), prefix=st.sampled_from(["", "REF_"]))
@settings(max_examples=30, deadline=None)
@pytest.mark.filterwarnings("ignore::ffpt_core.datasets.DatasetWarning")
def test_extxyz_keeps_every_digit(tmp_path_factory, dataset, prefix):
    path = tmp_path_factory.mktemp("xyz") / "frames.xyz"
    datasets.write(dataset, path, prefix)
    assert_same(read(path), dataset)


@given(any_dataset.filter(len))
@settings(max_examples=30, deadline=None)
@pytest.mark.filterwarnings("ignore::ffpt_core.datasets.DatasetWarning")
def test_extxyz_agrees_with_ase_both_ways(tmp_path_factory, dataset):
    folder = tmp_path_factory.mktemp("ase")
    datasets.write(dataset, folder / "ours.extxyz")
    assert_same(Dataset.from_atoms(ase_read(folder / "ours.extxyz", index=":"), level=dataset.level), dataset)
    frames = list(dataset)
    for atoms in frames:  # things that files carry and we do not use
        atoms.info |= {"name": 'a "quoted" energy=3', "note": "energy=7", "stress": np.eye(3)}
        atoms.set_tags(range(len(atoms)))
    ase_write(folder / "theirs.extxyz", frames, format="extxyz")
    ours = read(folder / "theirs.extxyz", level=dataset.level)
    assert_same(ours, Dataset.from_atoms(ase_read(folder / "theirs.extxyz", index=":"), level=dataset.level))
    if dataset.energies is not None:
        assert np.allclose(ours.energies, dataset.energies, rtol=1e-12)


XYZ = """2
Properties=species:S:1:pos:R:3:forces:R:3 energy=-1.5
H 0 0 0 0.1 0.2 0.3
Cl 0 0 1.3 -0.1 -0.2 -0.3

1
Properties=pos:R:3:Z:I:1:forces:R:3 energy=2e0 Lattice="3 0 0 0 4 0 0 0 5" pbc="T F F"
0.5 0 0 8 0 0 0
"""


def test_extxyz_by_hand(tmp_path):
    path = tmp_path / "a.xyz"
    path.write_text(XYZ)
    dataset = read(path, energy_unit="kcal/mol", length_unit="bohr", level="here")
    assert dataset.numbers.tolist() == [1, 17, 8] and dataset.n_atoms.tolist() == [2, 1]
    assert dataset.energies == pytest.approx(np.array([-1.5, 2.0]) * KCAL_PER_MOL)
    assert dataset.forces[0] == pytest.approx(np.array([0.1, 0.2, 0.3]) * KCAL_PER_MOL / BOHR)
    assert dataset.positions[1] == pytest.approx([0, 0, 1.3 * BOHR])
    assert dataset.cells[1] == pytest.approx(np.diag([3, 4, 5]) * BOHR)
    assert dataset.pbc.tolist() == [[False] * 3, [True, False, False]]
    assert dataset.level == "here"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("energy=2e0", "", "frame 0 has energy but frame 1 has no energy"),
        ("energy=2e0", "energy=nan", "frame 1: NaN or infinite energies"),
        ("energy=2e0", "energy=two", "frame 1: the energy is not a number: 'two'"),
        (":forces:R:3 energy=-1.5", ":other:R:3 energy=-1.5", "frame 0 has no forces but frame 1 has forces"),
        (":forces:R:3 energy=-1.5", ":forces:R:2:a:R:1 energy=-1.5", "frame 0: forces must be three real numbers"),
        ("-0.1 -0.2 -0.3", "-0.1 -0.2 inf", "frame 0: NaN or infinite forces"),
        ("-0.1 -0.2 -0.3", "-0.1 -0.2", "frame 0: the atom lines do not fit"),
        ("0.5 0 0 8", "0.5 0 O 8", "frame 1: the atom lines do not fit"),
        ("Cl", "Xx", "frame 0: unknown element 'Xx'"),
        ("1\nProp", "one\nProp", "frame 1: expected a number of atoms, found 'one'"),
        ("1\nProp", "3\nProp", "frame 1 is cut off: 3 atoms announced, 1 found"),
        ("1\nProp", "0\nProp", "frame 1 is cut off"),
        ("2\nProp", "1\nProp", "frame 1: expected a number of atoms, found 'Cl"),
        ('"3 0 0 0 4 0 0 0 5"', '"3 0 0"', "frame 1: a lattice is nine numbers"),
        ('"3 0 0 0 4 0 0 0 5"', '"0 0 0 0 4 0 0 0 5"', "frame 1: periodic, but its cell has no extent"),
        ("species:S:1:pos", "species:S:1:place", "frame 0: Properties=.* lacks species or pos"),
        ("species:S:1:pos", "species:S:pos", "frame 0: cannot read Properties"),
        ("Z:I:1", "Z:Q:1", "frame 1: cannot read Properties"),
    ],
)
def test_bad_extxyz_names_file_and_frame(tmp_path, old, new, message):
    path = tmp_path / "bad.xyz"
    assert old in XYZ
    path.write_text(XYZ.replace(old, new))
    with pytest.raises(FfptError, match=message) as error:
        read(path)
    assert str(error.value).startswith(str(path)) and "\n" not in str(error.value)


def test_nan_forces_in_frame_17_of_a_file(tmp_path):
    path = tmp_path / "frames.xyz"
    datasets.write(aspirin_like(30), path)
    lines = path.read_text().splitlines()
    row = 17 * 23 + 2 + 4
    lines[row] = " ".join([*lines[row].split()[:4], "nan", "0", "0"])
    path.write_text("\n".join(lines))
    with pytest.raises(FfptError, match=r"frames.xyz: frame 17: NaN or infinite forces"):
        read(path)


def test_labels_that_are_not_found_are_named(tmp_path):
    path = tmp_path / "dft.xyz"
    path.write_text('1\nProperties=species:S:1:pos:R:3:dft_forces:R:3 dft_energy=4 pbc="F F F"\nH 0 0 0 1 2 3\n')
    with pytest.warns(DatasetWarning) as caught:
        dataset = read(path)
    assert dataset.energies is None and dataset.forces is None
    assert "dft_energy" in str(caught[0].message) and "dft_forces" in str(caught[1].message)
    dataset = read(path, energy_key="dft_energy", forces_key="dft_forces")
    assert dataset.energies.tolist() == [4.0] and dataset.forces.tolist() == [[1.0, 2.0, 3.0]]
    with pytest.raises(FfptError, match="no 'energy' for the energies; the first frame has: dft_energy, pbc"):
        read(path, energy_key="energy")


@pytest.mark.filterwarnings("ignore:.*no forces found")
def test_plain_xyz_and_what_is_no_xyz(tmp_path):
    path = tmp_path / "plain.xyz"
    path.write_text("2\nwater without one\nO 0 0 0\nh 0 0 1\n")
    with pytest.warns(DatasetWarning, match="no energies found"):
        assert read(path).numbers.tolist() == [8, 1]
    path.write_text("")
    with pytest.raises(FfptError, match="holds no frames"):
        read(path)
    with pytest.raises(FfptError, match="cannot read .*: No such file"):
        read(tmp_path / "absent.xyz")
    with pytest.raises(FfptError, match=r"unknown format '.dat'; known: extxyz, npz, traj \(.xyz"):
        read(tmp_path / "a.dat")
    with pytest.raises(FfptError, match="unknown energy unit 'erg'; known: eV, kcal/mol"):
        path.write_text(XYZ)
        read(path, energy_unit="erg")
    with pytest.raises(FfptError, match="suffix must be"):
        datasets.write(make([1]), tmp_path / "a.pdb")


def test_ase_trajectories(tmp_path):
    dataset = make([2, 3], periodic=True, level="")
    ase_write(tmp_path / "a.traj", list(dataset))
    assert_same(read(tmp_path / "a.traj"), dataset)
    (tmp_path / "b.traj").write_text("nothing")
    with pytest.raises(FfptError, match="cannot read"):
        read(tmp_path / "b.traj")


# --- MD17, rMD17, sGDML

RNG = np.random.default_rng(7)
R, E, F, Z = RNG.normal(size=(4, 3, 3)), RNG.normal(-1e5, 9, 4), RNG.normal(size=(4, 3, 3)), np.array([8, 1, 1], "u1")


def assert_water(dataset: Dataset, energy: float, length: float = 1.0) -> None:
    assert dataset.numbers.tolist() == [8, 1, 1] * 4
    assert dataset.positions == pytest.approx(R.reshape(-1, 3) * length)
    assert dataset.energies == pytest.approx(E * energy, rel=1e-14)
    assert dataset.forces == pytest.approx(F.reshape(-1, 3) * energy / length)


def test_md17_and_rmd17_are_kcal_per_mol_and_say_so(tmp_path):
    np.savez(tmp_path / "md17.npz", R=np.asfortranarray(R), z=Z, E=E[:, None], F=F, theory=b"DFT", md5=b"0", type=b"d")
    np.savez(tmp_path / "r.npz", coords=R, nuclear_charges=Z, energies=E, forces=F, old_indices=np.arange(4))
    with pytest.warns(DatasetWarning, match="read as MD17 in kcal/mol and Angstrom"):
        dataset = read(tmp_path / "md17.npz")
    assert_water(dataset, KCAL_PER_MOL)
    assert dataset.level == "DFT"
    with pytest.warns(DatasetWarning, match="read as rMD17 in kcal/mol and Angstrom"):
        assert_water(read(tmp_path / "r.npz"), KCAL_PER_MOL)
    assert_water(read(tmp_path / "r.npz", energy_unit="eV", length_unit="Angstrom"), 1.0)


def test_sgdml_units_are_honoured(tmp_path):
    np.savez(tmp_path / "s.npz", R=R, z=Z, E=E, F=F, e_unit="eV", r_unit=b"bohr", theory="unknown", md5=b"0")
    dataset = read(tmp_path / "s.npz", level="CCSD")
    assert_water(dataset, 1.0, BOHR)
    assert dataset.level == "CCSD"
    with pytest.warns(DatasetWarning, match="says eV; read in kcal/mol as asked"):
        assert_water(read(tmp_path / "s.npz", energy_unit="kcal/mol"), KCAL_PER_MOL, BOHR)


def test_npz_without_units_is_refused(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, R=R, z=Z, E=E, F=F)
    with pytest.raises(FfptError, match="energy_unit=kcal/mol and length_unit=Angstrom"):
        read(path)
    with pytest.raises(FfptError, match="for example length_unit=Angstrom"):
        read(path, energy_unit="eV")
    assert_water(read(path, energy_unit="kcal/mol", length_unit="Ang"), KCAL_PER_MOL)
    make([1]).save(path)
    with pytest.raises(FfptError, match="carries its units"):
        read(path, energy_unit="eV")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"E": E[:3]}, r"energies of shape \(3,\) for 4 frames"),
        ({"F": F[:, :2]}, "forces of shape"),
        ({"z": np.tile(Z, (4, 1))}, "atomic numbers of shape"),
        ({"z": Z[:2]}, "2 atoms need"),
        ({"lattice": np.eye(3)}, "lattice"),
        ({"F": np.where(np.arange(36).reshape(4, 3, 3) == 20, np.nan, F)}, "frame 2: NaN or infinite forces"),
    ],
)
def test_bad_npz_names_the_file(tmp_path, change, message):
    path = tmp_path / "bad.npz"
    np.savez(path, **({"R": R, "z": Z, "E": E, "F": F} | change))
    with pytest.raises(FfptError, match=message) as error:
        read(path, energy_unit="eV", length_unit="Angstrom")
    assert str(path) in str(error.value)


# --- splits


def test_splits_are_reproducible_nested_and_disjoint(tmp_path):
    dataset = aspirin_like(100)
    small, large = (datasets.random_split(dataset, n, 10, 20, seed=3) for n in (30, 60))
    assert np.array_equal(large.train[:30], small.train)
    assert np.array_equal(large.validation, small.validation) and np.array_equal(large.test, small.test)
    assert len({*large.train, *large.validation, *large.test}) == 90
    assert len(datasets.random_split(dataset, 30, 10).test) == 60
    assert not np.array_equal(datasets.random_split(dataset, 30, 10, seed=4).train, small.train)
    train, validation, test = small.apply(dataset)
    assert np.array_equal(train.energies, dataset.energies[small.train])
    assert (len(train), len(validation), len(test)) == (30, 10, 20)
    small.save(tmp_path / "split.json")
    loaded = Split.load(tmp_path / "split.json")
    assert loaded.seed == 3 and loaded.fingerprint == dataset.fingerprint
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
    water = Dataset.from_arrays([8, 1, 1], R[:1])
    other = Dataset.from_arrays([8, 1, 9], R[:1])
    boxed = Dataset(water.numbers, water.offsets, water.positions, cells=[np.eye(3) * 9], pbc=[[True] * 3])
    near = Dataset.from_arrays([8, 1, 1], R[:1].round(6) + 1e-9)
    frames = Dataset.concatenate([water, other, boxed, near])
    assert datasets.first_of_repeats(frames).tolist() == [0, 1, 2, 0]


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
    assert found.formulas == {"H2O": 2, "CH4": 1} and list(found.formulas) == ["H2O", "CH4"]
    assert found.atoms == (3, 5) and found.elements == ("H", "C", "O") and found.labels == ()
    dataset = aspirin_like(30)
    found = datasets.summary(dataset)
    assert found.force_rms == pytest.approx(np.sqrt((dataset.forces**2).mean()))
    assert found.energy_mean == pytest.approx(dataset.energies.mean())
    assert json.loads(json.dumps(found.to_dict()))["fingerprint"] == dataset.fingerprint
    assert dict(found.rows())["formulas"] == "C9H8O4 (30)"
    assert datasets.summary(dataset[:0]).frames == 0


def test_built_in_aspirin():
    try:
        dataset = datasets.aspirin_gfn2()
    except FfptError as error:
        assert "not installed" in str(error)
        pytest.skip("the demo data are not there")
    assert dataset.elements == (1, 6, 8) and set(dataset.n_atoms) == {21}
    assert dataset.energies is not None and dataset.forces is not None and "GFN2" in dataset.level
    # The total force on a free molecule is zero.
    total = np.add.reduceat(dataset.forces, dataset.offsets[:-1])
    assert np.abs(total).max() < 1e-3


@pytest.mark.skipif(not ASPIRIN_CCSD.exists(), reason="the CCSD data are not on this machine")
def test_real_aspirin_ccsd():
    path = ASPIRIN_CCSD / "aspirin_ccsd_train.xyz"
    dataset = read(path, level="CCSD")
    assert len(dataset) == 1000 and set(dataset.n_atoms) == {21} and dataset.elements == (1, 6, 8)
    reference = ase_read(path, index="::100")
    assert_same(dataset[::100], Dataset.from_atoms(reference, level="CCSD"))
    total = np.add.reduceat(dataset.forces, dataset.offsets[:-1])
    assert np.abs(total).max() < 1e-4
    shifts = datasets.fit_shifts(dataset)
    assert datasets.shift_energies(dataset, shifts)[0] == pytest.approx(dataset.energies.mean(), abs=1e-8)
    # The published file holds three frames twice, bit for bit.
    repeated = np.flatnonzero(datasets.first_of_repeats(dataset) != np.arange(1000))
    assert repeated.tolist() == [311, 695, 948]
    test = read(ASPIRIN_CCSD / "aspirin_ccsd_test_first250.xyz", level="CCSD")
    first = datasets.first_of_repeats(Dataset.concatenate([dataset, test]))
    assert not np.isin(first[1000:], first[:1000]).any()


# --- the command


def run(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_command_info_convert_and_split(tmp_path):
    source = tmp_path / "frames.xyz"
    dataset = Dataset.concatenate([aspirin_like(30, level="GAFF-2.11")] * 2)
    datasets.write(dataset, source)
    result = run("info", source, "--json", "-o", tmp_path / "info.json")
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "info.json").read_text())["frames"] == 60
    assert json.loads(result.stdout)["level"] == "GAFF-2.11"
    table = run("info", source)
    assert "C9H8O4 (60)" in table.stdout
    leaky = run("split", source, "--train", 20, "-o", tmp_path / "s.json", "--validation", 5)
    assert "test frames repeat training frames" in leaky.output
    converted = tmp_path / "frames.npz"
    result = run("convert", source, converted, "--drop-repeats", "--level", "other")
    assert result.exit_code == 0 and "left out 30 repeated frames of 60" in result.output
    stored = Dataset.load(converted)
    assert len(stored) == 30 and stored.level == "other"
    result = run("split", converted, "--train", 20, "--validation", 5, "--seed", 1, "-o", tmp_path / "s.json")
    assert result.exit_code == 0 and "repeat" not in result.output
    assert len(Split.load(tmp_path / "s.json").apply(stored)[2]) == 5


def test_command_errors_are_ffpt_errors(tmp_path):
    np.savez(tmp_path / "a.npz", R=R, z=Z, E=E, F=F)
    result = run("info", tmp_path / "a.npz")
    assert isinstance(result.exception, FfptError) and "names no units" in str(result.exception)
    result = run("info", tmp_path / "a.npz", "--energy-unit", "kcal/mol", "--length-unit", "Angstrom")
    assert result.exit_code == 0


def test_one_atom_one_frame():
    atoms = Atoms("H", positions=[[0, 0, 0]])
    assert Dataset.from_atoms([atoms]).n_atoms.tolist() == [1]
