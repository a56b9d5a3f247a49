"""The hydrogen combustion benchmark: reader, corrections, groups, splits, errors by group; our own set; spin."""

from __future__ import annotations

import dataclasses
import importlib.resources
import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from conftest import small_potential
from dataset_examples import SHARED, assert_same, make
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from ffpt_core import load
from ffpt_core.base.errors import FfptError
from ffpt_core.base.units import KCAL_PER_MOL
from ffpt_core.cli.main import main
from ffpt_core.datasets import (
    Dataset,
    DatasetWarning,
    Split,
    combustion_dft,
    drop_repeats,
    group_split,
    read,
    read_combustion,
    write,
)
from ffpt_core.datasets.formats.combustion import KEYS, trajectories
from ffpt_core.datasets.formats.combustion_corrections import CORRECTIONS, Block, contradiction, corrected, turned_back
from ffpt_core.datasets.records import combustion_files
from ffpt_core.datasets.records.combustion import reaction_names
from ffpt_core.datasets.storage import load_arrays
from ffpt_core.potentials.sources import open_potential
from ffpt_core.teachers.qforce.species_teachers import species_teacher
from ffpt_core.training import make_configuration, train
from ffpt_core.training.evaluation import errors_by, predict

BENCHMARK = SHARED / "h2combustion"
TEACHERS = {name: species_teacher(name) for name in ("H2", "OH", "H2O", "H2O2")}


def block(stem: str, name: str, frames: int = 40, sigma: float = 0.05, seed: int = 0) -> Block:
    """Rattled frames of a species in kcal/mol, labelled by its teacher, as those of a file."""
    teacher = TEACHERS[name]
    noise = np.random.default_rng(seed).normal(0, sigma, (frames, *teacher.atoms.positions.shape))
    positions = teacher.atoms.positions + noise
    energies, forces = teacher.energies_and_forces(positions)
    return Block(stem, teacher.numbers, positions, energies / KCAL_PER_MOL, forces / KCAL_PER_MOL)


def write_padded(folder: Path, frames: Block) -> Path:
    """The file of a block, padded to six atoms as those of the benchmark are."""
    count, atoms = frames.positions.shape[:2]

    def padded(array: np.ndarray) -> np.ndarray:
        return np.pad(array, [(0, 0), (0, 6 - atoms), *[(0, 0)] * (array.ndim - 2)])

    path = folder / f"{frames.stem}.npz"
    np.savez(
        path,
        R=padded(frames.positions),
        Z=padded(np.tile(frames.numbers, (count, 1))),
        N=np.full((count, 1), atoms),
        E=frames.energies[:, None],
        F=padded(frames.forces),
        RXN=np.full((count, 1), frames.stem[:2]),
    )
    return path


def test_padded_files_become_frames_in_ev(tmp_path: Path) -> None:
    water, hydrogen = block("08_nm", "H2O"), block("05_irc", "H2", 7)
    for frames in (water, hydrogen):
        write_padded(tmp_path, frames)
    dataset, reading = read_combustion(tmp_path)
    assert reading.frames == {"05_irc": 7, "08_nm": 40}
    assert dataset.n_atoms.tolist() == [2] * 7 + [3] * 40
    np.testing.assert_allclose(dataset.energies[7:], water.energies * KCAL_PER_MOL)
    np.testing.assert_allclose(dataset.forces[14:], water.forces.reshape(-1, 3) * KCAL_PER_MOL)
    assert dataset.groups["reaction"].tolist() == ["05"] * 7 + ["08"] * 40
    assert dataset.groups["source"].tolist() == ["irc"] * 7 + ["nm"] * 40
    assert dataset.level == "wB97X-V/cc-pVTZ"
    one = read(tmp_path / "08_nm.npz")
    assert_same(one, dataclasses.replace(dataset[7:]))


def test_files_that_are_not_of_the_benchmark_are_refused(tmp_path: Path) -> None:
    frames = block("08_nm", "H2O")
    with pytest.raises(FfptError, match="holds none of the files 01_irc"):
        read_combustion(tmp_path)
    arrays = dict(np.load(write_padded(tmp_path, frames)))
    for change, message in (
        ({"F": arrays["F"][:-1]}, "F does not fit 40 frames"),
        ({"N": arrays["N"] + 1}, "N says 4 atoms, Z 3"),
        ({"Z": np.where(np.arange(40)[:, None] == 9, arrays["Z"][:, ::-1], arrays["Z"])}, "frame 9 has other atoms"),
    ):
        np.savez(tmp_path / "08_nm.npz", **(arrays | change))
        with pytest.raises(FfptError, match=message):
            read_combustion(tmp_path)
    (tmp_path / "08_nm.npz").rename(tmp_path / "water.npz")
    with pytest.raises(FfptError, match="REACTION_SOURCE"):
        read(tmp_path / "water.npz")


def test_reactions_are_chosen_as_people_write_them() -> None:
    assert reaction_names(["9", "06", "12"]) == ("06a", "06b", "09", "12")
    assert reaction_names(["6b"]) == ("06b",)
    with pytest.raises(FfptError, match="no reaction '20'"):
        reaction_names(["20"])


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), degrees=st.floats(0.5, 25.0))
def test_turned_forces_are_turned_back(seed: int, degrees: float) -> None:
    rng = np.random.default_rng(seed)
    frame = block("03_irc", "H2O2", 1, 0.2, seed)
    axis = rng.normal(size=3)
    turn = Rotation.from_rotvec(np.radians(degrees) * axis / np.linalg.norm(axis))
    positions, forces = frame.positions[0], frame.forces[0]
    back = turned_back(positions, turn.apply(forces))
    centred = positions - positions.mean(axis=0)
    torque, moments = np.cross(centred, back).sum(axis=0), centred.T @ back
    change = np.trace(moments) * np.eye(3) - moments.T
    # What is left lies about axes that no rotation of the forces reaches: none, but where atoms or forces are in line.
    assert np.linalg.norm(np.linalg.pinv(change, rcond=0.02) @ torque) < 1e-9
    if np.linalg.cond(change) < 49:
        np.testing.assert_allclose(torque, 0, atol=1e-6 * np.abs(forces).max())
    np.testing.assert_allclose(np.linalg.norm(back, axis=1), np.linalg.norm(forces, axis=1), rtol=1e-8)
    right = turned_back(positions, forces)
    np.testing.assert_allclose(right, forces, atol=1e-8 * np.abs(forces).max())


def test_forces_turned_in_the_plane_are_recovered() -> None:
    """As in 09_irc: a bent molecule of three atoms, by angles up to 40 degrees."""
    frames = block("09_irc", "H2O", 20)
    first = frames.positions[:, :2] - frames.positions[:, 2:]
    normal = np.cross(first[:, 0], first[:, 1])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    angles = np.radians(np.linspace(-40, 40, 20))
    turned = np.array(
        [Rotation.from_rotvec(a * n).apply(f) for a, n, f in zip(angles, normal, frames.forces, strict=True)]
    )
    mended, counts = corrected(dataclasses.replace(frames, forces=turned))
    assert counts == {"09-irc-forces": 20}
    np.testing.assert_allclose(mended.forces, frames.forces, atol=1e-6)
    untouched, counts = corrected(dataclasses.replace(frames, forces=turned), ["09-irc-forces"])
    assert counts == {}
    assert (untouched.forces == turned).all()


def test_factors_of_units_and_masses_are_undone() -> None:
    frames = block("04_aimd", "H2O")
    wrong = frames.forces * 1182.683 / 1185.821
    wrong[:, frames.numbers == 8] *= 15.999 / 15.9949
    mended, counts = corrected(dataclasses.replace(frames, forces=wrong))
    assert counts == {"04-aimd-forces": 40, "aimd-oxygen-forces": 40}
    np.testing.assert_allclose(mended.forces, frames.forces, rtol=1e-9)
    right, counts = corrected(frames, ["04-aimd-forces"])
    assert counts == {"aimd-oxygen-forces": 0}
    assert (right.forces == frames.forces).all()


def test_scans_lose_their_other_scf_solutions() -> None:
    length = np.linspace(0.6, 4.0, 69)
    positions = np.zeros((69, 2, 3))
    positions[:, 1, 0] = length
    energies, forces = TEACHERS["OH"].energies_and_forces(positions)
    energies = energies / KCAL_PER_MOL
    jumped = (length > 3.0) & (np.arange(69) % 3 == 0)
    scan = Block("07_irc", np.array([8, 1]), positions, energies + 17.0 * jumped, forces / KCAL_PER_MOL)
    kept, counts = corrected(scan)
    assert counts == {"07-scf": int(jumped.sum())}
    np.testing.assert_allclose(kept.energies, energies[~jumped])
    assert len(corrected(scan, ["07-scf"])[0]) == 69


@pytest.mark.parametrize(("name", "stem"), [("H2O", "08_nm"), ("H2O2", "15_nm")])
def test_an_energy_that_its_neighbours_contradict_is_found(name: str, stem: str) -> None:
    frames = block(stem, name, 600, 0.03)
    assert np.abs(contradiction(frames)).max() < 1.0
    bad = np.random.default_rng(1).choice(600, 30, replace=False)
    energies = frames.energies.copy()
    energies[bad] += 6.0
    kept, counts = corrected(dataclasses.replace(frames, energies=energies))
    assert counts == {stem[:3].replace("_", "-") + "scf": 30}
    assert set(kept.energies) == set(np.delete(frames.energies, bad))


def test_unknown_corrections_are_refused_with_the_known_ones() -> None:
    with pytest.raises(FfptError, match="no correction is called '9-irc'; there are 06a-scf, "):
        corrected(block("09_irc", "H2O"), ["9-irc"])


def test_of_repeated_frames_the_lowest_is_kept() -> None:
    data = make([2, 3, 2, 3])
    twice = Dataset.concatenate(
        [data, dataclasses.replace(data, energies=data.energies + np.array([1.0, -1.0, 0.0, 1.0]))]
    )
    assert drop_repeats(twice, lowest=True).energies.tolist() == [*data.energies[[0, 2, 3]], data.energies[1] - 1.0]
    assert drop_repeats(twice).energies.tolist() == data.energies.tolist()


def test_trajectories_begin_at_the_saddle_even_where_its_frame_is_missing() -> None:
    rng = np.random.default_rng(0)
    saddle = rng.normal(size=(3, 3))
    runs = [saddle + np.arange(20)[:, None, None] * 0.05 * rng.normal(size=(3, 3)) for _ in range(15)]
    runs[4] = runs[4][1:]
    found = trajectories(np.concatenate(runs))
    assert found.tolist() == [number for number, run in enumerate(runs) for _ in run]


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 9), min_size=6, max_size=30), seed=st.integers(0, 99), n_validation=st.integers(0, 8)
)
def test_groups_are_never_torn_apart(sizes: list[int], seed: int, n_validation: int) -> None:
    labels = np.repeat([f"t{index}" for index in range(len(sizes))], sizes)
    data = dataclasses.replace(make([1] * len(labels)), groups={"trajectory": labels})
    n_train = max(1, len(labels) // 4)
    assume(n_validation + n_train + 2 * max(sizes) <= len(labels))  # a part may run over by all but one of a group
    split = group_split(data, "trajectory", n_train, n_validation, seed=seed)
    assert len(split.train) == n_train
    assert len(split.validation) == n_validation
    parts = [set(labels[frames]) for frames in (split.train, split.validation, split.test)]
    assert not (parts[0] & parts[1] or parts[0] & parts[2] or parts[1] & parts[2])
    untouched = set(labels) - parts[0] - parts[1]
    assert parts[2] <= untouched  # groups that were cut to size may have lost all their frames


def grouped(sizes: list[int], **groups: list[str]) -> Dataset:
    return dataclasses.replace(make(sizes), groups=groups)


def test_groups_stay_with_their_frames(tmp_path: Path) -> None:
    data = grouped([2, 1, 3], reaction=["09", "01", "09"], note=['a "b"', "", "c\\d"])
    for name in ("data.npz", "data.xyz"):
        write(data, tmp_path / name)
        again = read(tmp_path / name)
        assert {key: list(values) for key, values in again.groups.items()} == {
            key: list(values) for key, values in data.groups.items()
        }
    assert data[[2, 0]].groups["reaction"].tolist() == ["09", "09"]
    assert data.fingerprint == dataclasses.replace(data, groups={}).fingerprint
    both = Dataset.concatenate([data, make([1])])
    assert both.groups["reaction"].tolist() == ["09", "01", "09", ""]
    with pytest.raises(FfptError, match=r"group reaction: labels of shape \(2,\) for 3 frames"):
        grouped([1, 1, 1], reaction=["09", "01"])
    with pytest.raises(FfptError, match="plain word"):
        dataclasses.replace(data, groups={"a b": ["", "", ""]})


def test_errors_by_group_are_those_of_its_frames() -> None:
    data = grouped([2, 3, 1, 2], reaction=["01", "09", "09", "01"], source=["irc", "nm", "irc", "nm"])
    energies = data.energies + np.array([1.0, 2.0, 4.0, 5.0])
    forces = data.forces + np.repeat([1.0, 2.0, 4.0, 5.0], data.n_atoms)[:, None]
    table = errors_by(data, energies, forces, "reaction")
    assert list(table) == ["01", "09"]
    assert table["01"].energy_mae == pytest.approx(3.0)
    assert table["09"].force_mae == pytest.approx((3 * 2 + 1 * 4) / 4)
    assert list(errors_by(data, energies, forces, "reaction,source")) == ["01 irc", "01 nm", "09 irc", "09 nm"]
    with pytest.raises(FfptError, match="no group 'x'; they have reaction, source"):
        errors_by(data, energies, forces, "x")


def folder_of_two(folder: Path) -> None:
    write_padded(folder, block("05_irc", "H2", 30))
    write_padded(folder, block("08_nm", "H2O", 120))


def test_from_files_to_errors_by_reaction(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The commands one after the other; frames of two sizes train together, and kept shifts stay at free atoms."""
    folder_of_two(tmp_path)
    h2, split, errors = tmp_path / "h2.npz", tmp_path / "split.json", tmp_path / "errors"
    assert main(["data", "combustion", str(tmp_path), "-o", str(h2), "--without", "08-scf"]) == 0
    record = json.loads(h2.with_suffix(".json").read_text())
    assert record["frames"] == 150
    assert record["frames_read"] == {"05_irc": 30, "08_nm": 120}
    assert record["without"] == ["08-scf"]
    assert "08_aimd" in record["missing"]
    assert "05_nm" not in record["missing"]
    command = ["data", "split", str(h2), "--train", "40%", "--validation", "20", "--by", "trajectory", "-o", str(split)]
    assert main(command) == 0
    assert len(Split.load(split).train) == 60
    configuration = make_configuration(
        {
            "data": {"train": h2, "split": split},
            "output": tmp_path / "run",
            "network": {"n_features": 8, "n_basis": 4, "n_layers": 1},
            "epochs": 1,
            "shifts": "keep",
            "kernel": "torch",
        }
    )
    result = train(configuration)
    assert np.isfinite([row["validation_loss"] for row in result.history]).all()
    potential = load(tmp_path / "run" / "potential.pt")
    assert not potential.shifts.any()
    arguments = ["--data", str(h2), "--split", str(split), "-o", str(errors)]
    assert main(["evaluate", str(tmp_path / "run" / "potential.pt"), *arguments]) == 0
    groups = json.loads((errors / "evaluate.json").read_text())["groups"]
    assert set(groups) == {"reaction", "source"}  # not the many trajectories
    test = read(h2)[Split.load(split).test]
    expected = errors_by(test, *predict(potential, test), "source")["irc"].to_dict()
    assert groups["source"]["potential"]["irc"] == pytest.approx(expected)
    capsys.readouterr()
    assert main(["data", "split", str(h2), "--train", "many", "-o", str(split)]) == 2
    assert "--train many" in capsys.readouterr().err
    assert main(["data", "combustion", str(tmp_path), "--source", "md", "-o", str(h2)]) == 2
    assert "no source 'md'" in capsys.readouterr().err
    assert main(["data", "combustion", "--list"]) == 0
    assert [line.partition(":")[0] for line in capsys.readouterr().out.splitlines()] == list(CORRECTIONS)


def test_a_free_atom_in_a_batch_has_no_forces() -> None:
    """Single atoms stand among molecules in mixtures of species."""
    data = make([1, 3, 1, 2])
    hydrogens = dataclasses.replace(data, numbers=np.ones(7, dtype=int))
    potential = small_potential(torch.float64)
    energies, forces = predict(potential, hydrogens)
    assert energies[0] == pytest.approx(energies[2], abs=1e-10)
    assert not forces[0].any()


def test_data_sets_of_different_molecules_are_joined(tmp_path: Path) -> None:
    one, other = make([2, 2]), dataclasses.replace(make([3]), groups={"species": ["water"]})
    one.save(tmp_path / "one.npz")
    other.save(tmp_path / "other.npz")
    files = [str(tmp_path / name) for name in ("one.npz", "other.npz")]
    assert main(["data", "join", *files, "-o", str(tmp_path / "both.npz")]) == 0
    both = read(tmp_path / "both.npz")
    assert both.n_atoms.tolist() == [2, 2, 3]
    assert both.groups["file"].tolist() == ["one", "one", "other"]
    assert both.groups["species"].tolist() == ["", "", "water"]


def test_downloads_are_checked_by_their_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = {"09_irc": 60, "05_irc": 52}

    def fetch(record: object, folder: Path) -> Path:
        stem = Path(record.filename).stem
        assert record.urls == (f"https://raw.githubusercontent.com/THGLab/H2COMBUSTION_DATA/HEAD/{stem}.npz",)
        folder.mkdir(exist_ok=True)
        warnings.warn("on trust", DatasetWarning, stacklevel=2)
        return write_padded(folder, block(stem, "H2O", sent[stem]))

    monkeypatch.setattr(combustion_files, "fetch", fetch)
    with pytest.warns(DatasetWarning, match="those of 1 files are taken on trust"):
        folder = combustion_files.fetch_combustion(["09"], ["irc"], tmp_path / "files")
    assert read_combustion(folder)[1].frames == {"09_irc": 60}
    with pytest.raises(FfptError, match="has 52 frames, the published file has 53"):
        combustion_files.fetch_combustion(["05"], ["irc", "nm"], tmp_path / "files")


@pytest.mark.skipif(not BENCHMARK.is_dir(), reason="the combustion benchmark is not here")
def test_the_real_benchmark() -> None:
    """Counts of what facts/combustion.md lists, and forces of 09_irc and 04_aimd that fit their energies better."""
    dataset, reading = read_combustion(BENCHMARK)
    dropped = {name: sum(reading.corrections[name].values()) for name in ("06a-scf", "06b-dissociation", "07-scf")}
    assert dropped == {"06a-scf": 25, "06b-dissociation": 46, "07-scf": 9}
    assert reading.corrections["08-scf"]["08_irc"] == reading.corrections["15-scf"]["15_irc"] == 1
    assert 40 <= reading.corrections["08-scf"]["08_nm"] <= 60
    assert reading.missing == ["03_nm"]
    assert len(dataset) == 263_421
    assert reading.repeats == 8_735

    def mismatch(frames: Block) -> float:
        """Median error of dE against trapezoid work between neighbouring frames, kcal/mol."""
        way = np.diff(frames.positions, axis=0)
        error = np.diff(frames.energies) + 0.5 * ((frames.forces[1:] + frames.forces[:-1]) * way).sum(axis=(1, 2))
        return float(np.median(np.abs(error)))

    for stem, gain in (("09_irc", 0.7), ("03_irc", 0.95), ("04_aimd", 0.97)):
        path = BENCHMARK / f"{stem}.npz"
        arrays = load_arrays(path, names=KEYS)
        atoms = int(arrays["N"][0, 0])
        raw = Block(stem, arrays["Z"][0, :atoms], arrays["R"][:, :atoms], arrays["E"].ravel(), arrays["F"][:, :atoms])
        mended, _ = corrected(raw)
        assert mismatch(mended) < gain * mismatch(raw), stem


def test_a_spin_broken_guess_separates_hydrogen() -> None:
    """Restricted H2 at 4 Angstrom lies far above two free atoms; the broken-symmetry solution does not."""
    pytest.importorskip("pyscf")
    atom = Atoms("H", calculator=open_potential("pyscf:HF/sto-3g", multiplicity=2).calculator()).get_potential_energy()
    stretched = Atoms("H2", [(0, 0, 0), (0, 0, 4.0)])
    stretched.calc = open_potential("pyscf:HF/sto-3g").calculator()
    restricted = stretched.get_potential_energy()
    stretched.calc = open_potential("pyscf:HF/sto-3g/df/spins=1,-1").calculator()
    broken = stretched.get_potential_energy()
    assert restricted > 2 * atom + 5
    assert broken == pytest.approx(2 * atom, abs=0.05)
    stretched.calc = open_potential("pyscf:HF/sto-3g/spins=1,-1,0").calculator()
    with pytest.raises(FfptError, match="spins 1, -1, 0 do not fit 2 atoms"):
        stretched.get_potential_energy()
    with pytest.raises(FfptError, match="'nonsense' is neither df nor spins"):
        open_potential("pyscf:HF/sto-3g/nonsense").calculator()


FOLDER = importlib.resources.files("ffpt_core.datasets") / "data"


def test_the_dft_set_is_what_its_card_says() -> None:
    data = combustion_dft()
    card = (FOLDER / "combustion-dft.md").read_text()
    assert data.fingerprint in card
    assert "CC0" in card
    assert len((FOLDER / "combustion-dft.npz").read_bytes()) < 1e6
    assert set(data.groups["reaction"]) == {"01", "09"}
    assert (data.numbers.reshape(-1, 3) == [8, 8, 1]).all()
    forces = data.forces.reshape(-1, 3, 3)
    np.testing.assert_allclose(forces.sum(axis=1), 0, atol=0.02)  # eV/Angstrom: the integration grid is not exact
    torque = np.cross(data.positions.reshape(-1, 3, 3), forces).sum(axis=1)
    np.testing.assert_allclose(torque, 0, atol=0.05)
    # HO2 lies 7.6 to 7.8 eV below its atoms, and no frame below HO2.
    assert data.energies[data.groups["reaction"] == "09"].min() == pytest.approx(-7.7, abs=0.15)
    assert data.energies.min() == data.energies[data.groups["reaction"] == "09"].min()


def test_the_dft_set_is_smooth_along_the_scan_of_ho2() -> None:
    """Energy differences between neighbours on the path are the work of the forces: one SCF solution all the way."""
    data = combustion_dft()
    doublet = data[data.groups["reaction"] == "09"]
    positions, forces = doublet.positions.reshape(-1, 3, 3), doublet.forces.reshape(-1, 3, 3)
    planar = np.abs(positions[:, :, 2]).max(axis=1) < 1e-6
    bond = np.linalg.norm(positions[:, 1] - positions[:, 2], axis=1)
    angle = np.degrees(np.arccos((positions[:, 1, 0] - positions[:, 2, 0]) / bond))
    on_path = planar & (np.abs(angle - 105.0 - 8.0 * (bond - 0.85) / 2.45) < 0.01)
    order = np.flatnonzero(on_path)[np.argsort(bond[on_path])]
    far = order[bond[order] > 1.9]
    assert len(far) >= 5
    way = np.diff(positions[far], axis=0)
    work = -0.5 * ((forces[far][1:] + forces[far][:-1]) * way).sum(axis=(1, 2))
    np.testing.assert_allclose(np.diff(doublet.energies[far]), work, atol=0.01)


def test_the_dft_set_is_our_own() -> None:
    if not BENCHMARK.is_dir():
        pytest.skip("the combustion benchmark is not here")

    def distances(data: Dataset) -> np.ndarray:
        positions = data.positions.reshape(-1, 3, 3)
        return np.linalg.norm(positions[:, [0, 0, 1]] - positions[:, [1, 2, 2]], axis=2)

    theirs = Dataset.concatenate(
        [read(BENCHMARK / f"{stem}.npz") for stem in ("01_irc", "01_aimd", "09_irc", "09_aimd")]
    )
    away, _ = cKDTree(distances(theirs)).query(distances(combustion_dft()))
    assert away.min() > 1e-6
