"""Many copies in one System: the numbers of single evaluations, no influence between copies, their statistics."""

from __future__ import annotations

import copy

import numpy as np
import openmm as mm
import pytest
import torch
from openmm_models import random_potential, rattled, water_box, water_topology

from ffpt_core import FfptError
from ffpt_core.base.units import BOLTZMANN_KJ_PER_MOL, KJ_PER_MOL, KJ_PER_MOL_NM, NANOMETRE
from ffpt_core.export.openmm_module import EnergyModule, ForceModule
from ffpt_core.export.torchscript import compile_module, export_torchscript
from ffpt_core.potentials.fixed_atoms import ALL_PAIRS_UP_TO
from ffpt_core.structure.pairs import all_pairs, find_pairs
from ffpt_core.structure.repeated_pairs import repeated_pairs, replica_pairs
from ffpt_openmm import create_force, create_system, replicate
from ffpt_openmm.forces import backends

TRICLINIC = np.array([[11.0, 0, 0], [2.0, 10.4, 0], [-1.5, 1.0, 10.8]])
needs_torchforce = pytest.mark.skipif(isinstance(backends.load_torchforce(), str), reason="openmmtorch does not load")
BACKENDS = pytest.mark.parametrize("backend", [pytest.param("torchforce", marks=needs_torchforce), "pythonforce"])
TOLERANCES = pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)], ids=["float32", "float64"]
)


KINDS = ("static", "large", "periodic")


def _water(n_molecules, cell=None):
    """Water; without a cell an isolated cluster."""
    box = water_box(TRICLINIC if cell is None else cell, n_molecules)
    if cell is None:
        box.pbc = False
    return box


def _systems(teacher):
    return {"static": teacher.atoms, "large": _water(27), "periodic": _water(20, TRICLINIC)}


def _copies(atoms, replicas) -> list:
    """Rattled copies, all at the same place."""
    return [rattled(atoms, 0.05, seed) for seed in range(replicas)]


def _stacked(frames) -> np.ndarray:
    return np.concatenate([frame.positions for frame in frames]) / NANOMETRE


def _box(atoms) -> tuple[torch.Tensor, ...]:
    return (torch.as_tensor(np.array(atoms.cell) / NANOMETRE),) if atoms.pbc.any() else ()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scripted", [False, True])
@TOLERANCES
def test_copies_have_the_energies_and_forces_of_single_ones(teacher, kind, scripted, dtype, tolerance) -> None:
    atoms = _systems(teacher)[kind]
    assert (len(atoms) > ALL_PAIRS_UP_TO) == (kind == "large")
    potential = random_potential(dtype, scale=1.0, n_layers=2)
    module = ForceModule(potential, atoms.numbers.tolist(), None, bool(atoms.pbc.any()), replicas=3)
    frames = _copies(atoms, 3)
    expected = [potential.energy_and_forces(frame) for frame in frames]
    positions = torch.as_tensor(_stacked(frames))
    total, forces = (compile_module(module) if scripted else module)(positions, *_box(atoms))
    energies = module.evaluate(positions, *(_box(atoms) or (None,)))[0]
    shift = float(potential.shifts[atoms.numbers].sum())
    single = np.array([energy - shift for energy, _ in expected])
    assert np.ptp(single) > 1e-3
    rounding = tolerance * np.abs(single).max() + 1e-14 * abs(shift)
    np.testing.assert_allclose(energies.numpy() * KJ_PER_MOL - shift, single, rtol=0, atol=rounding)
    assert total.item() == pytest.approx(energies.sum().item(), rel=1e-15)
    single_forces = np.concatenate([force for _, force in expected])
    np.testing.assert_allclose(
        forces.numpy() * KJ_PER_MOL_NM, single_forces, rtol=0, atol=tolerance * np.abs(single_forces).max()
    )


@pytest.mark.parametrize("kind", KINDS)
def test_moving_one_copy_changes_nothing_of_the_others(teacher, kind) -> None:
    """Bit for bit while the number of pairs stays; else rows move within PyTorch's blocks, which round differently."""
    atoms = _systems(teacher)[kind]
    potential = random_potential(scale=1.0)
    module = ForceModule(potential, atoms.numbers.tolist(), None, bool(atoms.pbc.any()), replicas=3)
    frames, n = _copies(atoms, 3), len(atoms)
    box = _box(atoms) or (None,)
    energies, forces = module.evaluate(torch.as_tensor(_stacked(frames)), *box)
    for change, exact in {"shaken": True, "crushed": False, "torn": False, "nan": False, "infinite": False}.items():
        moved = [frame.copy() for frame in frames]
        if change == "shaken":
            moved[1].positions += np.random.default_rng(1).normal(scale=1e-5, size=(n, 3)) + 1e-4
        elif change in ("crushed", "torn"):
            moved[1].positions *= 0.3 if change == "crushed" else 3.0
        else:
            moved[1].positions[0, 2] = np.nan if change == "nan" else np.inf
        other_energies, other_forces = module.evaluate(torch.as_tensor(_stacked(moved)), *box)
        assert not np.array_equal(other_forces[n : 2 * n], forces[n : 2 * n])
        assert np.isnan(other_energies[1].item()) == (change in ("nan", "infinite"))
        for k in (0, 2):
            own = slice(k * n, (k + 1) * n)
            atol = 0 if exact else 1e-6 * forces.abs().max().item()
            np.testing.assert_allclose(other_forces[own], forces[own], rtol=0, atol=atol)
            np.testing.assert_allclose(other_energies[k], energies[k], rtol=0, atol=0 if exact else 1e-5)


def test_pair_lists_of_copies_are_those_of_single_ones(teacher) -> None:
    static = repeated_pairs(all_pairs(4), 4, 3)
    assert static.tolist() == torch.cat([all_pairs(4) + 4 * k for k in range(3)], dim=1).tolist()
    cell, pbc = torch.as_tensor(TRICLINIC), torch.ones(3, dtype=torch.bool)
    frames = _copies(_water(20, TRICLINIC), 2)
    x = torch.as_tensor(np.concatenate([frame.positions for frame in frames]))
    pairs, shifts = replica_pairs(x, 2, cell, pbc, 5.0)
    first, second = (find_pairs(part, cell, pbc, 5.0) for part in x.split(60))
    assert torch.equal(pairs, torch.cat([first[0], second[0] + 60], dim=1))
    assert torch.equal(shifts, torch.cat([first[1], second[1]]))
    assert (pairs // 60).diff(dim=0).abs().max() == 0


def test_shapes_are_static_on_a_gpu(teacher) -> None:
    """Tensors without data stand for those of a GPU, which is not waited for: no size and no branch needs a value."""
    potential = random_potential(n_features=8)
    aspirin_numbers = teacher.numbers.tolist()
    for replicas, numbers in ((1, aspirin_numbers), (32, aspirin_numbers), (8, [1] * ALL_PAIRS_UP_TO)):
        positions = torch.zeros(replicas * len(numbers), 3, device="meta")
        energy, forces = ForceModule(potential, numbers, replicas=replicas).to("meta")(positions)
        assert (energy.shape, forces.shape) == ((), positions.shape)
        assert EnergyModule(potential, numbers, replicas=replicas).to("meta")(positions).shape == ()
    with pytest.raises(RuntimeError, match="item"):  # larger systems search for neighbours
        ForceModule(potential, [1] * 65, replicas=2).to("meta")(torch.zeros(130, 3, device="meta"))


def _context(system, integrator=None) -> mm.Context:
    platform = mm.Platform.getPlatformByName("Reference")
    return mm.Context(system, integrator or mm.VerletIntegrator(0.0005), platform)


@BACKENDS
@pytest.mark.parametrize("kind", KINDS)
def test_openmm_forces_of_copies(teacher, backend, kind) -> None:
    atoms = _systems(teacher)[kind]
    topology = teacher.topology if kind == "static" else water_topology(atoms, TRICLINIC if atoms.pbc.any() else None)
    potential = random_potential(torch.float64, scale=1.0, n_layers=2)
    system = create_system(potential, topology, backend=backend, replicas=3)
    assert [system.getParticleMass(k)._value for k in range(system.getNumParticles())] == [
        atom.element.mass._value for atom in topology.atoms()
    ] * 3
    assert not any(isinstance(force, mm.CMMotionRemover) for force in system.getForces())
    context, frames = _context(system), _copies(atoms, 3)
    context.setPositions(_stacked(frames))
    state = context.getState(energy=True, forces=True)
    expected = [potential.energy_and_forces(frame) for frame in frames]
    forces = np.concatenate([force for _, force in expected])
    found = state.getForces(asNumpy=True)._value * KJ_PER_MOL_NM
    np.testing.assert_allclose(found, forces, rtol=0, atol=1e-10 * np.abs(forces).max())
    energy = sum(energy for energy, _ in expected)
    assert state.getPotentialEnergy()._value * KJ_PER_MOL == pytest.approx(energy, rel=1e-14)


@BACKENDS
def test_subset_of_the_atoms_of_each_copy(teacher, backend) -> None:
    """The potential acts on the same atoms of each copy; copies are of a topology with other atoms too."""
    order = np.random.default_rng(0).permutation(15)
    potential = random_potential(torch.float64)
    force = create_force(potential, teacher.topology, backend=backend, atoms=order, replicas=2)
    system = mm.System()
    for _ in range(42):
        system.addParticle(1.0)
    system.addForce(force)
    context, frames = _context(system), _copies(teacher.atoms, 2)
    context.setPositions(_stacked(frames))
    found = context.getState(forces=True).getForces(asNumpy=True)._value * KJ_PER_MOL_NM
    for k, frame in enumerate(frames):
        forces = potential.energy_and_forces(frame[order.tolist()])[1]
        np.testing.assert_allclose(found[21 * k + order], forces, atol=1e-10)
        np.testing.assert_array_equal(found[21 * k + 15 : 21 * k + 21], 0)


def test_python_force_of_copies_survives_xml(teacher) -> None:
    system = create_system(random_potential(), teacher.topology, backend="pythonforce", replicas=2)
    again = mm.XmlSerializer.deserialize(mm.XmlSerializer.serialize(system))
    forces = []
    for one in (system, copy.deepcopy(system), again):
        context = _context(one)
        context.setPositions(_stacked(_copies(teacher.atoms, 2)))
        forces.append(context.getState(forces=True).getForces(asNumpy=True)._value)
    np.testing.assert_array_equal(forces[1], forces[0])
    np.testing.assert_array_equal(forces[2], forces[0])


def test_topology_of_copies(teacher) -> None:
    box = water_topology(_water(3), TRICLINIC)
    for topology in (teacher.topology, box):
        copies = replicate(topology, 3)
        n = topology.getNumAtoms()
        assert [atom.name for atom in copies.atoms()] == [atom.name for atom in topology.atoms()] * 3
        assert copies.getNumResidues() == 3 * topology.getNumResidues()
        single = np.array([(bond[0].index, bond[1].index) for bond in topology.bonds()])
        bonds = [(bond[0].index, bond[1].index) for bond in copies.bonds()]
        np.testing.assert_array_equal(bonds, np.concatenate([single + k * n for k in range(3)]))
        np.testing.assert_array_equal(copies.getPeriodicBoxVectors(), topology.getPeriodicBoxVectors())


def test_what_cannot_be_replicated_is_refused(teacher, tmp_path) -> None:
    potential = random_potential()
    with pytest.raises(FfptError, match="at least one replica, not 0"):
        create_force(potential, teacher.topology, replicas=0)
    with pytest.raises(FfptError, match="CMMotionRemover would couple the replicas"):
        create_system(potential, teacher.topology, replicas=2, remove_cm_motion=True)
    export_torchscript(potential, teacher.numbers, tmp_path / "force.pt")
    with pytest.raises(FfptError, match="is an export for one copy"):
        create_force(tmp_path / "force.pt", teacher.topology, replicas=2)


@BACKENDS
def test_every_copy_conserves_its_energy(teacher, backend) -> None:
    """Without a thermostat, in float64: the energy of each copy is constant, while energies move within each."""
    potential = random_potential(torch.float64, scale=0.1, n_features=8, n_layers=2)
    replicas, n = 3, len(teacher.atoms)
    system = create_system(potential, teacher.topology, backend=backend, replicas=replicas)
    context = _context(system, mm.VerletIntegrator(0.0001))
    context.setPositions(_stacked([teacher.atoms] * replicas))
    context.setVelocitiesToTemperature(100, 1)
    masses = teacher.atoms.get_masses()
    module = ForceModule(potential, teacher.numbers.tolist(), replicas=replicas)
    totals, kinetic = [], []
    for _ in range(40):
        # Velocities of the leapfrog are half a step behind: averaged over the step that follows.
        state = context.getState(positions=True, velocities=True)
        x = state.getPositions(asNumpy=True)._value
        before = state.getVelocities(asNumpy=True)._value
        context.getIntegrator().step(1)
        after = context.getState(velocities=True).getVelocities(asNumpy=True)._value
        v = (0.5 * (before + after)).reshape(replicas, n, 3)
        kinetic.append(0.5 * np.einsum("a,raj,raj->r", masses, v, v))
        totals.append(module.evaluate(torch.as_tensor(x), None)[0].numpy() + kinetic[-1])
        context.getIntegrator().step(19)
    totals, kinetic = np.array(totals), np.array(kinetic)
    assert np.ptp(totals, axis=0).max() < 1e-3 * np.ptp(kinetic, axis=0).min()
    assert np.ptp(kinetic, axis=0).min() > 0.1
    assert np.ptp(totals[0]) > 0.1  # copies of their own energy, which they do not exchange


@pytest.mark.parametrize("remover", [True, False])
def test_langevin_temperature_of_each_copy(teacher, weak_potential, remover) -> None:
    """Strong friction decorrelates velocities at once: every copy has kT/2 in each of its 3 n degrees of freedom.

    OpenMM's CMMotionRemover would take the motion of the whole System, and couple the centres of mass of two copies.
    """
    replicas, n = 2, len(teacher.atoms)
    system = create_system(weak_potential, teacher.topology, backend="pythonforce", replicas=replicas)
    if remover:
        system.addForce(mm.CMMotionRemover())
    integrator = mm.LangevinMiddleIntegrator(300, 500, 0.0005)
    integrator.setRandomNumberSeed(1)
    context = _context(system, integrator)
    context.setPositions(_stacked([teacher.atoms] * replicas))
    masses = teacher.atoms.get_masses()
    internal, centres = [], []
    for _ in range(400):
        integrator.step(4)
        v = context.getState(velocities=True).getVelocities(asNumpy=True)._value.reshape(replicas, n, 3)
        centre = np.einsum("a,raj->rj", masses / masses.sum(), v)
        v = v - centre[:, None]
        internal.append(np.einsum("a,raj,raj->r", masses, v, v) / (BOLTZMANN_KJ_PER_MOL * (3 * n - 3)))
        centres.append(centre * np.sqrt(masses.sum() / BOLTZMANN_KJ_PER_MOL / 300))
    # 400 samples of 60 degrees of freedom, with a correlation of exp(-1): a standard error of 1.2%
    np.testing.assert_allclose(np.mean(internal, axis=0), 300, rtol=0.04)
    covariance = np.cov(np.array(centres)[:, :, 0].T)  # in units of kT/M: the identity for free particles
    if remover:
        assert covariance[0, 1] < -0.15
    else:
        np.testing.assert_allclose(np.diag(covariance), 1, atol=0.3)
        assert abs(covariance[0, 1]) < 0.15
