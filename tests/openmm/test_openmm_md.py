"""Langevin runs on disk: exact resume, the guard, the record, what is refused."""

from __future__ import annotations

import csv
import dataclasses
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import ase.io
import mdtraj
import numpy as np
import openmm as mm
import pytest
import typer
from openmm import app
from openmm_models import random_potential, water_box, water_topology
from typer.testing import CliRunner

from ffpt_core import FfptError
from ffpt_core.analysis import StabilityCriterion
from ffpt_core.base.files import read_json
from ffpt_core.cli.spellings import of_today
from ffpt_openmm import MDSettings, StabilityReporter, UnphysicalFrameError, cli, run_md
from ffpt_openmm.forces import backends
from ffpt_openmm.md.folder import RunFolder

# Random weights hold no molecule together: the bonds may stretch by 50 Angstrom where survival is wanted.
GENTLE = MDSettings(
    temperature=1, length=0.1, interval=5, log_interval=10, checkpoint_interval=0.02, max_stretch=50,
    minimize=False, backend="pythonforce", platform="Reference",
)  # fmt: skip


def _run(potential, teacher, folder, jobs=1, **changes):
    return run_md(
        potential, teacher.topology, folder, dataclasses.replace(GENTLE, **changes), teacher=teacher, jobs=jobs
    )


def _frames(folder, replica=0) -> np.ndarray:
    return mdtraj.load(folder / f"trajectory-{replica}.dcd", top=folder / "topology.pdb").xyz


def _assert_same_run(one, other, replicas=1) -> None:
    for replica in range(replicas):
        frames = _frames(one, replica)
        assert len(frames) > 10
        np.testing.assert_array_equal(frames, _frames(other, replica))
        assert (one / f"state-{replica}.csv").read_text() == (other / f"state-{replica}.csv").read_text()


_SCRIPT = """
import dataclasses, sys
from test_openmm_md import GENTLE
from ffpt_core.teachers import aspirin
from ffpt_openmm import run_md
teacher = aspirin()
jobs = int(sys.argv[3])
settings = dataclasses.replace(GENTLE, length=2.0, replicas=2)
run_md(sys.argv[1], teacher.topology, sys.argv[2], settings, teacher=teacher, jobs=jobs)
"""


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory, weak_potential, teacher) -> dict[int, Path]:
    """By jobs: two replicas in one Context, or in Contexts of their own."""
    folders = {jobs: tmp_path_factory.mktemp("md") / "unbroken" for jobs in (1, 2)}
    _run(weak_potential, teacher, folders[1], length=2.0, replicas=2)
    _run(weak_potential, teacher, folders[2], length=2.0)
    _run(weak_potential, teacher, folders[2], length=2.0, replicas=2)
    return folders


@pytest.mark.parametrize("jobs", [1, 2])
def test_killed_run_continues_exactly(tmp_path, weak_potential, teacher, unbroken, jobs) -> None:
    model, broken = tmp_path / "model.pt", tmp_path / "broken"
    weak_potential.save(model)
    tests = Path(__file__).parents[1]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, [Path(__file__).parent, tests, tests.parent])),
        "OMP_NUM_THREADS": "1",
    }
    process = subprocess.Popen([sys.executable, "-c", _SCRIPT, model, broken, str(jobs)], env=environment)
    trajectory, checkpoint = broken / "trajectory-0.dcd", broken / "checkpoint-0.npz"
    patience = time.monotonic() + 300
    # Killed between two checkpoints, with frames behind the last one.
    while not (checkpoint.is_file() and trajectory.stat().st_mtime_ns > checkpoint.stat().st_mtime_ns):
        assert process.poll() is None
        assert time.monotonic() < patience
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert {outcome["status"] for outcome in read_json(broken / "run.json")["replicas"]} == {"running"}
    written = len(_frames(broken))
    assert 0 < written < 400
    groups = read_json(broken / "run.json")["groups"]
    assert groups == [[0, 1]] if jobs == 1 else [[0], [1]]
    for group in groups:  # the workers of a killed parent end by themselves
        while True:
            try:
                with RunFolder(broken).locked(group[0]):
                    break
            except FfptError:
                assert time.monotonic() < patience
                time.sleep(0.01)
    _run(model, teacher, broken, length=2.0, replicas=2)  # whatever the jobs now, who shares a Context is settled
    assert len(_frames(broken)) == 400
    _assert_same_run(broken, unbroken[jobs], replicas=2)


@pytest.mark.parametrize("backend", ["pythonforce", "torchforce"])
def test_extended_run_is_the_long_run(tmp_path, weak_potential, teacher, backend) -> None:
    if backend == "torchforce" and isinstance(backends.load_torchforce(), str):
        pytest.skip("openmmtorch does not load here")
    whole, grown = tmp_path / "whole", tmp_path / "grown"
    _run(weak_potential, teacher, whole, backend=backend, replicas=2)
    _run(weak_potential, teacher, whole, backend=backend, replicas=5)
    _run(weak_potential, teacher, grown, backend=backend, length=0.05, replicas=2)
    with open(grown / "trajectory-0.dcd", "ab") as stream:
        stream.write(b"a frame that a killed run left half written")
    with open(grown / "state-0.csv", "a") as stream:
        stream.write("110,0.05")
    result = _run(weak_potential, teacher, grown, backend=backend, replicas=5)
    assert [outcome.status for outcome in result.outcomes] == ["finished"] * 5
    assert read_json(grown / "run.json")["groups"] == [[0, 1], [2, 3, 4]]
    _assert_same_run(whole, grown, replicas=5)
    assert not np.array_equal(_frames(whole, 0), _frames(whole, 1))  # replicas have their own noise


def test_seeds_differ(tmp_path, finished, weak_potential, teacher) -> None:
    _run(weak_potential, teacher, tmp_path / "seeded", seed=1)
    assert not np.array_equal(_frames(finished), _frames(tmp_path / "seeded"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"temperature": 300}, "holds a run with temperature 1 (now 300)"),
        ({"seed": 3, "friction": 1.0}, "friction 2.0 (now 1.0), seed 0 (now 3)"),
        ({"length": 0.05}, "length 0.1 (now 0.05)"),
    ],
)
def test_other_settings_are_refused(finished, weak_potential, teacher, changes, message) -> None:
    before = (finished / "run.json").read_text()
    with pytest.raises(FfptError) as error:
        _run(weak_potential, teacher, finished, **changes)
    assert message in str(error.value)
    assert (finished / "run.json").read_text() == before


@pytest.fixture(scope="module")
def finished(tmp_path_factory, weak_potential, teacher) -> Path:
    folder = tmp_path_factory.mktemp("md") / "run"
    _run(weak_potential, teacher, folder)
    return folder


def test_other_potential_is_refused(finished, teacher) -> None:
    with pytest.raises(FfptError, match="another potential"):
        _run(random_potential(seed=1, scale=0.01, n_features=8, n_layers=1), teacher, finished)


def test_run_in_use_is_refused(finished, weak_potential, teacher) -> None:
    before = (finished / "run.json").read_text()
    with RunFolder(finished).locked(), pytest.raises(FfptError, match="being run by another process"):
        _run(weak_potential, teacher, finished, length=0.2)
    assert (finished / "run.json").read_text() == before


def test_finished_run_is_left_alone(finished, weak_potential, teacher) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in finished.iterdir() if path.suffix not in ("", ".json")}
    result = _run(weak_potential, teacher, finished)
    assert result.outcomes[0].status == "finished"
    assert before == {
        path.name: path.stat().st_mtime_ns for path in finished.iterdir() if path.suffix not in ("", ".json")
    }


def test_folder_explains_itself(finished, weak_potential, teacher) -> None:
    record = read_json(finished / "run.json")
    assert record["settings"]["temperature"] == 1
    assert record["settings"]["platform"] == "Reference"
    assert record["potential"]["elements"] == [1, 6, 8]
    assert record["replicas"][0] | {"steps_per_second": None} == {
        "status": "finished", "time_ps": 0.1, "steps": 200, "reason": "", "steps_per_second": None,
    }  # fmt: skip
    with open(finished / "state-0.csv") as stream:
        rows = list(csv.reader(stream))
    assert rows[0] == ['#"Step"', "Time (ps)", "Potential Energy (kJ/mole)", "Kinetic Energy (kJ/mole)",
                       "Total Energy (kJ/mole)", "Temperature (K)"]  # fmt: skip
    assert [int(row[0]) for row in rows[1:]] == list(range(20, 201, 20))
    assert len(_frames(finished)) == 20
    start = ase.io.read(finished / "start.xyz")
    np.testing.assert_allclose(start.positions, teacher.atoms.positions, atol=1e-7)
    topology = mdtraj.load(finished / "topology.pdb")
    np.testing.assert_allclose(10 * topology.xyz[0], teacher.atoms.positions, atol=1e-3)
    assert topology.topology.n_bonds == 21
    # The last row and the last frame are of the same step: the potential gives the energy in the table.
    start.positions = 10 * _frames(finished)[-1]
    energy = weak_potential.energy_and_forces(start)[0]
    assert float(rows[-1][2]) / 96.48533 == pytest.approx(energy, abs=1e-3)


def test_thermostat_holds_the_temperature(tmp_path, weak_potential, teacher) -> None:
    """Strong friction decorrelates velocities within a few steps: the mean over 100 rows is sharp."""
    _run(weak_potential, teacher, tmp_path / "run", temperature=300, friction=500.0, length=0.5, log_interval=5)
    rows = np.loadtxt(tmp_path / "run" / "state-0.csv", delimiter=",")
    assert rows[:, 5].mean() == pytest.approx(300, rel=0.07)
    assert rows[:, 5].std() == pytest.approx(300 * np.sqrt(2 / 60), rel=0.3)  # 60 degrees of freedom


def test_hdf5(tmp_path, finished, weak_potential, teacher) -> None:
    pytest.importorskip("tables")
    folder = tmp_path / "run"
    _run(weak_potential, teacher, folder, format="h5")
    trajectory = mdtraj.load(folder / "trajectory-0.h5")
    np.testing.assert_array_equal(trajectory.xyz, _frames(finished))
    np.testing.assert_allclose(trajectory.time, 0.005 * np.arange(1, 21), rtol=1e-5)
    assert trajectory.topology.n_bonds == 21
    assert not list(folder.glob("*.dcd"))
    _run(weak_potential, teacher, folder, format="h5")  # nothing left to do
    with pytest.raises(FfptError, match="closed as HDF5"):
        _run(weak_potential, teacher, folder, format="h5", length=0.2)


def test_unphysical_replicas_are_a_result(tmp_path, teacher) -> None:
    wild = random_potential(scale=1.0, n_features=8)
    result = _run(wild, teacher, tmp_path / "run", max_stretch=0.5, temperature=500, replicas=2)
    assert result.failed == 2
    for replica, outcome in enumerate(result.outcomes):
        assert 0 < outcome.time_ps < 0.1
        assert outcome.reason.startswith(("bond", "atoms"))
        frame = ase.io.read(tmp_path / "run" / f"failure-{replica}.xyz")
        assert frame.info["reason"] == outcome.reason
        assert frame.info["time_ps"] == pytest.approx(outcome.time_ps)
        criterion = StabilityCriterion.from_topology(teacher.topology, teacher.atoms.positions)
        assert criterion.check(frame.positions).reason == outcome.reason
        kept = (tmp_path / "run" / f"trajectory-{replica}.dcd").stat().st_size
        n_frames = round(outcome.time_ps * 1000) // 5
        if outcome.steps % 10 == 0:
            n_frames = (outcome.steps - 1) // 10  # the unphysical frame itself is not in the trajectory
        assert kept == 276 + n_frames * 3 * (21 * 4 + 8)
        if n_frames:
            assert criterion.check(10 * _frames(tmp_path / "run", replica)) is None
    again = _run(wild, teacher, tmp_path / "run", max_stretch=0.5, temperature=500, replicas=2)
    assert again == result


def test_minimum_of_a_bad_potential_is_not_the_start(tmp_path, teacher, caplog) -> None:
    wild = random_potential(scale=30.0, n_features=8)
    settings = dataclasses.replace(GENTLE, minimize=True, max_stretch=0.3, length=0.005)
    run_md(wild, teacher.topology, tmp_path / "run", settings, teacher=teacher, jobs=1)
    assert "whose minimum is unphysical" in read_json(tmp_path / "run" / "run.json")["minimized"]
    assert "starting from the geometry before" in caplog.text
    start = ase.io.read(tmp_path / "run" / "start.xyz")
    assert StabilityCriterion.from_topology(teacher.topology, teacher.atoms.positions).check(start.positions) is None


class _Broken:
    """A force that fails from a step on: "nan" energies and forces, or a "kick"."""

    def __init__(self, kind: str, step: int) -> None:
        self.kind, self.step = kind, step

    def __call__(self, state):
        positions = state.getPositions(asNumpy=True)._value
        forces = np.zeros_like(positions)
        if state.getStepCount() >= self.step:
            forces[0, 0] = np.nan if self.kind == "nan" else 1e8
        return forces[0, 0], forces


@pytest.mark.parametrize(("kind", "platform"), [("nan", "Reference"), ("nan", "CPU"), ("kick", "Reference")])
def test_reporter_in_a_script(tmp_path, teacher, kind, platform) -> None:
    system = mm.System()
    for atom in teacher.topology.atoms():
        system.addParticle(atom.element.mass)
    system.addForce(mm.PythonForce(_Broken(kind, 25)))
    integrator = mm.VerletIntegrator(0.0005)
    simulation = app.Simulation(teacher.topology, system, integrator, mm.Platform.getPlatformByName(platform))
    simulation.context.setPositions(teacher.atoms.positions / 10)
    criterion = StabilityCriterion.from_topology(teacher.topology, teacher.atoms.positions)
    guard = StabilityReporter(criterion, 5, tmp_path / "failure.xyz")
    trajectory = tmp_path / "trajectory.dcd"
    simulation.reporters.extend([guard, app.DCDReporter(str(trajectory), 5)])
    with pytest.raises(UnphysicalFrameError, match=r"unphysical at 0\.0") as stop:
        guard.run(simulation, 100)
    outcome = stop.value.outcome
    assert guard.outcome is outcome
    assert 25 < outcome.step <= 30
    frame = ase.io.read(tmp_path / "failure.xyz")
    assert np.isfinite(frame.positions).all()
    if kind == "nan":
        assert outcome.reason == "coordinates are not finite"
        assert frame.info["frame_time_ps"] == pytest.approx(0.0125)  # the last one that could be written
    else:
        assert outcome.reason.startswith("bond")
    simulation.reporters.clear()
    assert mdtraj.load(trajectory, top=mdtraj.Topology.from_openmm(teacher.topology)).n_frames == 5


def _invoke(*arguments: object):
    command = typer.Typer()
    command.command()(cli.md)
    return CliRunner().invoke(command, of_today(cli.md, [str(argument) for argument in arguments]))


def test_command(tmp_path, weak_potential, teacher) -> None:
    weak_potential.save(tmp_path / "model.pt")
    teacher.save(tmp_path / "teacher")
    run = tmp_path / "run"
    common = (tmp_path / "model.pt", "-o", run, "--length", 0.02, "--backend", "pythonforce", "--jobs", 1)
    done = _invoke(*common, "--teacher", tmp_path / "teacher", "--max-stretch", 50, "--temperature", 20)
    assert done.exit_code == 0, done.output
    assert read_json(run / "run.json")["replicas"][0]["status"] == "finished"
    assert "GAFF" in read_json(run / "run.json")["minimized"]
    other = (*common[:2], tmp_path / "other", *common[3:], "--no-minimize")
    failed = _invoke(*other, "--topology", tmp_path / "teacher" / "topology.pdb", "--max-stretch", 0.0001)
    assert failed.exit_code == 0  # a result, not an error
    assert read_json(tmp_path / "other" / "run.json")["replicas"][0]["status"] == "failed"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give the atoms"),
        (("--teacher", "aspirin", "--timestep", "0"), "timestep must be positive"),
        (("--teacher", "aspirin", "--interval", "0.7"), "not a whole number of steps"),
        (("--teacher", "aspirin", "--format", "xtc"), "no trajectory format 'xtc'"),
        (("--teacher", "aspirin", "--structure", "nothing.xyz"), "cannot read the structure"),
        (("--topology", "nothing.pdb"), "cannot read the topology"),
        (("--teacher", "nobody"), "neither the folder of a teacher"),
    ],
)
def test_bad_input(tmp_path, weak_potential, arguments, message) -> None:
    weak_potential.save(tmp_path / "model.pt")
    done = _invoke(tmp_path / "model.pt", "-o", tmp_path / "run", *arguments)
    assert isinstance(done.exception, FfptError)
    assert message in str(done.exception)
    assert not (tmp_path / "run").exists()


def test_atoms_that_do_not_fit(tmp_path, weak_potential, teacher) -> None:
    water = ase.Atoms("OHH", [[0, 0, 0], [0.96, 0, 0], [0, 0.96, 0]])
    with pytest.raises(FfptError, match="topology has 21 atoms and the starting geometry 3"):
        run_md(weak_potential, teacher.topology, tmp_path / "run", GENTLE, structure=water)
    squeezed = teacher.atoms.copy()
    squeezed.positions /= 10  # nm taken for Angstrom
    with pytest.raises(FfptError, match=r"starting geometry is unphysical: .* in Angstrom"):
        run_md(weak_potential, teacher.topology, tmp_path / "run", GENTLE, structure=squeezed, teacher=teacher)
    with pytest.raises(FfptError, match="starting geometry is unphysical: atoms"):
        run_md(weak_potential, teacher.topology, tmp_path / "run", GENTLE, structure=squeezed)
    folder = tmp_path / "foreign"
    folder.mkdir()
    (folder / "trajectory-0.dcd").write_bytes(b"")
    with pytest.raises(FfptError, match=r"holds trajectory-0.dcd, but no run.json"):
        _run(weak_potential, teacher, folder)


def test_full_disk_loses_nothing(tmp_path, weak_potential, teacher, unbroken) -> None:
    """A limit on the size of files stands for the full disk: writing fails half-way."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    folder = tmp_path / "run"
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))  # 70 frames
    try:
        with pytest.raises(FfptError, match=r"replica 0 of .* stopped: File too large; .* same command continues"):
            _run(weak_potential, teacher, folder, length=2.0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert len(_frames(folder)) > 60
    _run(weak_potential, teacher, folder, length=2.0)
    _assert_same_run(folder, unbroken[2])


def test_periodic_box(tmp_path) -> None:
    cell = np.array([[11.0, 0, 0], [2.0, 10.4, 0], [-1.5, 1.0, 10.8]])
    box = water_box(cell, 20)
    box.positions += 7.0  # half of the molecules outside of the box
    topology = water_topology(box, cell)
    settings = dataclasses.replace(GENTLE, length=0.02, min_distance=0.5, max_stretch=1.0)
    run_md(random_potential(scale=0.01, n_features=8), topology, tmp_path / "run", settings, structure=box, jobs=1)
    assert read_json(tmp_path / "run" / "run.json")["replicas"][0]["status"] == "finished"
    trajectory = mdtraj.load(tmp_path / "run" / "trajectory-0.dcd", top=tmp_path / "run" / "topology.pdb")
    np.testing.assert_allclose(trajectory.unitcell_vectors[-1], cell / 10, atol=1e-5)
    assert np.abs(10 * trajectory.xyz[0] - box.positions).max() < 0.5  # continuous, not wrapped into the box
    assert read_json(tmp_path / "run" / "run.json")["criterion"]["longest_bound_angstrom"] == 0.5
