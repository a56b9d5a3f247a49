"""Time to failure and survival: planted failures, textbook curves, run folders of every outcome."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule

from ffpt_core.analysis.stability import (
    FailureTime,
    StabilityCriterion,
    compare,
    plot_survival,
    replica_failure,
    survival,
    time_to_failure,
)
from ffpt_core.analysis.trajectories import read_state
from ffpt_core.base.errors import FfptError
from ffpt_core.datasets.run_folders import Replica, read_run
from ffpt_core.structure.graph import find_bonds
from ffpt_core.structure.trajectory_files import dcd_times, load_trajectory

mdtraj = pytest.importorskip("mdtraj")


def topology_of(atoms: Atoms) -> mdtraj.Topology:
    topology = mdtraj.Topology()
    residue = topology.add_residue("MOL", topology.add_chain())
    for index, symbol in enumerate(atoms.get_chemical_symbols()):
        topology.add_atom(f"{symbol}{index}", mdtraj.element.get_by_symbol(symbol), residue)
    members = list(topology.atoms)
    for first, second in find_bonds(atoms):
        topology.add_bond(members[first], members[second])
    return topology


def trajectory_of(
    atoms: Atoms, n_frames: int = 60, interval: float = 0.5, broken: int | None = None
) -> mdtraj.Trajectory:
    """Small noise about a molecule; from frame broken on, one hydrogen is 0.6 Angstrom too far out."""
    positions = atoms.positions + np.random.default_rng(3).normal(scale=0.02, size=(n_frames, len(atoms), 3))
    if broken is not None:
        bond = atoms.positions[2] - atoms.positions[0]
        positions[broken:, 2] += 0.7 * bond / np.linalg.norm(bond)
    return mdtraj.Trajectory(positions / 10.0, topology_of(atoms), time=interval * np.arange(1, n_frames + 1))


@pytest.fixture
def ethane() -> Atoms:
    return molecule("C2H6")


@pytest.fixture
def criterion(ethane: Atoms) -> StabilityCriterion:
    return StabilityCriterion.from_reference(ethane)


def lived(time: float) -> FailureTime:
    return FailureTime(time, None, "", True)


def failed(time: float) -> FailureTime:
    return FailureTime(time, 0, "broken", False)


def test_planted_failure_has_its_time_and_reason(ethane: Atoms, criterion: StabilityCriterion) -> None:
    found = time_to_failure(trajectory_of(ethane, broken=37), criterion, "one")
    assert (found.frame, found.censored, found.name) == (37, False, "one")
    assert found.time == pytest.approx(19.0)
    assert found.reason.startswith("bond C0-H2 is 1.")


def test_physical_trajectory_is_censored_at_its_end(ethane: Atoms, criterion: StabilityCriterion) -> None:
    found = time_to_failure(trajectory_of(ethane), criterion)
    assert (found.time, found.frame, found.censored) == (pytest.approx(30.0), None, True)


def test_kaplan_meier_of_a_textbook() -> None:
    """Freireich et al. 1963, weeks in remission with 6-mercaptopurine, as in Kleinbaum & Klein, "Survival analysis"."""
    ended = [6, 6, 6, 7, 10, 13, 16, 22, 23]
    going = [6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35]
    curve = survival([failed(time) for time in ended] + [lived(time) for time in going])
    at = dict(zip(curve.times.tolist(), curve.fraction.tolist(), strict=True))
    expected = {6: 0.8571, 7: 0.8067, 10: 0.7529, 13: 0.6902, 16: 0.6275, 22: 0.5378, 23: 0.4482}
    for time, fraction in expected.items():
        assert at[time] == pytest.approx(fraction, abs=5e-5)
    assert at[0.0] == 1.0
    assert curve.median == 23.0
    assert (curve.n_failed, curve.n_replicas, curve.watched) == (9, 21, 359)
    # The same book: 6-MP against placebo, log-rank statistic 16.79 with one degree of freedom.
    placebo = survival([failed(t) for t in (1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23)])
    assert compare(curve, placebo) == pytest.approx(4.17e-5, rel=0.01)


def test_limits_without_a_failure_are_binomial() -> None:
    curve = survival([lived(100.0)] * 10)
    np.testing.assert_allclose(curve.fraction, 1.0)
    np.testing.assert_allclose(curve.lower, 0.025 ** (1 / 10), rtol=1e-9)
    np.testing.assert_allclose(curve.upper, 1.0)
    assert curve.median is None and curve.n_failed == 0
    assert compare(curve, curve) == 1.0


def test_limits_when_all_have_failed_are_finite() -> None:
    curve = survival([failed(1.0), failed(2.0), failed(3.0)])
    np.testing.assert_allclose(curve.fraction, [1.0, 2 / 3, 1 / 3, 0.0], atol=1e-12)
    assert np.isfinite(curve.lower).all() and np.isfinite(curve.upper).all()
    assert curve.lower[-1] == 0.0
    assert curve.upper[-1] == pytest.approx(1 - 0.025 ** (1 / 3))
    assert curve.median == 2.0


def test_survival_of_nothing_is_refused() -> None:
    with pytest.raises(FfptError, match="one trajectory or more"):
        survival([])


@pytest.fixture
def run_folder(ethane: Atoms, tmp_path: Path) -> Path:
    """Three replicas: finished, stopped by the guard after its last saved frame, and killed."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    trajectory_of(ethane)[0].save_pdb(folder / "topology.pdb")
    outcomes = [
        {"status": "finished", "time_ps": 30.0},
        {"status": "failed", "time_ps": 12.3, "reason": "bond C0-H2 is 1.80 A, reference 1.09 A"},
        {"status": "running", "time_ps": 7.0},
    ]
    for index, n_frames in enumerate((60, 24, 14)):
        trajectory_of(ethane, n_frames).save_hdf5(folder / f"trajectory-{index}.h5")
    (folder / "run.json").write_text(json.dumps({"settings": {"temperature": 500.0}, "replicas": outcomes}))
    return folder


def test_run_folder_outcomes(run_folder: Path, criterion: StabilityCriterion) -> None:
    found = [replica_failure(replica, criterion) for replica in read_run(run_folder)]
    assert [failure.censored for failure in found] == [True, False, True]
    assert [failure.time for failure in found] == pytest.approx([30.0, 12.3, 7.0])
    assert found[1].reason == "bond C0-H2 is 1.80 A, reference 1.09 A"
    assert [failure.name for failure in found] == ["scratch/0", "scratch/1", "scratch/2"]
    curve = survival(found)
    assert curve.times.tolist() == pytest.approx([0.0, 7.0, 12.3, 30.0])
    assert curve.fraction.tolist() == pytest.approx([1.0, 1.0, 0.5, 0.5])


def test_failure_in_saved_frames_comes_before_that_of_the_guard(
    run_folder: Path, ethane: Atoms, criterion: StabilityCriterion
) -> None:
    trajectory_of(ethane, 24, broken=4).save_hdf5(run_folder / "trajectory-1.h5")
    assert replica_failure(read_run(run_folder)[1], criterion).time == pytest.approx(2.5)


def test_reference_and_thermostat_of_a_run(run_folder: Path, ethane: Atoms) -> None:
    assert (read_run(run_folder)[0].reference, read_run(run_folder)[0].temperature) == (None, 500.0)
    ethane.write(run_folder / "reference.xyz")
    record = json.loads((run_folder / "run.json").read_text())
    record["settings"]["friction"] = 0.0
    (run_folder / "run.json").write_text(json.dumps(record))
    assert read_run(run_folder)[2].reference == run_folder / "reference.xyz"
    assert read_run(run_folder)[2].temperature is None


def test_replica_without_frames(run_folder: Path, criterion: StabilityCriterion) -> None:
    for index in range(3):
        (run_folder / f"trajectory-{index}.h5").unlink()
    first, second, _ = read_run(run_folder)
    assert replica_failure(second, criterion).time == pytest.approx(12.3)
    with pytest.raises(FfptError, match="scratch/0 has no frames yet"):
        replica_failure(first, criterion)


def test_other_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FfptError, match=r"no run\.json"):
        read_run(tmp_path)
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(FfptError, match="lists no replicas"):
        read_run(tmp_path)


def test_dcd_of_openmm_has_times(ethane: Atoms, tmp_path: Path) -> None:
    app = pytest.importorskip("openmm.app")
    unit = pytest.importorskip("openmm.unit")
    topology = topology_of(ethane).to_openmm()
    path, pdb = tmp_path / "a.dcd", tmp_path / "a.pdb"
    with open(path, "wb") as stream:
        writer = app.DCDFile(stream, topology, 0.5 * unit.femtoseconds, firstStep=40, interval=40)
        for _ in range(5):
            writer.writeModel(ethane.positions / 10.0 * unit.nanometers)
    trajectory_of(ethane)[0].save_pdb(pdb)
    trajectory = load_trajectory(path, pdb)
    np.testing.assert_allclose(trajectory.time, 0.02 * np.arange(1, 6), rtol=1e-6)
    np.testing.assert_allclose(10.0 * trajectory.xyz[0], ethane.positions, atol=1e-5)
    with open(tmp_path / "empty.dcd", "wb") as stream:
        app.DCDFile(stream, topology, 0.5 * unit.femtoseconds, firstStep=40, interval=40)
    assert Replica("a", path, pdb, None).has_frames
    assert not Replica("a", tmp_path / "empty.dcd", pdb, None).has_frames
    with pytest.raises(FfptError, match="has no frames"):
        load_trajectory(tmp_path / "empty.dcd", pdb)


def test_dcd_without_times_needs_an_interval(ethane: Atoms, tmp_path: Path) -> None:
    path, pdb = tmp_path / "a.dcd", tmp_path / "a.pdb"
    trajectory_of(ethane, 6).save_dcd(path)
    trajectory_of(ethane)[0].save_pdb(pdb)
    with pytest.raises(FfptError, match="does not say when its frames were taken"):
        load_trajectory(path, pdb)
    assert load_trajectory(path, pdb, frame_interval=0.2).time.tolist() == pytest.approx(np.arange(0.2, 1.3, 0.2))
    with pytest.raises(FfptError, match="give a topology"):
        load_trajectory(path)
    with pytest.raises(FfptError, match="no file"):
        load_trajectory(tmp_path / "b.dcd", pdb)
    (tmp_path / "c.dcd").write_bytes(b"not a trajectory")
    with pytest.raises(FfptError, match=r"cannot read the trajectory .*c\.dcd"):
        load_trajectory(tmp_path / "c.dcd", pdb)
    with pytest.raises(FfptError, match="is not a DCD file"):
        dcd_times(tmp_path / "c.dcd", 3)


def test_state_tables_of_openmm(tmp_path: Path) -> None:
    path = tmp_path / "state-0.csv"
    path.write_text('#"Step","Time (ps)","Speed (ns/day)"\n10,0.005,--\n20,0.010,55.1\n30,0.0')
    table = read_state(path)
    assert table["Step"].tolist() == [10, 20]
    assert table["Time (ps)"].tolist() == [0.005, 0.010]
    assert np.isnan(table["Speed (ns/day)"][0])
    path.write_text('#"Step","Time (ps)"\n10,0.005\n20\n30,0.015\n')
    with pytest.raises(FfptError, match="row 3: expected 2 values"):
        read_state(path)
    path.write_text("Step,Time\n")
    with pytest.raises(FfptError, match="must start with #"):
        read_state(path)


def test_picture_says_how_many_failed() -> None:
    curves = {
        "from scratch": survival([failed(3.0), failed(8.0), lived(20.0)]),
        "fine-tuned": survival([lived(20.0)] * 3),
    }
    figure = plot_survival(curves)
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == ["from scratch: 2 of 3 failed", "fine-tuned: 0 of 3 failed"]


def test_replica_record_is_plain() -> None:
    record = survival([failed(2.0), lived(4.0)]).to_dict()
    assert record["failures_per_ns"] == pytest.approx(1000 / 6)
    assert record["replicas"][0]["reason"] == "broken"
    assert Replica("a/0", None, Path("t.pdb"), None).status == "unfinished"
