"""Sampling: independent frames of dynamics at several temperatures, continued, extended, labelled."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ffpt_core.analysis.blocks import statistical_inefficiency
from ffpt_core.base.errors import FfptError, FfptWarning
from ffpt_core.base.units import BOLTZMANN
from ffpt_core.datasets import Dataset
from ffpt_core.structure.graph import find_bonds
from ffpt_core.teachers import Teacher, built_in
from ffpt_openmm import topology_of
from ffpt_openmm.md.sample import SampleSettings, sample


@pytest.fixture(scope="module")
def water() -> Teacher:
    return built_in("H2O")


FEW = SampleSettings((300.0, 600.0), frames=6, interval=0.05, equilibration=0.1, replicas=2, seed=3)


def test_the_inefficiency_of_a_known_process() -> None:
    """x[n+1] = a x[n] + noise has C(t) = a^t and g = (1 + a) / (1 - a)."""
    rng = np.random.default_rng(0)
    series = np.empty((4, 20_000))
    series[:, 0] = rng.standard_normal(4)
    for step in range(1, series.shape[1]):
        series[:, step] = 0.8 * series[:, step - 1] + 0.6 * rng.standard_normal(4)
    assert statistical_inefficiency(list(series)) == pytest.approx(9.0, rel=0.1)
    assert statistical_inefficiency([rng.standard_normal(20_000)]) == pytest.approx(1.0, abs=0.1)
    assert statistical_inefficiency([np.full(10, -76.4)]) == 1.0
    assert statistical_inefficiency([np.empty(0)]) == 1.0


def test_frames_of_two_temperatures(water: Teacher, tmp_path: Path) -> None:
    frames, sampled = sample(water, water.atoms, tmp_path / "out.npz", FEW, jobs=1)
    assert len(frames) == 12
    assert frames.groups["temperature"].tolist() == ["300"] * 6 + ["600"] * 6
    assert set(frames.groups["replica"]) == {"0", "1"}
    np.testing.assert_array_equal(frames.numbers.reshape(12, 3), np.tile(water.numbers, (12, 1)))
    energies, forces = water.energies_and_forces(frames.positions.reshape(12, 3, 3))
    np.testing.assert_allclose(frames.energies, energies, atol=1e-12)
    np.testing.assert_allclose(frames.forces.reshape(12, 3, 3), forces, atol=1e-12)
    assert frames.level == "Q-Force"
    assert Dataset.load(tmp_path / "out.npz").fingerprint == frames.fingerprint
    record = json.loads((tmp_path / "out.json").read_text())
    assert [one["temperature"] for one in record["temperatures"]] == [300.0, 600.0]
    assert all(one.inefficiency >= 1 and not one.failed for one in sampled)
    # The same call finds its runs and simulates nothing; more frames extend them and keep what was simulated.
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out.runs").rglob("trajectory-*.dcd")}
    assert len(before) == 4
    again, _ = sample(water, water.atoms, tmp_path / "out.npz", FEW, jobs=1)
    assert again.fingerprint == frames.fingerprint
    assert {path: path.stat().st_mtime_ns for path in before} == before
    with pytest.raises(FfptError, match="friction"):
        sample(water, water.atoms, tmp_path / "out.npz", SampleSettings(FEW.temperatures, friction=5.0), jobs=1)


def test_the_energy_is_that_of_the_temperature(water: Teacher, tmp_path: Path) -> None:
    """Equipartition: three vibrations of water, from 200 frames that are independent: 6 per cent."""
    settings = SampleSettings((300.0,), frames=200, interval=0.2, equilibration=1.0, replicas=4, seed=1)
    frames, (sampled,) = sample(water, water.atoms, tmp_path / "out.npz", settings, jobs=1)
    assert len(frames) == 200
    minimum = water.energies_and_forces(water.atoms.positions[None])[0][0]
    mean = frames.energies.mean() - minimum
    assert mean == pytest.approx(1.5 * BOLTZMANN * 300, rel=0.25)
    assert statistical_inefficiency([frames.energies]) < 1.5
    assert sampled.simulated >= 200 * 0.2


def test_labels_of_another_potential(water: Teacher, tmp_path: Path) -> None:
    settings = SampleSettings((300.0,), frames=3, interval=0.02, equilibration=0.0, replicas=1)
    frames, _ = sample(water, water.atoms, tmp_path / "out.npz", settings, label_with="ase:emt", jobs=1)
    assert frames.level == "emt"


def test_too_few_independent_frames_are_a_warning(water: Teacher, tmp_path: Path) -> None:
    """Frames 1 fs apart are much the same."""
    settings = SampleSettings((300.0,), frames=20, interval=0.001, equilibration=0.0, replicas=1, longest=1)
    with pytest.warns(FfptWarning, match=r"300 K: \d+ of 20 independent frames"):
        frames, (sampled,) = sample(water, water.atoms, tmp_path / "out.npz", settings, jobs=1)
    assert 0 < len(frames) < 20
    assert sampled.inefficiency == pytest.approx(20 / len(frames), rel=0.2)
    assert sampled.simulated == pytest.approx(0.02)


def test_only_the_physical_part_counts(water: Teacher, tmp_path: Path) -> None:
    hot = SampleSettings((20_000.0,), frames=50, interval=0.005, equilibration=0.0, replicas=2, max_stretch=0.3)
    with pytest.warns(FfptWarning, match="2 of 2 replicas became unphysical"):
        frames, (sampled,) = sample(water, water.atoms, tmp_path / "out.npz", hot, jobs=1)
    positions = frames.positions.reshape(len(frames), 3, 3)
    lengths = np.linalg.norm(positions[:, 1:] - positions[:, :1], axis=2)
    assert np.abs(lengths - 0.96).max() < 0.32
    assert sampled.failed == 2


def test_a_topology_from_a_structure(water: Teacher) -> None:
    topology = topology_of(water.atoms, find_bonds(water.atoms))
    assert [(first.index, second.index) for first, second in topology.bonds()] == [(0, 1), (0, 2)]
    assert topology.getPeriodicBoxVectors() is None
    boxed = water.atoms.copy()
    boxed.cell, boxed.pbc = np.eye(3) * 10, True
    np.testing.assert_allclose(topology_of(boxed).getPeriodicBoxVectors()._value, np.eye(3))
    boxed.pbc = (True, False, False)
    with pytest.raises(FfptError, match="periodic along all"):
        topology_of(boxed)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"temperatures": ()}, "needs temperatures"),
        ({"temperatures": (300.0, 300.0)}, "each of them once"),
        ({"frames": 0}, "at least 1, not 0"),
        ({"interval": 0.0}, "interval must be positive"),
        ({"friction": 0.0}, "needs a thermostat"),
    ],
)
def test_settings_that_make_no_sense(values: dict, message: str) -> None:
    with pytest.raises(FfptError, match=message):
        SampleSettings(**values)
