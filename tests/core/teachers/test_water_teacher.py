"""Flexible water: the molecule against formulae, the box against its own gradient, Ewald sums and images."""

from __future__ import annotations

import numpy as np
import pytest
from ase.units import kB
from hypothesis import given, settings
from hypothesis import strategies as st

from ffpt_core.base.errors import FfptError
from ffpt_core.base.units import KCAL_PER_MOL, KJ_PER_MOL
from ffpt_core.datasets import Dataset
from ffpt_core.sampling.rattle import rattle_and_label
from ffpt_core.structure.periodic import make_whole, wrap_molecules
from ffpt_core.teachers import Teacher
from ffpt_core.teachers.water import water_box, water_teacher

PARAMETERS = {
    # r0 (Angstrom), theta0 (degrees), bond and angle constants in eV/Angstrom^2 and eV/rad^2, k/2 (x - x0)^2
    "tip3p": (0.9572, 104.52, 1106 * KCAL_PER_MOL, 200 * KCAL_PER_MOL),  # CHARMM and AMBER: 553 and 100, k (x - x0)^2
    "spcfw": (1.012, 113.24, 1059.162 * KCAL_PER_MOL, 75.90 * KCAL_PER_MOL),
}


@pytest.fixture(scope="module")
def box() -> Teacher:
    teacher = water_box(seed=1)
    moved = teacher.atoms.copy()
    moved.positions += np.random.default_rng(0).normal(0, 0.05, moved.positions.shape)
    return Teacher(teacher.system, teacher.topology, moved, teacher.level, teacher.provenance)


@pytest.mark.parametrize("model", PARAMETERS)
def test_the_molecule_is_its_formula(model) -> None:
    length, angle, k_bond, k_angle = PARAMETERS[model]
    teacher = water_teacher(model)
    assert teacher.atoms.get_distance(0, 1) == pytest.approx(length, abs=1e-9)
    assert teacher.atoms.get_angle(1, 0, 2) == pytest.approx(angle, abs=1e-6)
    frames = rattle_and_label(teacher, 500, seed=2)
    x = frames.positions.reshape(-1, 3, 3)
    to_first, to_second = x[:, 1] - x[:, 0], x[:, 2] - x[:, 0]
    first, second = (np.linalg.norm(vector, axis=1) for vector in (to_first, to_second))
    theta = np.arccos(np.einsum("fx,fx->f", to_first, to_second) / first / second)
    stretched = k_bond * ((first - length) ** 2 + (second - length) ** 2)
    expected = 0.5 * (stretched + k_angle * (theta - np.radians(angle)) ** 2)
    np.testing.assert_allclose(frames.energies, expected, rtol=2e-5)  # CODATA's calorie and OpenMM's digits
    terms = teacher.energy_terms(x)
    assert (terms["nonbonded"] == 0).all()
    assert (terms["torsions"] == 0).all()
    np.testing.assert_allclose(terms["bonds"], 0.5 * stretched, rtol=2e-5)


def test_forces_of_the_box_are_the_gradient_of_its_energy(box) -> None:
    rng = np.random.default_rng(1)
    positions = box.atoms.positions
    _, forces = box.energies_and_forces(positions[None])
    for _ in range(3):
        direction, step = rng.normal(size=positions.shape), 1e-5
        energies, _ = box.energies_and_forces(np.stack([positions + step * direction, positions - step * direction]))
        slope = (energies[0] - energies[1]) / (2 * step)
        assert slope == pytest.approx(-np.sum(forces[0] * direction), abs=1e-5)


def test_the_box_does_not_depend_on_where_molecules_are_cut_or_where_it_begins(box) -> None:
    positions, cell = box.atoms.positions, box.atoms.cell.array
    energy, forces = box.energies_and_forces(positions[None])
    shifts = np.random.default_rng(2).integers(-2, 3, positions.shape)
    cut_energy, cut_forces = box.energies_and_forces((positions + shifts @ cell)[None])
    assert cut_energy[0] == pytest.approx(energy[0], abs=1e-8)
    np.testing.assert_allclose(cut_forces, forces, atol=1e-8)
    moved_energy, moved_forces = box.energies_and_forces(positions[None] + [0.31, 1.7, -2.3])
    assert moved_energy[0] == pytest.approx(energy[0], abs=1e-3)  # the mesh of Ewald's sum does not move along
    assert np.std(moved_forces - forces) < 2e-4


def test_the_mesh_is_fine_enough(box) -> None:
    """Forces are those of a converged Ewald sum."""
    exact = water_box(seed=1)
    force = next(force for force in exact.system.getForces() if force.getName() == "NonbondedForce")
    force.setPMEParameters(5.48, 54, 54, 54)
    positions = box.atoms.positions[None]
    _, forces = box.energies_and_forces(positions)
    difference = forces - exact.energies_and_forces(positions)[1]
    assert np.std(difference) < 1e-4 < 1e-4 * np.std(forces) * 2  # eV/Angstrom


def test_the_box_has_the_density_and_the_cutoff(box) -> None:
    mass = 64 * 18.0153 / 6.02214076e23
    assert mass / (box.atoms.get_volume() * 1e-24) == pytest.approx(0.997, rel=1e-5)
    force = next(force for force in box.system.getForces() if force.getName() == "NonbondedForce")
    assert force.getCutoffDistance()._value == pytest.approx(0.6)
    charges = [force.getParticleParameters(i)[0]._value for i in range(3)]
    sigma, epsilon = (quantity._value for quantity in force.getParticleParameters(0)[1:])
    assert charges == [-0.82, 0.41, 0.41]
    assert (10 * sigma, epsilon * KJ_PER_MOL / KCAL_PER_MOL) == pytest.approx((3.165492, 0.1554253))


def test_a_box_on_disk_is_the_same_box(box, tmp_path) -> None:
    box.save(tmp_path / "box")
    loaded = Teacher.load(tmp_path / "box")
    positions = box.atoms.positions[None]
    assert loaded.periodic
    np.testing.assert_array_equal(loaded.energies_and_forces(positions)[1], box.energies_and_forces(positions)[1])
    assert loaded.bonds.tolist() == box.bonds.tolist()
    atoms = box.atoms.copy()
    atoms.calc = loaded.calculator()
    assert atoms.get_potential_energy() == pytest.approx(box.energies_and_forces(positions)[0][0], abs=1e-10)


def test_frames_may_have_cells_of_their_own(box) -> None:
    """Frames may bring their own cells, and the energy follows."""
    positions, cell = box.atoms.positions, box.atoms.cell.array
    own, larger = box.energies_and_forces(np.stack([positions] * 2), np.stack([cell, 1.02 * cell]))[0]
    assert own == box.energies_and_forces(positions[None])[0][0]
    assert abs(larger - own) > 0.1


def test_what_does_not_fit_is_refused(box) -> None:
    with pytest.raises(FfptError, match="no water model 'tip5p'"):
        water_teacher("tip5p")
    with pytest.raises(FfptError, match=r"cutoff must lie between 1 and 6\.21 Angstrom"):
        water_box(cutoff=7.0)
    with pytest.raises(FfptError, match="positive density"):
        water_box(density=0.0)
    with pytest.raises(FfptError, match="less than twice the nonbonded cutoff"):
        box.energies_and_forces(box.atoms.positions[None], 0.9 * box.atoms.cell.array)
    molecule = water_teacher()
    with pytest.raises(FfptError, match="its frames have no cells"):
        molecule.energies_and_forces(molecule.atoms.positions[None], np.eye(3))
    in_cell = molecule.atoms.copy()
    in_cell.set_cell([10, 10, 10])
    in_cell.pbc = True
    in_cell.calc = molecule.calculator()
    with pytest.raises(FfptError, match="for a molecule in vacuum"):
        in_cell.get_potential_energy()
    bare = box.atoms.copy()
    bare.pbc = False
    bare.calc = box.calculator()
    with pytest.raises(FfptError, match="for a periodic box"):
        bare.get_potential_energy()


def test_the_molecule_at_300_k_has_the_energy_of_equipartition() -> None:
    from ffpt_core.sampling.trajectory import teacher_frames

    frames: Dataset = teacher_frames(water_teacher(), 4000, temperature=300.0, stride=100, seed=1)
    assert frames.energies.mean() == pytest.approx(3 * kB * 300 / 2, rel=0.1)  # three vibrations


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_molecules_that_were_cut_are_made_whole_and_wrapped(seed) -> None:
    rng = np.random.default_rng(seed)
    cell = np.diag(rng.uniform(8, 12, 3)) + np.tril(rng.uniform(-2, 2, (3, 3)), -1)
    molecule = np.array([[0.0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])
    whole = (rng.uniform(-20, 20, (7, 1, 3)) + molecule).reshape(-1, 3)
    bonds = np.array([(3 * k, 3 * k + h) for k in range(7) for h in (1, 2)])
    cut = whole + rng.integers(-2, 3, whole.shape) @ cell
    found = make_whole(cut, cell, bonds)
    vectors, expected = (x[bonds[:, 0]] - x[bonds[:, 1]] for x in (found, whole))
    np.testing.assert_allclose(vectors, expected, atol=1e-12)
    np.testing.assert_array_equal(found[::3], cut[::3])
    wrapped = wrap_molecules(whole, cell, np.repeat(np.arange(7), 3))
    moved = (wrapped - whole) @ np.linalg.inv(cell)
    np.testing.assert_allclose(moved, np.rint(moved), atol=1e-9)
    np.testing.assert_allclose(moved.reshape(7, 3, 3), np.repeat(moved[::3, None], 3, axis=1), atol=1e-9)
    centres = wrapped.reshape(7, 3, 3).mean(axis=1) @ np.linalg.inv(cell)
    assert (centres > -1e-9).all()
    assert (centres < 1 + 1e-9).all()
