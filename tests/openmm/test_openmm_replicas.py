"""Replicas in one Context: each one's own energies, statistics, failure, files and continuation."""

from __future__ import annotations

import dataclasses
import itertools
import resource
from pathlib import Path

import ase.io
import mdtraj
import numpy as np
import openmm as mm
import pytest
import torch
from openmm_models import random_potential, rattled, water_box, water_topology

from ffpt_core.analysis import StabilityCriterion
from ffpt_core.base.files import read_json
from ffpt_core.base.units import BOLTZMANN_KJ_PER_MOL, KJ_PER_MOL, NANOMETRE
from ffpt_openmm import MDSettings, create_system, run_md
from ffpt_openmm.forces.pythonforce import PotentialFunction
from ffpt_openmm.md import moving
from ffpt_openmm.md import run as simulation
from ffpt_openmm.md.group import ReplicaGroup
from ffpt_openmm.md.pool import ATOMS_AT_ONCE, grouped
from ffpt_openmm.md.replicas import Ensemble

SETTINGS = MDSettings(
    temperature=1, length=0.06, replicas=3, interval=5, log_interval=7.5, checkpoint_interval=0.02, max_stretch=0.4,
    minimize=False, backend="pythonforce", platform="Reference",
)  # fmt: skip
FAILING, FAILS_AT = 1, 57
"""The replica whose forces are spoilt in some tests, and the step from which they are."""


def _ensemble(teacher, replicas, **changes) -> Ensemble:
    potential = random_potential(torch.float64, scale=0.05, n_features=8, n_layers=2)
    settings = dataclasses.replace(SETTINGS, **{"temperature": 300, "friction": 20, **changes})
    ensemble = Ensemble(potential, teacher.topology, settings, [teacher.atoms], replicas)
    ensemble.begin()
    return ensemble


def _masses(teacher) -> np.ndarray:
    return np.array([atom.element.mass._value for atom in teacher.topology.atoms()])


def test_energies_are_those_of_each_copy(teacher) -> None:
    ensemble = _ensemble(teacher, [4, 0, 7])
    potential = random_potential(torch.float64, scale=0.05, n_features=8, n_layers=2)
    ensemble.advance(50)
    frames = ensemble.positions() * NANOMETRE
    atoms = teacher.atoms.copy()
    for frame, energy in zip(frames, ensemble.potential_energies(), strict=True):
        atoms.positions = frame
        assert energy * KJ_PER_MOL == pytest.approx(potential.energy_and_forces(atoms)[0], abs=1e-8)
    whole = ensemble._context.getState(energy=True)
    assert ensemble.potential_energies().sum() == pytest.approx(whole.getPotentialEnergy()._value, rel=1e-14)
    # The motion of the centres is the rest of what OpenMM counts.
    v, masses = ensemble._velocities(), _masses(teacher)
    of_centres = 0.5 * (np.einsum("a,raj->rj", masses, v) ** 2).sum() / masses.sum()
    total = whole.getKineticEnergy()._value
    assert 0 < of_centres < 0.3 * total
    assert ensemble.kinetic_energies().sum() + of_centres == pytest.approx(total, rel=1e-12)
    assert ensemble.temperatures(0.5 * 60 * BOLTZMANN_KJ_PER_MOL * np.array([300.0]))[0] == pytest.approx(300)


def test_a_replica_is_what_openmm_with_a_motion_remover_gives(teacher) -> None:
    """The same noise, with and without OpenMM's remover: one trajectory about the centre of mass, to rounding."""
    ensemble = _ensemble(teacher, [0])
    state = ensemble._context.getState(positions=True, velocities=True)
    settings, potential = dataclasses.replace(SETTINGS, temperature=300, friction=20), ensemble._shared[0]
    system = create_system(potential, teacher.topology, backend="pythonforce")
    assert isinstance(system.getForce(1), mm.CMMotionRemover)
    integrator = mm.LangevinMiddleIntegrator(300, 20, settings.timestep / 1000)
    integrator.setRandomNumberSeed(settings.noise_seed([0]))
    masses = _masses(teacher) / _masses(teacher).sum()
    ensemble.advance(100)
    positions, kinetic = ensemble.positions()[0], ensemble.kinetic_energies()[0]
    # Random numbers of the Reference platform are one stream for the process: one Context after the other.
    context = mm.Context(system, integrator, mm.Platform.getPlatformByName("Reference"))
    context.setState(state)
    integrator.step(100)
    found = context.getState(positions=True, velocities=True)
    other = found.getPositions(asNumpy=True)._value
    other = other - masses @ other + masses @ state.getPositions(asNumpy=True)._value
    np.testing.assert_allclose(positions, other, rtol=0, atol=1e-9)
    v = found.getVelocities(asNumpy=True)._value
    v = v - masses @ v
    assert kinetic == pytest.approx(0.5 * (_masses(teacher) @ v**2).sum(), rel=1e-8)
    assert np.abs(positions - state.getPositions(asNumpy=True)._value).max() > 0.01


def test_holding_the_centres_changes_nothing_else(teacher) -> None:
    """The centre of mass moves independently of all the rest: bringing it back leaves the same trajectory."""
    free, held = [], []
    for frames, hold in ((free, False), (held, True)):
        ensemble = _ensemble(teacher, [0, 1])
        for _ in range(20):
            ensemble.advance(10)
            if hold:
                ensemble.hold_centres()
            frames.append((ensemble.positions(), ensemble.kinetic_energies()[:, None, None]))
    masses = _masses(teacher) / _masses(teacher).sum()
    start = masses @ teacher.atoms.positions / NANOMETRE
    for (x, kinetic), (other_x, other_kinetic) in zip(free, held, strict=True):
        np.testing.assert_allclose(x, other_x, rtol=0, atol=1e-10)
        np.testing.assert_allclose(kinetic, other_kinetic, rtol=1e-9)
        np.testing.assert_allclose(np.einsum("a,raj->rj", masses, x), np.tile(start, (2, 1)), rtol=0, atol=1e-12)


def test_velocities_and_noise_are_functions_of_the_seed() -> None:
    noise = [SETTINGS.noise_seed(group) for group in ([0], [1], [0, 1], [0, 2], [0, 1, 2])]
    assert len({*noise, dataclasses.replace(SETTINGS, seed=1).noise_seed([0])}) == 6
    assert all(0 < seed < 2**31 for seed in noise)
    assert SETTINGS.noise_seed((0, 1)) == SETTINGS.noise_seed([0, 1])
    draws = [SETTINGS.velocity_noise(k).standard_normal(3).tolist() for k in (0, 1, 0)]
    assert draws[0] == draws[2] != draws[1]


def test_groups() -> None:
    assert grouped(range(10), 21, jobs=2) == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]
    assert grouped(range(10), 21, jobs=2, at_once=None) == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]
    assert grouped(range(3, 5), 21, jobs=8) == [[3], [4]]
    assert grouped(range(4), 10 * ATOMS_AT_ONCE, jobs=1) == [[0], [1], [2], [3]]
    for at_once in (ATOMS_AT_ONCE, None):
        assert grouped([], 21, jobs=2, at_once=at_once) == []
    for n, jobs in itertools.product((1, 7, 100), (1, 2, 3)):
        groups = grouped(range(n), 21, jobs)
        assert list(itertools.chain(*groups)) == list(range(n))
        assert max(map(len, groups)) * 21 <= ATOMS_AT_ONCE
        assert max(map(len, groups)) - min(map(len, groups)) <= 1
        assert len(groups) % jobs == 0 or len(groups) == n


def _run(potential, teacher, folder, **changes):
    settings = dataclasses.replace(SETTINGS, **changes)
    return run_md(potential, teacher.topology, folder, settings, teacher=teacher, jobs=1)


def _frames(folder, replica) -> np.ndarray:
    return mdtraj.load(folder / f"trajectory-{replica}.dcd", top=folder / "topology.pdb").xyz


def _table(folder, replica) -> np.ndarray:
    return np.loadtxt(folder / f"state-{replica}.csv", delimiter=",", ndmin=2)


def _contents(folder) -> dict[str, bytes]:
    """Of the files of replicas; the header of a DCD file holds the time of day."""
    names = [path for path in folder.iterdir() if path.name.startswith(("trajectory-", "state-", "failure-"))]
    return {path.name: path.read_bytes()[276 if path.suffix == ".dcd" else 0 :] for path in names}


@pytest.fixture
def spoilt(monkeypatch, request) -> str:
    """Forces on one replica that break at a step: they become NaN, or throw an atom out."""
    kind = getattr(request, "param", "nan")

    class Spoilt(PotentialFunction):
        def __call__(self, state):
            energy, forces = super().__call__(state)
            if self.replicas == 3 and state.getStepCount() >= FAILS_AT:
                forces[21 * FAILING, 0] = np.nan if kind == "nan" else 1e7
            return energy, forces

    monkeypatch.setattr(moving, "PotentialFunction", Spoilt)
    return kind


@pytest.fixture(scope="module")
def sound(tmp_path_factory, weak_potential, teacher) -> Path:
    """The run without the fault."""
    folder = tmp_path_factory.mktemp("replicas") / "sound"
    assert _run(weak_potential, teacher, folder).failed == 0
    return folder


@pytest.mark.parametrize(
    ("spoilt", "platform"), [("nan", "Reference"), ("kick", "Reference"), ("nan", "CPU")], indirect=["spoilt"]
)
def test_one_fails_and_the_others_go_on(tmp_path, weak_potential, teacher, sound, spoilt, platform) -> None:
    folder = tmp_path / "run"
    result = _run(weak_potential, teacher, folder, platform=platform)
    assert [outcome.status for outcome in result.outcomes] == ["finished", "failed", "finished"]
    lost = result.outcomes[FAILING]
    assert FAILS_AT < lost.steps <= 60
    assert lost.time_ps == pytest.approx(lost.steps * 0.0005)
    assert lost.reason == "coordinates are not finite" if spoilt == "nan" else lost.reason.startswith("bond")
    frame = ase.io.read(folder / f"failure-{FAILING}.xyz")
    assert frame.info["reason"] == lost.reason
    assert np.isfinite(frame.positions).all()
    assert frame.info["time_ps"] == pytest.approx(lost.time_ps)
    assert frame.info["frame_time_ps"] == pytest.approx(0.025 if spoilt == "nan" else lost.time_ps)
    assert not (folder / "failure-0.xyz").exists()
    # All that was written of it is sound, and ends before.
    assert len(_frames(folder, FAILING)) == 5
    assert _table(folder, FAILING)[:, 0].tolist() == [15, 30, 45]
    criterion = StabilityCriterion.from_topology(teacher.topology, teacher.atoms.positions, max_stretch=0.4)
    for replica in range(3):
        frames, expected = _frames(folder, replica), _frames(sound, replica)
        if platform == "Reference":
            np.testing.assert_array_equal(frames[:5], expected[:5])
        if replica != FAILING:
            # The others go on from where they were, with noise of their own.
            assert len(frames) == len(expected) == 12
            assert criterion.check(10 * frames) is None
            steps = np.abs(np.diff(frames, axis=0)).reshape(11, -1).max(1)
            assert steps[5] < 1.5 * steps[[3, 4, 6, 7]].max()
            table = _table(folder, replica)
            assert table[:, 0].tolist() == list(range(15, 121, 15))
            assert np.isfinite(table).all()
            assert np.abs(np.diff(table[:, 4])).max() < 0.5  # kJ/mol: the total energy knows of no failure


class _KilledError(BaseException):
    pass


@pytest.mark.parametrize(
    ("owner", "method", "call", "when"),
    [
        pytest.param(Ensemble, "without", 1, "before", id="written out, others not yet in a new Context"),
        pytest.param(ReplicaGroup, "_save", 2, "before", id="new Context, no checkpoint"),
        pytest.param(ReplicaGroup, "_save", 2, "after", id="checkpoint, run.json does not know"),
        pytest.param(ReplicaGroup, "_end", 1, "after", id="all done"),
        pytest.param(Ensemble, "positions", 14, "before", id="a frame and a row later"),
        pytest.param(ReplicaGroup, "_save", 3, "before", id="next checkpoint"),
    ],
)
def test_kill_near_a_failure(tmp_path, monkeypatch, weak_potential, teacher, spoilt, owner, method, call, when) -> None:
    """Whenever it is killed, the same command gives the files of the run that was not."""
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    expected = _run(weak_potential, teacher, unbroken)
    original, calls = getattr(owner, method), itertools.count(1)

    def killed(*arguments):
        number = next(calls)
        if (number, when) == (call, "before"):
            raise _KilledError
        result = original(*arguments)
        if (number, when) == (call, "after"):
            raise _KilledError
        return result

    with monkeypatch.context() as patch, pytest.raises(_KilledError):
        patch.setattr(owner, method, killed)
        _run(weak_potential, teacher, broken)
    assert (broken / f"failure-{FAILING}.xyz").is_file()
    assert {outcome["status"] for outcome in read_json(broken / "run.json")["replicas"]} <= {"running", "failed"}
    assert _contents(broken) != _contents(unbroken)
    again = _run(weak_potential, teacher, broken)
    assert [dataclasses.replace(o, steps_per_second=None) for o in again.outcomes] == [
        dataclasses.replace(o, steps_per_second=None) for o in expected.outcomes
    ]
    assert _contents(broken) == _contents(unbroken)


def test_run_with_a_failure_is_extended(tmp_path, weak_potential, teacher, spoilt) -> None:
    whole, grown = tmp_path / "whole", tmp_path / "grown"
    _run(weak_potential, teacher, whole)
    short = _run(weak_potential, teacher, grown, length=0.04)
    long = _run(weak_potential, teacher, grown)
    assert long.outcomes[FAILING] == short.outcomes[FAILING]
    assert [outcome.steps for outcome in long.outcomes][::2] == [120, 120]
    assert _contents(grown) == _contents(whole)
    before = _contents(grown)
    more = _run(weak_potential, teacher, grown, replicas=5)
    assert read_json(grown / "run.json")["groups"] == [[0, 1, 2], [3, 4]]
    assert [outcome.status for outcome in more.outcomes] == ["finished", "failed", *["finished"] * 3]
    assert before.items() <= _contents(grown).items()


def test_all_fail_at_different_times(tmp_path, teacher) -> None:
    """Each at its first unphysical frame, one after the other, as in Contexts of their own."""
    wild = random_potential(scale=1.0, n_features=8)
    result = _run(wild, teacher, tmp_path / "run", temperature=500, replicas=6, length=0.2)
    assert result.failed == 6
    assert len({outcome.steps for outcome in result.outcomes}) > 1
    criterion = StabilityCriterion.from_topology(teacher.topology, teacher.atoms.positions, max_stretch=0.4)
    for replica, outcome in enumerate(result.outcomes):
        frame = ase.io.read(tmp_path / "run" / f"failure-{replica}.xyz")
        assert criterion.check(frame.positions).reason == outcome.reason == frame.info["reason"]
        assert frame.info["potential_energy_ev"] == pytest.approx(wild.energy_and_forces(frame)[0], abs=1e-3)
        assert len(_frames(tmp_path / "run", replica)) == (outcome.steps - 1) // 10
    assert _run(wild, teacher, tmp_path / "run", temperature=500, replicas=6, length=0.2) == result


def test_tables_are_of_each_copy(sound, weak_potential, teacher) -> None:
    atoms, masses = teacher.atoms.copy(), _masses(teacher)
    energies = set()
    for replica in range(3):
        table, frames = _table(sound, replica), _frames(sound, replica)
        np.testing.assert_allclose(table[:, 1], 0.0075 * np.arange(1, 9), rtol=1e-12)
        np.testing.assert_allclose(table[:, 4], table[:, 2] + table[:, 3], rtol=1e-12)
        np.testing.assert_allclose(table[:, 5], table[:, 3] / (0.5 * 60 * BOLTZMANN_KJ_PER_MOL), rtol=1e-12)
        for row, frame in ((1, 2), (3, 5), (7, 11)):  # steps 30, 60 and 120
            atoms.positions = 10 * frames[frame]
            assert table[row, 2] * KJ_PER_MOL == pytest.approx(weak_potential.energy_and_forces(atoms)[0], abs=1e-4)
            energies.add(table[row, 2])
        centres = np.einsum("a,faj->fj", masses / masses.sum(), frames)
        np.testing.assert_allclose(centres - centres[0], 0, atol=1e-6)
    assert len(energies) == 9


@pytest.mark.parametrize("format", ["dcd", "h5"])
def test_replicas_of_a_box(tmp_path, format) -> None:
    if format == "h5":
        pytest.importorskip("tables")
    cell = np.array([[11.0, 0, 0], [2.0, 10.4, 0], [-1.5, 1.0, 10.8]])
    box = rattled(water_box(cell, 10), 0.01)
    settings = dataclasses.replace(SETTINGS, length=0.02, replicas=3, min_distance=0.5, max_stretch=1.0, format=format)
    model = random_potential(scale=0.01, n_features=8)
    run_md(model, water_topology(box, cell), tmp_path / "run", settings, structure=box, jobs=1)
    assert read_json(tmp_path / "run" / "run.json")["groups"] == [[0, 1, 2]]
    for replica in range(3):
        file = tmp_path / "run" / f"trajectory-{replica}.{format}"
        trajectory = mdtraj.load(file, top=tmp_path / "run" / "topology.pdb") if format == "dcd" else mdtraj.load(file)
        np.testing.assert_allclose(trajectory.unitcell_vectors[-1], cell / 10, atol=1e-5)
        assert np.abs(10 * trajectory.xyz[0] - box.positions).max() < 0.5


def test_more_files_than_a_process_may_open(tmp_path, monkeypatch, weak_potential, teacher) -> None:
    """As on a GPU, where all replicas share one Context."""
    monkeypatch.setattr(simulation, "ATOMS_AT_ONCE", None)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
        result = _run(weak_potential, teacher, tmp_path / "run", replicas=40, length=0.005)
        assert result.failed == 0
        assert read_json(tmp_path / "run" / "run.json")["groups"] == [list(range(40))]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
