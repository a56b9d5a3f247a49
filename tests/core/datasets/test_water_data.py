"""Water boxes as data: made from nothing, killed and continued, and those of Fu et al."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from ffpt_core.base.errors import FfptError
from ffpt_core.base.files import read_json
from ffpt_core.base.runs import Parts
from ffpt_core.base.units import KCAL_PER_MOL
from ffpt_core.cli.main import make_app
from ffpt_core.datasets import Dataset, fetch, read
from ffpt_core.datasets.formats.fu_water import CONVERT
from ffpt_core.datasets.records.public import DataRecord, find_record
from ffpt_core.sampling.trajectory import Dynamics
from ffpt_core.sampling.water_box import WaterBox, make_water_box
from ffpt_core.teachers import load_teacher

_SCRIPT = """
import sys
from pathlib import Path
from test_water_data import _small
from ffpt_core.sampling import trajectory as sampling
sampling.SEGMENT = 0.1
from ffpt_core.sampling.water_box import make_water_box
make_water_box(_small(train=30, interval=0.02, test=0), Path(sys.argv[1]))
"""


def _small(**changes) -> WaterBox:
    values = {"n_molecules": 27, "cutoff": 4.6, "train": 4, "test": 2, "interval": 0.02, "test_interval": 0.01,
              "equilibration": 0.05}  # fmt: skip
    return WaterBox(**{**values, **changes})


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Path, dict[str, Dataset]]:
    folder = tmp_path_factory.mktemp("water") / "box"
    return folder, make_water_box(_small(train=20, test=4, interval=0.05, equilibration=0.5), folder)


def test_frames_are_whole_labelled_and_thermal(made) -> None:
    folder, sets = made
    reference = load_teacher(folder / "reference")
    assert sorted(path.name for path in folder.iterdir()) == ["reference", "test.npz", "train.npz", "water-box.json"]
    for name, frames in (("train", 20), ("test", 4)):
        data = read(folder / f"{name}.npz")
        assert data.fingerprint == sets[name].fingerprint == read_json(folder / "water-box.json")["fingerprints"][name]
        assert (len(data), data.level) == (frames, "SPC/Fw")
        assert data.pbc.all()
        positions = data.positions.reshape(frames, 27, 3, 3)
        lengths = np.linalg.norm(positions[:, :, 1:] - positions[:, :, :1], axis=-1)
        assert np.abs(lengths - 1.02).max() < 0.2  # no molecule is cut by the box
        centres = positions.mean(axis=2) / data.cells[0, 0, 0]
        assert ((centres >= 0) & (centres < 1)).all()
        energies, forces = reference.energies_and_forces(data.positions.reshape(frames, -1, 3), data.cells)
        np.testing.assert_allclose(data.energies, energies, atol=1e-9)
        np.testing.assert_allclose(data.forces.reshape(forces.shape), forces, atol=1e-9)
    x = sets["train"].positions.reshape(20, 27, 3, 3)
    lengths = np.linalg.norm(x[:, :, 1:] - x[:, :, :1], axis=-1)
    # Hydrogen bonds stretch every bond, and its thermal motion is about that length: k <(r - <r>)^2> = kT.
    assert 1.01 < lengths.mean() < 1.06
    assert 1059.162 * KCAL_PER_MOL * lengths.var() == pytest.approx(8.617e-5 * 300, rel=0.35)
    # relaxed.xyz has eight decimals.
    np.testing.assert_allclose(reference.atoms.positions, sets["train"][-1].positions, rtol=0, atol=1e-8)


def test_the_two_sets_and_other_seeds_are_other_trajectories(tmp_path) -> None:
    one = make_water_box(_small(), tmp_path / "one")
    again = make_water_box(_small(test=0), tmp_path / "again")
    other = make_water_box(_small(seed=1, test=0), tmp_path / "other")
    assert one["train"].fingerprint == again["train"].fingerprint
    assert "test" not in again
    assert one["train"].fingerprint != other["train"].fingerprint
    assert np.abs(one["train"].positions[: 81 * 2] - one["test"].positions).max() > 1


def test_a_killed_run_continues_exactly(tmp_path) -> None:
    tests = Path(__file__).parents[2]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, [Path(__file__).parent, tests, tests.parent])),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-c", _SCRIPT]
    process = subprocess.Popen([*command, tmp_path / "killed"], env=environment, stderr=subprocess.DEVNULL)
    parts, patience = Parts(tmp_path / "killed").folder, time.monotonic() + 200
    while len(list(parts.glob("train-0*.npz"))) < 3:
        assert process.poll() is None
        assert time.monotonic() < patience
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert len(list(parts.glob("train-0*.npz"))) < 6
    for name in ("killed", "unbroken"):
        subprocess.run([*command, tmp_path / name], env=environment, check=True, stderr=subprocess.DEVNULL)
    killed, unbroken = (read_json(tmp_path / name / "water-box.json") for name in ("killed", "unbroken"))
    assert killed["fingerprints"] == unbroken["fingerprints"]
    assert not parts.exists()


def test_bad_settings_and_foreign_folders(made, tmp_path) -> None:
    folder, _ = made
    with pytest.raises(FfptError, match="holds a water box of other settings"):
        make_water_box(_small(), folder)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("")
    with pytest.raises(FfptError, match="holds something else"):
        make_water_box(_small(), tmp_path / "mine")
    for changes, message in (
        ({"cutoff": 6.0}, "half the edge of a box of 27 molecules"),
        ({"train": 0, "test": 0}, "needs frames"),
        ({"interval": 0.0015}, "interval between frames of 0.0015 ps is not a whole number of 1 fs steps"),
        ({"model": "tip5p"}, "no water model"),
    ):
        with pytest.raises(FfptError, match=message):
            make_water_box(_small(**changes), tmp_path / "new")
    with pytest.raises(FfptError, match="temperature must be positive"):
        Dynamics(temperature=0)
    assert not (tmp_path / "new").exists()


# ---- the water of Fu et al.


def _fu(n_frames: int = 3, **changes) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    arrays = {
        "wrapped_coords": rng.uniform(0, 12.4, (n_frames, 6, 3)).astype(np.float32),
        "atom_types": np.array([8, 1, 1] * 2),
        "energy": rng.normal(-500, 1, (n_frames, 1)),
        "forces": rng.normal(0, 10, (n_frames, 6, 3)).astype(np.float32),
        "lengths": np.array([12.4, 12.5, 12.6]),
        "angles": np.array([90.0, 90.0, 90.0]),
    }
    return {name: value for name, value in {**arrays, **changes}.items() if value is not None}


def test_converted_water_is_read_in_ev(tmp_path) -> None:
    arrays = _fu()
    np.savez(tmp_path / "water.npz", **arrays)
    data = read(tmp_path / "water.npz")
    assert (len(data), data.level, data[0].get_chemical_formula()) == (3, "flexible SPC/E", "H4O2")
    np.testing.assert_allclose(data.energies, arrays["energy"][:, 0] * KCAL_PER_MOL)
    np.testing.assert_allclose(data.forces.reshape(3, 6, 3), arrays["forces"].astype(float) * KCAL_PER_MOL)
    np.testing.assert_allclose(data.cells[2], np.diag([12.4, 12.5, 12.6]))
    assert data.pbc.all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"energy": None}, "lacks energy"),
        ({"atom_types": np.array([8, 1, 1, 8, 1, 6])}, "not water"),
        ({"angles": np.array([90.0, 90.0, 60.0])}, "not rectangular"),
        ({"forces": np.zeros((2, 6, 3))}, "forces .2, 6, 3."),
        ({"energy": np.zeros(2)}, "energies of shape .2,. for 3 frames"),
        ({"lengths": np.zeros(2)}, "edges of shape"),
        ({"lattices": np.eye(3)}, "divided by their unit twice"),
    ],
)
def test_what_is_not_that_water_is_refused(tmp_path, changes, message) -> None:
    np.savez(tmp_path / "water.npz", **_fu(**changes))
    with pytest.raises(FfptError, match=message):
        read(tmp_path / "water.npz")


class _Bomb:
    def __reduce__(self):
        return os.mkdir, ("exploded",)


def test_the_pickled_file_is_never_loaded_and_its_conversion_works(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("bomb.npy", np.array({"energy": _Bomb()}, dtype=object), allow_pickle=True)
    with pytest.raises(FfptError, match="never loaded") as refused:
        read("bomb.npy")
    assert CONVERT in str(refused.value)
    assert not Path("exploded").exists()
    np.save("water.npy", np.array(_fu(), dtype=object), allow_pickle=True)
    subprocess.run(CONVERT.replace("python", sys.executable, 1), shell=True, check=True)
    assert len(read("water.npz")) == 3
    np.save("plain.npy", np.zeros(3))
    with pytest.raises(FfptError, match="a single array"):
        read("plain.npy")


def test_the_download_is_kept_and_not_loaded(tmp_path, monkeypatch) -> None:
    record: DataRecord = find_record("fu-water")
    assert record.urls[0].startswith("https://zenodo.org/record/7196767/files/water.npy")
    np.save(tmp_path / record.filename, np.array({"energy": _Bomb()}, dtype=object), allow_pickle=True)
    monkeypatch.chdir(tmp_path)
    with pytest.warns(UserWarning, match="taken on trust"):
        assert fetch(record, tmp_path).name == "water.npy"
    done = CliRunner().invoke(make_app(), ["data", "get", "fu-water", "--folder", str(tmp_path)])
    assert done.exit_code == 0
    assert done.stdout.strip().endswith("water.npy")
    assert not Path("exploded").exists()
