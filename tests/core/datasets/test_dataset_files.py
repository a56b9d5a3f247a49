"""Files of labelled frames: ours, extended XYZ, MD17, rMD17 and sGDML."""

from __future__ import annotations

import json
import os
import pickle
import resource
import zipfile
from pathlib import Path

import numpy as np
import pytest
from ase.io import read as ase_read
from ase.io import write as ase_write
from dataset_examples import any_dataset, aspirin_like, assert_same, make
from hypothesis import given, settings
from hypothesis import strategies as st

from ffpt_core import datasets
from ffpt_core.base.errors import FfptError
from ffpt_core.base.units import BOHR, KCAL_PER_MOL
from ffpt_core.datasets import Dataset, DatasetWarning, read

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
    assert record["format"] == "ffpt-dataset"
    assert record["version"] == 1
    assert record["level"] == "made up"
    assert record["units"]["energies"] == "eV"
    assert record["units"]["forces"] == "eV/Angstrom"


def test_float32_on_disk_halves_the_file_and_keeps_energies(tmp_path):
    dataset = aspirin_like(200)
    dataset.save(tmp_path / "64.npz", compressed=False)
    dataset.save(tmp_path / "32.npz", compressed=False, precision="float32")
    loaded = Dataset.load(tmp_path / "32.npz")
    assert (tmp_path / "32.npz").stat().st_size < 0.55 * (tmp_path / "64.npz").stat().st_size
    assert loaded.positions.dtype == np.float64
    assert np.array_equal(loaded.energies, dataset.energies)
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
        assert str(part) in str(error.value)
        assert "\n" not in str(error.value)
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
    with pytest.raises(FfptError, match=r"cannot read .*No such file"):
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
        with pytest.raises(FfptError, match=r"cannot write .*frames.npz: File too large"):
            big.save(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["frames.npz"]


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
    assert dataset.numbers.tolist() == [1, 17, 8]
    assert dataset.n_atoms.tolist() == [2, 1]
    assert dataset.energies == pytest.approx(np.array([-1.5, 2.0]) * KCAL_PER_MOL)
    assert dataset.forces[0] == pytest.approx(np.array([0.1, 0.2, 0.3]) * KCAL_PER_MOL / BOHR)
    assert dataset.positions[1] == pytest.approx([0, 0, 1.3 * BOHR])
    assert dataset.cells[1] == pytest.approx(np.diag([3, 4, 5]) * BOHR)
    assert dataset.pbc.tolist() == [[False] * 3, [True, False, False]]
    assert dataset.level == "here"


@pytest.mark.parametrize(
    ("comment", "energy", "pbc"),
    [
        ('Properties=species:S:1:pos:R:3 energy=4 Lattice="9 0 0 0 9 0 0 0 9"', 4.0, [True] * 3),
        ('Properties=species:S:1:pos:R:3 "energy=5 in words" energy=4', 4.0, [False] * 3),
        ("Properties=species:S:1:pos:R:3 config='energy=5' energy = 4 stress={1 2 3}", 4.0, [False] * 3),
        ('energy="4" REF_energy=6 pbc="0 0 0" Lattice="9, 0, 0, 0, 9, 0, 0, 0, 9"', 6.0, [False] * 3),
        ('level="wB97X \\"V\\"" energy=-4E0 pbc=[F,T,F] Lattice={9 0 0 0 9 0 0 0 9}', -4.0, [False, True, False]),
    ],
)
@pytest.mark.filterwarnings("ignore:.*no forces found")
def test_comment_lines(tmp_path, comment, energy, pbc):
    path = tmp_path / "a.xyz"
    path.write_text(f"1\n{comment}\nH 0 0 0\n")
    dataset = read(path)
    assert dataset.energies.tolist() == [energy]
    assert dataset.pbc.tolist() == [pbc]
    assert dataset.level == ('wB97X "V"' if "level" in comment else "")


@pytest.mark.filterwarnings("ignore::ffpt_core.datasets.DatasetWarning")
@pytest.mark.parametrize("lines", [0, 3, 7])
def test_files_are_read_in_blocks(tmp_path, monkeypatch, lines):
    monkeypatch.setattr("ffpt_core.datasets.formats.extxyz_parsing._BLOCK_LINES", lines)
    dataset = make([3, 1, 2, 5, 4, 2])
    datasets.write(dataset, tmp_path / "a.xyz")
    assert_same(read(tmp_path / "a.xyz"), dataset)
    text = (tmp_path / "a.xyz").read_text().splitlines()
    text[-1] = text[-1].replace(text[-1].split()[1], "far")
    (tmp_path / "a.xyz").write_text("\n".join(text))
    with pytest.raises(FfptError, match="frame 5: the atom lines do not fit"):
        read(tmp_path / "a.xyz")


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
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("atom", [0, 20])
@pytest.mark.parametrize("columns", [(1, "x"), (6, ""), (6, "1.0 2.0"), (slice(None), "")])
def test_an_unreadable_atom_of_frame_17_names_it(tmp_path, atom, columns):
    path = tmp_path / "frames.xyz"
    datasets.write(aspirin_like(30), path)
    lines = path.read_text().splitlines()
    words = lines[17 * 23 + 2 + atom].split()
    words[columns[0]] = columns[1] if isinstance(columns[0], int) else []
    lines[17 * 23 + 2 + atom] = " ".join(words)
    path.write_text("\n".join(lines))
    with pytest.raises(FfptError, match="frame 17: the atom lines do not fit"):
        read(path)


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
    assert dataset.energies is None
    assert dataset.forces is None
    assert "dft_energy" in str(caught[0].message)
    assert "dft_forces" in str(caught[1].message)
    dataset = read(path, energy_key="dft_energy", forces_key="dft_forces")
    assert dataset.energies.tolist() == [4.0]
    assert dataset.forces.tolist() == [[1.0, 2.0, 3.0]]
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
    with pytest.raises(FfptError, match=r"cannot read .*: No such file"):
        read(tmp_path / "absent.xyz")
    with pytest.raises(FfptError, match=r"unknown format '.dat'; known: extxyz, npz, .*, ase \(.xyz, .*.npz, .*.traj"):
        read(tmp_path / "a.dat")
    path.write_text(XYZ)
    with pytest.raises(FfptError, match="unknown energy unit 'erg'; known: eV, kcal/mol"):
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
