"""``ffpt analyze``: JSON and pictures from run folders and files, clear errors from anything else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from typer.testing import CliRunner

from ffpt_core.base.errors import FfptError
from ffpt_core.cli.analyze import analyze
from ffpt_core.cli.arguments import atom_indices, labelled, labelled_once
from ffpt_core.structure.graph import find_bonds
from ffpt_core.structure.read import read_geometry

mdtraj = pytest.importorskip("mdtraj")


def write_run(folder: Path, atoms: Atoms, outcomes: list[dict[str, Any]], scale: float = 0.02) -> Path:
    """A folder as ffpt md leaves it: half a picosecond between frames, the time of each outcome long."""
    folder.mkdir()
    topology = mdtraj.Topology()
    residue = topology.add_residue("MOL", topology.add_chain())
    members = [topology.add_atom(s, mdtraj.element.get_by_symbol(s), residue) for s in atoms.get_chemical_symbols()]
    for first, second in find_bonds(atoms):
        topology.add_bond(members[first], members[second])
    mdtraj.Trajectory(atoms.positions[None] / 10.0, topology).save_pdb(folder / "topology.pdb")
    rng = np.random.default_rng(len(folder.name))
    for index, outcome in enumerate(outcomes):
        n_frames = int(outcome["time_ps"] / 0.5)
        positions = atoms.positions + rng.normal(scale=scale, size=(n_frames, len(atoms), 3))
        times = 0.5 * np.arange(1, n_frames + 1)
        mdtraj.Trajectory(positions / 10.0, topology, time=times).save_hdf5(folder / f"trajectory-{index}.h5")
        rows = [f"{k},{t},-1000.0,20.0,-980.0,{300 + rng.normal():.3f}" for k, t in enumerate(times)]
        names = ("Step", "Time (ps)", "Potential Energy (kJ/mole)", "Kinetic Energy (kJ/mole)")
        names = (*names, "Total Energy (kJ/mole)", "Temperature (K)")
        header = "#" + ",".join(f'"{name}"' for name in names)
        (folder / f"state-{index}.csv").write_text("\n".join([header, *rows]) + "\n")
    (folder / "run.json").write_text(json.dumps({"settings": {"temperature": 300.0}, "replicas": outcomes}))
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> list[str]:
    ethane = molecule("C2H6")
    lost = {"status": "failed", "time_ps": 4.0, "reason": "bond C0-H2 is 1.70 A, reference 1.09 A"}
    done = {"status": "finished", "time_ps": 10.0}
    scratch = write_run(tmp_path / "scratch", ethane, [lost, done], scale=0.04)
    tuned = write_run(tmp_path / "tuned", ethane, [done, done])
    return [f"from scratch={scratch}", str(tuned)]


def run(arguments: list[str]) -> None:
    result = CliRunner().invoke(analyze, arguments)
    if result.exception is not None:
        raise result.exception


def test_stability_writes_curves_and_picture(runs: list[str], tmp_path: Path) -> None:
    run(["stability", *runs, "-o", str(tmp_path / "out")])
    record = json.loads((tmp_path / "out" / "stability.json").read_text())
    assert record["survival"]["from scratch"]["n_failed"] == 1
    assert record["survival"]["from scratch"]["replicas"][0]["reason"].startswith("bond C0-H2")
    assert record["survival"]["tuned"]["n_failed"] == 0
    assert record["criterion"]["tuned"]["max_stretch_angstrom"] == 0.5
    assert record["log_rank_p"]["from scratch / tuned"] == pytest.approx(0.317, abs=0.002)
    assert (tmp_path / "out" / "stability.png").stat().st_size > 5000


def test_equal_labels_are_pooled_and_files_need_no_record(runs: list[str], tmp_path: Path) -> None:
    files = [f"all={tmp_path / 'tuned' / f'trajectory-{index}.h5'}" for index in range(2)]
    run(["stability", *files, f"all={tmp_path / 'scratch'}", "-o", str(tmp_path / "out")])
    record = json.loads((tmp_path / "out" / "stability.json").read_text())["survival"]["all"]
    assert (record["n_replicas"], record["n_failed"]) == (4, 1)


@pytest.mark.parametrize("verb", ["h-of-r", "distances"])
def test_h_of_r_against_a_data_set(runs: list[str], tmp_path: Path, verb: str) -> None:
    from ffpt_core.datasets import Dataset

    ethane = molecule("C2H6")
    frames = ethane.positions + np.random.default_rng(9).normal(scale=0.02, size=(300, 8, 3))
    Dataset.from_arrays(ethane.numbers, frames).save(tmp_path / "frames.npz")
    run([verb, *runs, "--reference", str(tmp_path / "frames.npz"), "--skip", "1", "-o", str(tmp_path / "out")])
    errors = json.loads((tmp_path / "out" / "h-of-r.json").read_text())["errors"]
    assert errors["tuned"]["mae"] < 0.5 < errors["from scratch"]["mae"]
    assert (tmp_path / "out" / "h-of-r.png").stat().st_size > 5000


def test_h_of_r_against_another_run(runs: list[str], tmp_path: Path) -> None:
    run(["h-of-r", runs[0], "--reference", str(tmp_path / "tuned"), "-o", str(tmp_path / "out")])
    record = json.loads((tmp_path / "out" / "h-of-r.json").read_text())
    assert record["distributions"]["tuned (reference)"]["n_frames"] == 40


def test_h_of_r_leaves_out_runs_that_failed_before_a_frame(runs: list[str], tmp_path: Path) -> None:
    at_once = {"status": "failed", "time_ps": 0.01, "reason": "bond C0-H2 is 1.70 A, reference 1.09 A"}
    lost = write_run(tmp_path / "lost", molecule("C2H6"), [at_once, at_once])
    for index in range(2):
        (lost / f"trajectory-{index}.h5").unlink()
    run(["h-of-r", *runs, str(lost), "--reference", str(tmp_path / "tuned"), "-o", str(tmp_path / "out")])
    errors = json.loads((tmp_path / "out" / "h-of-r.json").read_text())["errors"]
    assert errors.keys() == {"from scratch", "tuned"}


def test_energy(runs: list[str], tmp_path: Path) -> None:
    run(["energy", *runs, "-o", str(tmp_path / "out")])
    record = json.loads((tmp_path / "out" / "energy.json").read_text())
    assert len(record["tuned"]) == 2
    assert record["tuned"][0]["target_k"] == 300.0
    assert record["tuned"][0]["temperature_k"] == pytest.approx(300.0, abs=1.5)
    assert record["tuned"][0]["drift_mev_per_atom_per_ps"] == pytest.approx(0.0, abs=1e-9)
    assert (tmp_path / "out" / "energy.png").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["stability", "nowhere"], "no run folder or trajectory nowhere"),
        (["stability", "{tmp}"], r"no run\.json"),
        (["stability", "=x"], "write LABEL=PATH"),
        (["stability", "{tmp}/a.dcd"], "give a topology"),
        (["energy", "{tmp}/scratch/trajectory-0.h5"], r"trajectory-0\.h5 has no table of energies"),
        (["stability", "{tmp}/scratch/state-0.csv"], "give a topology"),
        (["h-of-r", "{tmp}/tuned", "--reference", "{tmp}/tuned", "--skip", "99"], "no physical frame after 99 ps"),
    ],
)
def test_errors_say_what_is_wrong(runs: list[str], tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "a.dcd").write_bytes(b"")
    with pytest.raises(FfptError, match=message):
        run([argument.replace("{tmp}", str(tmp_path)) for argument in arguments])


def test_arguments_with_and_without_labels() -> None:
    assert labelled("fine-tuned=out/a.pt") == ("fine-tuned", "out/a.pt")
    assert labelled("out/a.pt") == ("a", "out/a.pt")
    assert labelled("tblite:GFN2-xTB") == ("GFN2-xTB", "tblite:GFN2-xTB")
    assert labelled("teacher:out/aspirin") == ("aspirin", "teacher:out/aspirin")
    with pytest.raises(FfptError, match="both called 'a'"):
        labelled_once(["x/a.pt", "y/a.pt"])
    assert atom_indices("14,4, 15", 3) == atom_indices("14-4-15", 3) == (14, 4, 15)
    for wrong in ("0", "0,x", "0,1,2", "-1,2"):
        with pytest.raises(FfptError, match="2 atoms counted from 0, such as 0,13"):
            atom_indices(wrong, 2)


def test_geometries(tmp_path: Path) -> None:
    molecule("H2O").write(tmp_path / "relaxed.xyz")
    assert read_geometry(tmp_path).get_chemical_formula() == "H2O"
    (tmp_path / "bad.xyz").write_text("three\n")
    with pytest.raises(FfptError, match=r"cannot read the structure .*bad\.xyz: .*header"):
        read_geometry(tmp_path / "bad.xyz")
    with pytest.raises(FfptError, match="No such file"):
        read_geometry(tmp_path / "none.xyz")
