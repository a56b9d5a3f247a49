"""ffpt analyze rdf, diffusion, geometry and stability of liquids: what they write, and clear answers to wrong input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ase.io
import mdtraj
import numpy as np
import pytest
from ase import Atoms
from liquid_examples import EDGE, water, write
from typer.testing import CliRunner

from ffpt_core.base.errors import FfptError
from ffpt_core.cli.analyze import analyze
from ffpt_core.datasets import Dataset
from ffpt_core.structure.trajectory_files import load_trajectory


def run(tmp_path: Path, *arguments: str) -> dict[str, Any]:
    """Run a verb; returns the JSON that it wrote."""
    output = tmp_path / "out"
    result = CliRunner().invoke(analyze, [*arguments, "-o", str(output)])
    if result.exception is not None:
        raise result.exception
    assert (output / f"{arguments[0]}.png").stat().st_size > 5000
    return json.loads((output / f"{arguments[0]}.json").read_text())


def walking(n_frames: int = 150, seed: int = 0) -> mdtraj.Trajectory:
    """Molecules that all take the same random steps, wrapped atom by atom."""
    box = water(n_frames, 0.2, seed, spread=0.02)
    steps = np.random.default_rng(seed).normal(scale=np.sqrt(2 * 0.2 * 0.2), size=(n_frames, 1, 3))
    box.xyz = (box.xyz + np.cumsum(steps, axis=0) / 10.0) % (EDGE / 10.0)
    return box


@pytest.fixture
def box(tmp_path: Path) -> list[str]:
    return write(water(15), tmp_path, "a.h5")


def test_rdf_and_its_file_as_a_reference(tmp_path: Path, box: list[str]) -> None:
    record = run(tmp_path, "rdf", f"one={box[0]}", "--r-max", "5")
    assert record["distributions"]["one"].keys() == {"O-O", "O-H", "H-H"} and not record["errors"]
    (tmp_path / "out" / "rdf.json").rename(tmp_path / "one.json")
    record = run(tmp_path, "rdf", f"two={box[0]}", "--reference", f"one={tmp_path / 'one.json'}", "--pairs", "O-O")
    assert record["errors"]["two"]["O-O"]["mae"] == pytest.approx(0.0, abs=1e-12)
    assert record["errors"]["two"]["O-O"]["r_max_angstrom"] == pytest.approx(5.0, abs=0.03)


def test_rdf_against_a_data_set_and_of_files_without_cell_or_time(tmp_path: Path) -> None:
    frames = water(15, seed=3)
    atoms = [Atoms([8, 1, 1] * 64, positions=10.0 * xyz, cell=3 * [EDGE], pbc=True) for xyz in frames.xyz]
    Dataset.from_atoms(atoms).save(tmp_path / "frames.npz")
    arguments = write(water(15), tmp_path, "a.xyz")
    record = run(tmp_path, "rdf", *arguments, "--box", str(EDGE), "--reference", str(tmp_path / "frames.npz"))
    error = record["errors"]["a"]["O-O"]
    assert 0.0 < error["mae"] < 3 * error["floor"]
    assert error["integral_angstrom"] == pytest.approx(error["mae"] * error["r_max_angstrom"])


def test_diffusion_of_molecules_that_move_together_is_all_drift(tmp_path: Path) -> None:
    arguments = write(walking(), tmp_path, "a.h5")
    window = ["--fit-start", "1", "--fit-end", "5"]
    correction = ["--viscosity", "0.85", "--temperature", "300"]
    record = run(tmp_path, "diffusion", f"one={arguments[0]}", *window, *correction)["diffusion"]["one"]
    assert record["coefficient_1e-9_m2_per_s"] == pytest.approx(0.0, abs=0.01)
    assert record["corrected_coefficient_1e-9_m2_per_s"] == pytest.approx(0.5915, abs=0.01)
    assert record["window_ps"] == [1.0, 5.0]


def test_diffusion_against_a_reference(tmp_path: Path) -> None:
    """The same walk in two formats, one of them without cell and times."""
    rng = np.random.default_rng(0)
    box = water(300, 0.2, spread=0.0)
    # So slow a walk about the sites of the lattice makes no contacts.
    places = np.cumsum(rng.normal(scale=0.02, size=(300, 64, 3)), axis=0)
    box.xyz = box.xyz + np.repeat(places, 3, axis=1) / 10.0
    arguments = write(box, tmp_path, "a.xyz")[1:]
    box.save(tmp_path / "b.h5")
    fast, slow = (f"{name}={tmp_path / file}" for name, file in (("fast", "a.xyz"), ("slow", "b.h5")))
    options = ["--frame-interval", "0.2", "--box", str(EDGE), "--fit-start", "1", "--fit-end", "8"]
    record = run(tmp_path, "diffusion", fast, "--reference", slow, *arguments, *options)
    ratio = record["ratios"]["fast"]
    assert ratio["ratio"] == pytest.approx(1.0, abs=0.01) and ratio["error"] > 0.01
    found = record["diffusion"]["fast"]
    # D = s^2 / 2 dt = 0.001 Angstrom^2/ps.
    assert found["coefficient_angstrom2_per_ps"] == pytest.approx(0.001, abs=3 * found["error_angstrom2_per_ps"])


def test_stability_of_a_liquid(tmp_path: Path) -> None:
    broken = water(30)
    broken.xyz[12:, 4] += 0.06
    arguments = write(broken, tmp_path, "broken.h5")
    water(30, seed=5).save(tmp_path / "sound.h5")
    runs = [f"runs={tmp_path / name}" for name in ("broken.h5", "sound.h5")]
    record = run(
        tmp_path, "stability", *runs, *arguments[1:], "--rdf-reference", str(tmp_path / "sound.h5")
    )  # fmt: skip
    assert (record["survival"]["runs"]["n_failed"], record["survival"]["runs"]["n_replicas"]) == (1, 2)
    assert record["criterion"]["runs"]["longest_bound_angstrom"] == 1.2
    assert record["rdf"]["max_error_angstrom"] == 3.0
    first, second = record["liquid"]["runs"]
    assert first["by_criterion"]["bonds"]["frame"] == 12 and first["by_criterion"]["rdf"]["censored"]
    assert second["first"]["censored"] and len(second["rdf_drift"]["starts_ps"]) == 21
    assert (tmp_path / "out" / "stability-rdf.png").stat().st_size > 5000


def test_geometry(tmp_path: Path, box: list[str]) -> None:
    record = run(tmp_path, "geometry", f"one={box[0]}", "--windows", "3")
    assert record["one"]["angle_degrees"]["mean"] == pytest.approx(104.5, abs=0.01)
    with np.load(tmp_path / "out" / "geometry.npz", allow_pickle=False) as arrays:
        assert arrays["one/angles"].shape == (3, 180) and arrays["one/times"].shape == (4,)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rdf", "{xyz}"], "has no cell: give the edges of its box"),
        (["rdf", "{xyz}", "--box", "a"], "write one edge or three"),
        (["rdf", "{h5}", "--r-max", "9"], "needs a larger box"),
        (["rdf", "{h5}", "--skip", "9"], "no physical frame after 9 ps"),
        (["rdf", "{h5}", "--reference", "{tmp}/x.json"], r"x\.json is no rdf\.json"),
        (["diffusion", "{xyz}", "--box", "12.4"], "does not say when its frames were taken"),
        (["diffusion", "{h5}"], "fewer than three lags"),
        (["diffusion", "{h5}", "--selection", "element C"], "picks no atom"),
        (["stability", "{h5}", "--rdf-reference", "{h5}", "--window", "0.1"], "holds 1 frames: too few"),
    ],
)  # fmt: skip
def test_errors_say_what_is_wrong(tmp_path: Path, box: list[str], arguments: list[str], message: str) -> None:
    write(water(3), tmp_path, "a.xyz")
    (tmp_path / "x.json").write_text("{}")
    places = {"{xyz}": f"{tmp_path}/a.xyz", "{h5}": box[0], "{tmp}": str(tmp_path)}
    for short, place in places.items():
        arguments = [argument.replace(short, place) for argument in arguments]
    with pytest.raises(FfptError, match=message):
        run(tmp_path, *arguments, *box[1:])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("suffix", [".traj", ".extxyz"])
def test_trajectories_of_ase_are_measured_as_those_of_others(tmp_path: Path, suffix: str) -> None:
    """Bonds are found, cells are there; only times must be given."""
    made = walking()
    frames = [Atoms([8, 1, 1] * 64, positions=10.0 * xyz, cell=3 * [EDGE], pbc=True) for xyz in made.xyz]
    theirs = str(tmp_path / f"a{suffix}")
    ase.io.write(theirs, frames)
    (ours, *_) = write(made, tmp_path, "b.h5")
    read = load_trajectory(theirs, frame_interval=0.2)
    np.testing.assert_allclose(read.xyz, made.xyz, atol=1e-6)
    np.testing.assert_allclose(read.unitcell_vectors, made.unitcell_vectors, atol=1e-6)
    bonds, expected = ([(a.index, b.index) for a, b in one.topology.bonds] for one in (read, made))
    assert sorted(bonds) == sorted(expected)
    for verb, options in (
        ("rdf", ["--r-max", "5"]),
        ("geometry", []),
        ("diffusion", ["--fit-start", "1", "--fit-end", "5"]),
        ("stability", ["--min-distance", "0.5"]),
    ):
        found = run(tmp_path, verb, f"one={theirs}", *options, "--frame-interval", "0.2")
        expected = run(tmp_path, verb, f"one={ours}", *options, "--frame-interval", "0.2")
        assert_like(found, expected)
    with pytest.raises(FfptError, match="does not say when its frames were taken"):
        run(tmp_path, "diffusion", theirs, "--fit-start", "1", "--fit-end", "5")
    ase.io.write(theirs, [*frames[:2], frames[0][:-3]])
    with pytest.raises(FfptError, match=r"frame 2 of .* has other atoms than the first"):
        run(tmp_path, "geometry", theirs, "--frame-interval", "0.2")


def assert_like(found: Any, expected: Any) -> None:
    """The same, names of files aside, numbers to what a pair on the edge of a bin changes."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            assert_like(found[key], value)
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_like(one, other)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=0.02, abs=0.005, nan_ok=True)
    elif not isinstance(expected, str):
        assert found == expected
