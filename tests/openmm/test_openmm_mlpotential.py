"""OpenMM-ML's MLPotential("ffpt"): whole systems, and aspirin as the ML part of a box of MM water."""

from __future__ import annotations

import numpy as np
import openmm as mm
import pytest
import torch
from openmm import app
from openmm_models import random_potential, rattled

from ffpt_core import FfptError
from ffpt_core.base.units import KJ_PER_MOL, KJ_PER_MOL_NM, NANOMETRE
from ffpt_openmm.forces import backends
from ffpt_openmm.forces.solvent import solvate

openmmml = pytest.importorskip("openmmml")


@pytest.fixture(scope="module", autouse=True)
def _registered():
    from ffpt_openmm.forces.mlpotential import FfptPotentialFactory

    if "ffpt" not in openmmml.MLPotential._implFactories:  # not installed: its entry point is not there
        openmmml.MLPotential.registerImplFactory("ffpt", FfptPotentialFactory())


@pytest.fixture(scope="module")
def potential():
    return random_potential(torch.float64)


@pytest.fixture(scope="module")
def model(tmp_path_factory, potential):
    path = tmp_path_factory.mktemp("model") / "aspirin.pt"
    potential.save(path)
    return path


@pytest.fixture(scope="module")
def box(teacher):
    return solvate(teacher, 2.0)


@pytest.fixture(scope="module")
def mixed(model, box):
    return openmmml.MLPotential("ffpt", modelPath=model).createMixedSystem(box.topology, box.system, iter(box.solute))


def _context(system, positions, platform="Reference") -> mm.Context:
    integrator = mm.LangevinMiddleIntegrator(300, 2, 0.0005)
    context = mm.Context(system, integrator, mm.Platform.getPlatformByName(platform))
    context.setPositions(positions)
    return context


def _energy(context) -> float:
    """kJ/mol."""
    return context.getState(energy=True).getPotentialEnergy()._value


def _forces(context) -> np.ndarray:
    return context.getState(forces=True).getForces(asNumpy=True)._value


def test_water_box(box, teacher) -> None:
    names = [residue.name for residue in box.topology.residues()]
    assert names[0] == "MOL"
    assert set(names[1:]) == {"HOH"}
    n_waters = len(names) - 1
    volume = 8.0 - 0.18  # nm^3, less what the molecule takes up
    assert n_waters == pytest.approx(33.4 * volume, rel=0.12)
    assert box.system.getNumParticles() == 21 + 3 * n_waters == len(box.positions)
    assert box.system.getNumConstraints() == 3 * n_waters
    assert box.system.usesPeriodicBoundaryConditions()
    np.testing.assert_allclose(np.ptp(box.positions[:21], axis=0), np.ptp(teacher.atoms.positions, axis=0) / 10)
    between = box.positions[21:, None] - box.positions[None, :21]
    assert np.linalg.norm(between - 2.0 * np.rint(between / 2.0), axis=-1).min() > 0.25
    with pytest.raises(FfptError, match="too small"):
        solvate(teacher, 1.2)


def test_whole_system(model, potential, teacher) -> None:
    system = openmmml.MLPotential("ffpt", modelPath=model).createSystem(teacher.topology)
    frame = rattled(teacher.atoms)
    context = _context(system, frame.positions / NANOMETRE)
    energy, forces = potential.energy_and_forces(frame)
    assert _energy(context) * KJ_PER_MOL == pytest.approx(energy, abs=1e-8)
    np.testing.assert_allclose(_forces(context) * KJ_PER_MOL_NM, forces, atol=1e-9)


def test_only_the_molecule_changes_its_force_field(mixed, box, potential, teacher) -> None:
    """E(mixed) - E(MM) = E(potential) - E(GAFF) of the isolated molecule, and so for its forces."""
    mm_context, mixed_context = _context(box.system, box.positions), _context(mixed, box.positions)
    energy, forces = potential.energy_and_forces(teacher.atoms)
    gaff_energy, gaff_forces = (value[0] for value in teacher.energies_and_forces(teacher.atoms.positions[None]))
    difference = _energy(mixed_context) - _energy(mm_context)
    assert difference == pytest.approx((energy - gaff_energy) / KJ_PER_MOL, abs=1e-3)
    change = _forces(mixed_context) - _forces(mm_context)
    np.testing.assert_allclose(change[:21], (forces - gaff_forces) / KJ_PER_MOL_NM, atol=0.05)
    np.testing.assert_allclose(change[21:], 0, atol=1e-6)


def test_interpolation_joins_both_ends(model, mixed, box) -> None:
    potential = openmmml.MLPotential("ffpt", modelPath=model)
    system = potential.createMixedSystem(box.topology, box.system, box.solute, interpolate=True)
    context = _context(system, box.positions)
    energies = {}
    for value in (0.0, 0.25, 1.0):
        context.setParameter("lambda_interpolate", value)
        energies[value] = _energy(context)
    assert energies[0.0] == pytest.approx(_energy(_context(box.system, box.positions)), abs=1e-2)
    assert energies[1.0] == pytest.approx(_energy(_context(mixed, box.positions)), abs=1e-3)
    assert energies[0.25] == pytest.approx(0.75 * energies[0.0] + 0.25 * energies[1.0], rel=1e-9)


def test_translation_through_the_box(mixed, box) -> None:
    context = _context(mixed, box.positions)
    energy, forces = _energy(context), _forces(context)
    context.setPositions(box.positions + np.array([0.9, -1.3, 0.4]))
    assert _energy(context) == pytest.approx(energy, abs=0.05)  # the mesh of PME is not invariant
    np.testing.assert_allclose(_forces(context)[:21], forces[:21], atol=1.0)
    whole = box.positions.copy()
    whole[5] += [2.0, 0.0, -2.0]  # one atom of the molecule listed in another image
    context.setPositions(whole)
    assert _energy(context) == pytest.approx(energy, abs=1e-6)


@pytest.mark.parametrize("backend", ["pythonforce", "torchforce"])
def test_steps_run(model, box, backend) -> None:
    if backend == "torchforce" and isinstance(backends.load_torchforce(), str):
        pytest.skip("openmmtorch does not load here")
    potential = openmmml.MLPotential("ffpt", modelPath=model, backend=backend)
    system = potential.createMixedSystem(box.topology, box.system, box.solute, precision="single")
    context = _context(system, box.positions, "CPU")
    mm.LocalEnergyMinimizer.minimize(context, 100, 10)
    before = _energy(context)
    context.setVelocitiesToTemperature(300, 1)
    context.getIntegrator().step(20)
    assert np.isfinite(_forces(context)).all()
    assert abs(_energy(context) - before) < 5000  # kJ/mol; kinetic energy of 260 waters: 3,000


def test_interpolated_torchforce_is_refused(model, box) -> None:
    if isinstance(backends.load_torchforce(), str):
        pytest.skip("openmmtorch does not load here")
    potential = openmmml.MLPotential("ffpt", modelPath=model, backend="torchforce")
    with pytest.raises(FfptError, match="cannot be interpolated"):
        potential.createMixedSystem(box.topology, box.system, box.solute, interpolate=True)


def test_arguments(model, potential, teacher) -> None:
    with pytest.raises(FfptError, match="modelPath"):
        openmmml.MLPotential("ffpt")
    with pytest.raises(TypeError, match="modelpath"):
        openmmml.MLPotential("ffpt", modelpath=model)
    ml = openmmml.MLPotential("ffpt", modelPath=potential)
    with pytest.raises(FfptError, match="precision 'half'"):
        ml.createSystem(teacher.topology, precision="half")
    with pytest.warns(UserWarning, match="no option precison: ignored"):
        ml.createSystem(teacher.topology, precison="single")
    single = ml.createSystem(teacher.topology, precision="single")
    double = ml.createSystem(teacher.topology)
    x = teacher.atoms.positions / NANOMETRE
    difference = np.abs(_forces(_context(single, x)) - _forces(_context(double, x))).max()
    assert 0 < difference < 1e-2  # kJ/mol/nm: the rounding of float32
    salt = app.Topology()
    salt.addAtom("NA", app.Element.getBySymbol("Na"), salt.addResidue("SLT", salt.addChain()))
    with pytest.raises(FfptError, match="does not know Na"):
        ml.createSystem(salt)
    assert ml._impl.getMLLongRange() is False
