"""MD of boxes: reference models, constant energy and pressure, starts from another run, wrapping, both backends."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
from pathlib import Path

import mdtraj
import numpy as np
import openmm as mm
import pytest
import torch
from openmm.app import PDBFile
from openmm_models import random_potential, rattled, water_box, water_topology
from typer.testing import CliRunner

from ffpt_core.base.errors import FfptError
from ffpt_core.base.files import read_json
from ffpt_core.base.units import BOLTZMANN_KJ_PER_MOL, KJ_PER_MOL, KJ_PER_MOL_NM
from ffpt_core.cli.main import make_app
from ffpt_core.cli.spellings import of_today
from ffpt_core.teachers import water
from ffpt_openmm import MDSettings, create_system, run_md
from ffpt_openmm.cli import md
from ffpt_openmm.forces.backends import load_torchforce
from ffpt_openmm.md.moving import resolved
from ffpt_openmm.md.replicas import Ensemble
from ffpt_openmm.md.starts import frames_of_run, starts_of

BACKENDS = [
    "pythonforce",
    pytest.param("torchforce", marks=pytest.mark.skipif(isinstance(load_torchforce(), str), reason="no TorchForce")),
]
SETTINGS = MDSettings(temperature=300, length=0.02, interval=2, log_interval=2, checkpoint_interval=0.01,
                      minimize=False, platform="Reference")  # fmt: skip
CELL = np.array([[11.0, 0, 0], [2.0, 10.4, 0], [-1.5, 1.0, 10.8]])


def _context(potential, topology, atoms, backend) -> mm.Context:
    system = create_system(potential, topology, backend=backend, remove_cm_motion=False)
    context = mm.Context(system, mm.VerletIntegrator(0.001), mm.Platform.getPlatformByName("Reference"))
    context.setPositions(atoms.positions / 10)
    return context


def _state(context, atoms):
    context.setPeriodicBoxVectors(*(atoms.cell.array / 10))
    context.setPositions(atoms.positions / 10)
    state = context.getState(energy=True, forces=True)
    return state.getPotentialEnergy()._value * KJ_PER_MOL, state.getForces(asNumpy=True)._value * KJ_PER_MOL_NM


@pytest.fixture(scope="module")
def small():
    """27 SPC/Fw molecules."""
    return water.water_box(n_molecules=27, cutoff=4.5, seed=1)


# ---- what a barostat needs: energies that follow the box


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_energy_follows_the_box_as_the_virial_says(backend) -> None:
    potential = random_potential(torch.float64, scale=1.0, n_features=8, n_layers=2)
    box = rattled(water_box(CELL, 12), 0.05)
    context = _context(potential, water_topology(box, CELL), box, backend)
    box.calc = potential.calculator()
    for stretch in (1.0, 0.93, 1.08):  # a barostat changes the box of a Context that exists
        scaled = box.copy()
        scaled.set_cell(stretch * CELL, scale_atoms=True)
        scaled.calc = box.calc
        energy, forces = _state(context, scaled)
        assert energy == pytest.approx(scaled.get_potential_energy(), abs=1e-7)
        np.testing.assert_allclose(forces, scaled.get_forces(), atol=1e-7)
    step, energies = 1e-5, []
    for sign in (1, -1):
        scaled = box.copy()
        scaled.set_cell((1 + sign * step) * CELL, scale_atoms=True)
        energies.append(_state(context, scaled)[0])
    slope = (energies[0] - energies[1]) / (2 * step)  # dE/dlnL = V tr(stress)
    assert abs(slope) > 0.01
    assert slope == pytest.approx(box.get_volume() * box.get_stress()[:3].sum(), rel=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_box_thinner_than_the_cutoff_is_right(backend) -> None:
    """One molecule in 3.5 Angstrom, with images beyond the nearest, against 27 of them in three times that."""
    potential = random_potential(torch.float64, scale=1.0, n_features=8, n_layers=2)
    cell = 3.5 * np.eye(3) + np.array([[0, 0, 0], [0.4, 0, 0], [0.2, -0.3, 0]])
    one = water_box(cell, 1)
    many = one.repeat(3)
    energy, forces = _state(_context(potential, water_topology(one, cell), one, backend), one)
    whole, spread = _state(_context(potential, water_topology(many, 3 * cell), many, backend), many)
    assert whole == pytest.approx(27 * energy, abs=1e-6)
    np.testing.assert_allclose(spread[:3], forces, atol=1e-7)


def test_the_volume_of_an_ideal_gas() -> None:
    """Molecules that do not interact: <V> = (N + 1) kT / P, by a barostat that moves whole molecules."""
    n_molecules, temperature, pressure = 8, 300.0, 15.0
    potential = random_potential(torch.float64, scale=0.0, n_features=4, n_layers=1, cutoff=1.0)
    box = water_box(30.0 * np.eye(3), n_molecules)
    settings = dataclasses.replace(SETTINGS, pressure=pressure, wrap=True, temperature=temperature, friction=50.0)
    topology = water_topology(box, box.cell.array)
    ensemble = Ensemble(potential, topology, resolved(potential, settings, box), [box], [0])
    ensemble.begin()
    barostat = next(f for f in ensemble._context.getSystem().getForces() if isinstance(f, mm.MonteCarloBarostat))
    assert barostat.getDefaultPressure()._value == pressure
    volumes = []
    for _ in range(500):
        ensemble.advance(25)
        volumes.append(np.linalg.det(ensemble.box))
    bar = 0.0602214076  # kJ/mol/nm^3
    expected = (n_molecules + 1) * BOLTZMANN_KJ_PER_MOL * temperature / (pressure * bar)
    assert np.mean(volumes[50:]) == pytest.approx(expected, rel=0.2)  # with N = atoms it would be three times that
    assert len(set(volumes)) > 100


# ---- reference models


def test_constant_energy_of_the_reference_model(small, tmp_path) -> None:
    settings = dataclasses.replace(SETTINGS, friction=0.0, timestep=0.25, length=0.05, log_interval=0.25)
    start = small.atoms.copy()
    run_md(small, small.topology, tmp_path, dataclasses.replace(settings, minimize=True), structure=start, jobs=1)
    table = np.loadtxt(tmp_path / "state-0.csv", delimiter=",", skiprows=1)
    total, kinetic = table[:, 4], table[:, 3]
    assert np.ptp(total[1:]) < 0.05 * np.ptp(kinetic)
    assert (tmp_path / "teacher" / "system.xml").is_file()
    assert not (tmp_path / "potential.pt").exists()
    record = read_json(tmp_path / "run.json")
    assert (record["potential"]["level"], record["settings"]["backend"]) == ("SPC/Fw", "openmm")


def test_a_reference_run_continues_exactly(small, tmp_path) -> None:
    for folder, lengths in (("unbroken", (0.02,)), ("broken", (0.01, 0.02))):
        for length in lengths:
            settings = dataclasses.replace(SETTINGS, length=length, replicas=2)
            run_md(small, small.topology, tmp_path / folder, settings, structure=small.atoms, jobs=1)
    assert read_json(tmp_path / "broken" / "run.json")["groups"] == [[0], [1]]
    for replica in (0, 1):
        tables = [(tmp_path / folder / f"state-{replica}.csv").read_text() for folder in ("unbroken", "broken")]
        assert tables[0] == tables[1]
    assert tables[0] != (tmp_path / "broken" / "state-0.csv").read_text()


def test_the_density_of_the_reference_model_stays_that_of_water(tmp_path) -> None:
    """At 1 bar, with a small cutoff, because the box may shrink."""
    loose = water.water_box(n_molecules=48, density=0.95, cutoff=4.8, seed=2)
    settings = MDSettings(temperature=300, friction=10, timestep=1.0, length=1.2, interval=50, pressure=1.0, wrap=True)
    run_md(loose, loose.topology, tmp_path, settings, structure=loose.atoms, jobs=1)
    frames = mdtraj.load(tmp_path / "trajectory-0.dcd", top=tmp_path / "topology.pdb")
    densities = mdtraj.density(frames) / 1000
    assert len(set(densities)) > 20
    assert 0.87 < densities[-10:].mean() < 1.08
    centres = frames.xyz.reshape(len(frames), 48, 3, 3).mean(axis=2) / frames.unitcell_lengths[:, None]
    assert (centres > -1e-4).all()
    assert (centres < 1 + 1e-4).all()
    bonds = np.linalg.norm(frames.xyz[:, 1::3] - frames.xyz[:, ::3], axis=-1)
    assert np.abs(bonds - 0.102).max() < 0.02


# ---- starts, wrapping


def test_replicas_start_from_frames_of_a_run(small, tmp_path) -> None:
    first = dataclasses.replace(SETTINGS, length=0.02)
    run_md(small, small.topology, tmp_path / "nvt", first, structure=small.atoms, jobs=1)
    frames, reference = frames_of_run(tmp_path / "nvt", every=0.006)
    written = mdtraj.load(tmp_path / "nvt" / "trajectory-0.dcd", top=tmp_path / "nvt" / "topology.pdb")
    assert len(frames) == 3
    for number, frame in enumerate(frames):
        np.testing.assert_allclose(frame.positions, 10 * written.xyz[3 * number + 2], atol=1e-5)
        np.testing.assert_array_equal(frame.cell.array, small.atoms.cell.array)
    second = dataclasses.replace(SETTINGS, friction=0.0, replicas=3, length=0.004)
    run_md(small, small.topology, tmp_path / "nve", second, structure=frames, reference=reference, jobs=1)
    for number, frame in enumerate(frames):
        moved = mdtraj.load(tmp_path / "nve" / f"trajectory-{number}.dcd", top=tmp_path / "nve" / "topology.pdb")
        assert np.abs(10 * moved.xyz[0] - frame.positions).max() < 0.2
        assert np.abs(10 * moved.xyz[0] - frames[number - 1].positions).max() > 0.2
    with pytest.raises(FfptError, match="3 starting geometries for 4 replicas"):
        more = dataclasses.replace(second, replicas=4)
        run_md(small, small.topology, tmp_path / "more", more, structure=frames, jobs=1)
    with pytest.raises(FfptError, match=r"0\.001 ps is between them"):
        frames_of_run(tmp_path / "nvt", every=0.001)
    with pytest.raises(FfptError, match="no frames 1 ps apart"):
        frames_of_run(tmp_path / "nvt", every=1.0)


def test_trajectories_are_continuous_or_wrapped_as_molecules(tmp_path) -> None:
    box = water_box(CELL, 12)
    cut = box.copy()
    cut.positions[1::3] += CELL[0] - CELL[2]  # as a file with atoms wrapped one by one
    topology = water_topology(box, CELL)
    potential = random_potential(scale=0.01, n_features=8)
    settings = dataclasses.replace(SETTINGS, length=0.006, min_distance=0.5, max_stretch=1.0)
    for name, wrap in (("continuous", False), ("wrapped", True)):
        changed = dataclasses.replace(settings, wrap=wrap)
        run_md(potential, topology, tmp_path / name, changed, structure=cut, jobs=1)
    continuous, wrapped = (
        mdtraj.load(tmp_path / name / "trajectory-0.dcd", top=tmp_path / name / "topology.pdb").xyz.astype(float)
        for name in ("continuous", "wrapped")
    )
    assert np.abs(10 * continuous[0, ::3] - box.positions[::3]).max() < 0.5
    for frames in (continuous, wrapped):
        assert np.linalg.norm(frames[:, 1::3] - frames[:, ::3], axis=-1).max() < 0.12
    shifts = (wrapped - continuous) @ np.linalg.inv(CELL / 10)
    np.testing.assert_allclose(shifts, np.rint(shifts), atol=1e-4)
    centres = wrapped.reshape(len(wrapped), 12, 3, 3).mean(axis=2) @ np.linalg.inv(CELL / 10)
    assert ((centres > -1e-4) & (centres < 1 + 1e-4)).all()


# ---- wrong input, the command


def test_what_cannot_be_run_is_refused(small, tmp_path) -> None:
    box = water_box(CELL, 12)
    potential = random_potential(scale=0.01, n_features=8)
    isolated = water_topology(box)
    constant = dataclasses.replace(SETTINGS, pressure=1.0, wrap=True)
    with pytest.raises(FfptError, match="has a cell, but the topology has none"):
        run_md(potential, isolated, tmp_path / "a", SETTINGS, structure=box)
    box.pbc = False
    with pytest.raises(FfptError, match="needs a periodic box"):
        run_md(potential, isolated, tmp_path / "a", constant, structure=box)
    with pytest.raises(FfptError, match="needs a thermostat"):
        dataclasses.replace(constant, friction=0.0)
    with pytest.raises(FfptError, match="trajectory is a wrapped one"):
        dataclasses.replace(constant, wrap=False)
    with pytest.raises(FfptError, match="this teacher is for"):
        run_md(small, water_topology(box, CELL), tmp_path / "a", SETTINGS, structure=box)
    with pytest.raises(FfptError, match="no backend 'torchforce'"):
        resolved(small, dataclasses.replace(SETTINGS, backend="torchforce"), small.atoms)
    other = small.atoms.copy()
    other.set_cell(1.01 * small.atoms.cell.array)
    with pytest.raises(FfptError, match="is not that of the topology"):
        starts_of(small.topology, [other])
    assert not (tmp_path / "a" / "run.json").exists()


def test_the_command(tmp_path) -> None:
    box = rattled(water_box(CELL, 12), 0.01)
    random_potential(scale=0.01, n_features=8).save(tmp_path / "model.pt")
    with open(tmp_path / "box.pdb", "w") as stream:
        PDBFile.writeFile(water_topology(box, CELL), box.positions, stream)
    quick = ["--length", "0.006", "--interval", "2", "--jobs", "1", "--temperature", "300", "--max-stretch", "1",
             "--platform", "Reference"]  # fmt: skip

    def invoke(*arguments):
        return CliRunner().invoke(make_app(), ["md", *of_today(md, [*map(str, arguments), *quick])])

    done = invoke(tmp_path / "model.pt", "--topology", tmp_path / "box.pdb", "--no-minimize", "-o", tmp_path / "nvt")
    assert done.exit_code == 0, done.exception
    start = ["--start", tmp_path / "nvt", "--start-every", "0.002"]
    for name, arguments in (("nve", ["--friction", "0"]), ("npt", ["--pressure", "1", "--replicas", "2"])):
        done = invoke(tmp_path / "model.pt", "--topology", tmp_path / "box.pdb", *start, *arguments, "-o",
                      tmp_path / name)  # fmt: skip
        assert done.exit_code == 0, done.exception
    record = read_json(tmp_path / "npt" / "run.json")
    assert (record["settings"]["wrap"], record["groups"]) == (True, [[0], [1]])
    assert record["minimized"] == "not"
    shutil.copy(tmp_path / "box.pdb", tmp_path / "bare.pdb")
    text = (tmp_path / "bare.pdb").read_text()
    (tmp_path / "bare.pdb").write_text("".join(line + "\n" for line in text.splitlines() if "CRYST1" not in line))
    done = invoke(tmp_path / "model.pt", "--topology", tmp_path / "bare.pdb", "--pressure", "1", "-o", tmp_path / "x")
    assert isinstance(done.exception, FfptError)
    assert "needs a periodic box" in str(done.exception)


@pytest.mark.parametrize(
    ("script", "arguments"),
    [
        ("md_openmm.py", ["--topology", "box/topology.pdb", "--pressure", "1"]),
        ("md_ase.py", ["--structure", "box/relaxed.xyz"]),
    ],
)
def test_examples(small, tmp_path, script, arguments) -> None:
    root = Path(__file__).parents[2]
    small.save(tmp_path / "box")
    random_potential(scale=0.01, n_features=8, n_layers=1).save(tmp_path / "model.pt")
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, root / "examples" / "water" / script, "--model", "model.pt", "--length", "0.02"]
    done = subprocess.run([*command, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "physical" in done.stdout or "reference" in done.stdout, done.stdout
