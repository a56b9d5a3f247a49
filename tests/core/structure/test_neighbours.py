"""Pair lists that are kept while atoms move: never a pair too few, and no list without need."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import openmm as mm
import pytest
import torch
from ase import Atoms
from hypothesis import given, settings
from hypothesis import strategies as st
from openmm_models import random_potential, rattled, water_box

from ffpt_core.base.units import KJ_PER_MOL, KJ_PER_MOL_NM, NANOMETRE
from ffpt_core.export.openmm_module import SKIN, ForceModule
from ffpt_core.export.torchscript import compile_module
from ffpt_core.potentials.backends import BACKENDS
from ffpt_core.structure.neighbours import NeighbourList, half_list
from ffpt_core.structure.pairs import still_complete
from ffpt_openmm.forces import backends
from ffpt_openmm.forces.pythonforce import PotentialFunction

CELL = np.array([[11.5, 0, 0], [2.0, 12.0, 0], [-1.5, 1.0, 12.5]])
THIN = np.array([[4.5, 0, 0], [1.0, 6.0, 0], [-1.5, 1.0, 12.5]])


def _close(positions: np.ndarray, cell: np.ndarray, found: np.ndarray, shifts: np.ndarray, cutoff: float) -> np.ndarray:
    """Which pairs of a list with a skin are within the cutoff: (n_close, 5), atoms and shifts, in its order."""
    displacements = positions[found[0]] - positions[found[1]] + shifts @ cell
    kept = np.linalg.norm(displacements, axis=1) < cutoff
    return np.concatenate([found.T, shifts], axis=1)[kept]


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from([CELL, THIN]),
    st.tuples(st.booleans(), st.booleans(), st.booleans()),
    st.sampled_from(["nothing", "box", "breathing"]),
    st.booleans(),
    st.integers(0, 2**31),
)
def test_no_pair_is_missed_on_the_way(cell, pbc, barostat, jumps, seed) -> None:
    random = np.random.default_rng(seed)
    cutoff, periodic = 5.0, np.array(pbc)
    neighbours = NeighbourList(cutoff, skin=1.0, pbc=pbc)
    positions = random.uniform(0, 1, (25, 3)) @ cell
    for step in range(60):
        positions = positions + random.normal(scale=0.03, size=positions.shape)
        if barostat != "nothing":
            strain = np.eye(3) + random.normal(scale=0.002, size=(3, 3))
            cell = cell @ strain
            if barostat == "breathing":  # as a barostat moves atoms with the cell; without it only the box changes
                positions = positions @ strain
        if jumps and step % 10 == 5:
            positions[random.integers(25)] += random.integers(-2, 3, 3) * periodic @ cell
        found = _close(positions, cell, *neighbours.update(positions, cell), cutoff)
        fresh = _close(positions, cell, *half_list(positions, cell, pbc, cutoff), cutoff)
        np.testing.assert_array_equal(found, fresh)
        np.testing.assert_allclose(
            neighbours.translations(), neighbours.update(positions, cell)[1] @ cell, rtol=0, atol=1e-12
        )
    assert neighbours.builds < 10 or barostat != "nothing" or jumps


def test_a_list_serves_until_an_atom_has_moved_half_the_skin() -> None:
    positions = water_box(CELL, 32).positions
    neighbours = NeighbourList(5.0, skin=0.8, pbc=(True, True, True))
    first = neighbours.update(positions, CELL)
    for distance, builds in ((0.399, 1), (0.401, 2)):
        moved = positions.copy()
        moved[7] += distance * np.array([2, -1, 2]) / 3
        found = neighbours.update(moved, CELL.copy())
        assert neighbours.builds == builds
        assert (found[0] is first[0]) == (found[1] is first[1]) == (builds == 1)
    with pytest.raises(ValueError, match="read-only"):
        first[0][0, 0] = 1
    assert neighbours.update(moved[:-3], CELL)[0].max() < len(moved) - 3  # other atoms: another list
    assert neighbours.builds == 3


def test_a_squeezed_cell_uses_up_the_skin() -> None:
    """All atoms where the deformation takes them: the bound is on the strain alone."""
    positions = water_box(CELL, 32).positions
    for squeeze, builds in ((0.16, 1), (0.17, 2)):  # 1 Angstrom of 6
        neighbours = NeighbourList(5.0, skin=1.0, pbc=(True, True, True))
        neighbours.update(positions, CELL)
        deformation = np.diag([1.0 - squeeze, 1.0, 1.0])
        neighbours.update(positions @ deformation, CELL @ deformation)
        assert neighbours.builds == builds
        expected = neighbours.update(positions @ deformation, CELL @ deformation)[1] @ CELL @ deformation
        np.testing.assert_allclose(neighbours.translations(), expected, rtol=0, atol=1e-12)


def test_tensors_and_numpy_make_new_lists_on_the_same_occasions() -> None:
    positions, inverse = torch.tensor(water_box(CELL, 32).positions), torch.linalg.inv(torch.tensor(CELL))
    for squeeze, step, complete in (
        (0.0, 0.499, True), (0.0, 0.501, False), (0.16, 0.0, True), (0.17, 0.0, False), (0.08, 0.25, True),
        (0.08, 0.27, False), (0.0, np.nan, False), (-0.17, 0.0, False),
    ):  # fmt: skip
        deformation = torch.diag(torch.tensor([1.0, 1.0 - squeeze, 1.0], dtype=torch.float64))
        moved, cell = positions @ deformation, torch.tensor(CELL) @ deformation
        moved[5, 2] += step
        assert still_complete(moved, cell, positions, inverse, 5.0, 1.0) is complete
        neighbours = NeighbourList(5.0, skin=1.0, pbc=(True, True, True))
        neighbours.update(positions.numpy(), CELL)
        neighbours.update(moved.numpy(), cell.numpy())
        assert neighbours.builds == (1 if complete else 2)


def test_an_atom_that_becomes_nan_and_comes_back() -> None:
    positions = water_box(CELL, 8).positions
    neighbours = NeighbourList(5.0, pbc=(True, True, True))
    before = neighbours.update(positions, CELL)[0]
    broken = positions.copy()
    broken[3] = np.nan
    assert 3 not in neighbours.update(broken, CELL)[0]
    np.testing.assert_array_equal(neighbours.update(positions, CELL)[0], before)


def _evaluate(module: torch.nn.Module, atoms: Atoms) -> tuple[float, np.ndarray]:
    box = (torch.as_tensor(np.array(atoms.cell) / NANOMETRE),) if atoms.pbc.any() else ()
    energy, forces = module(torch.as_tensor(atoms.positions / NANOMETRE), *box)
    return energy.item() * KJ_PER_MOL, forces.numpy() * KJ_PER_MOL_NM


@pytest.mark.parametrize("kind", ["eager", "frozen"])
@pytest.mark.parametrize("cell", [CELL, THIN, None], ids=["box", "thin", "isolated"])
def test_energies_and_forces_along_a_trajectory(kind, cell) -> None:
    potential = random_potential(torch.float64, scale=1.0)
    atoms = water_box(CELL if cell is None else cell, 24 if cell is None else 8)
    if cell is None:
        atoms.pbc, atoms.cell = False, None
    module = ForceModule(potential, atoms.numbers.tolist(), None, cell is not None)
    if kind == "frozen":
        module = torch.jit.freeze(compile_module(module))
    random = np.random.default_rng(4)
    lists, energies = set(), []
    for step in range(24):
        atoms.positions += random.normal(scale=0.03, size=atoms.positions.shape)
        if step == 8:  # a molecule is put into another cell, as engines that wrap do
            atoms.positions[3:6] += atoms.cell[0] - 2 * atoms.cell[2]
        if step == 12:  # the cell breathes
            atoms.set_cell(np.array(atoms.cell) * 1.003, scale_atoms=True)
        if step == 16:
            atoms.set_cell(np.array(atoms.cell) * 0.9, scale_atoms=False)
        energy, forces = potential.energy_and_forces(atoms)
        found_energy, found_forces = _evaluate(module, atoms)
        assert found_energy == pytest.approx(energy, rel=0, abs=1e-9)
        np.testing.assert_allclose(found_forces, forces, rtol=0, atol=1e-9)
        lists.add(module.listed_positions.numpy().tobytes())
        energies.append(energy)
    assert np.ptp(energies) > 1e-3
    assert 1 < len(lists) < 12


@pytest.mark.parametrize("cell", [CELL, THIN, None], ids=["box", "thin", "isolated"])
def test_every_tensor_is_made_where_the_positions_are(cell) -> None:
    """Without a GPU: whatever is made without a word on its device would be on "meta", and would not mix."""
    atoms = water_box(CELL if cell is None else cell, 24)
    if cell is None:
        atoms.pbc, atoms.cell = False, None
    potential = random_potential(torch.float64)
    module = ForceModule(potential, atoms.numbers.tolist(), None, cell is not None)
    positions, box = torch.tensor(atoms.positions / NANOMETRE), torch.tensor(np.array(atoms.cell) / NANOMETRE)
    with torch.device("meta"):
        for _ in range(2):  # a new list, and the kept one
            energy, _ = module(positions, box if atoms.pbc.any() else None)
    assert energy.item() * KJ_PER_MOL == pytest.approx(potential.energy_and_forces(atoms)[0], rel=0, abs=1e-9)


def test_a_pair_that_crosses_the_cutoff_within_the_skin() -> None:
    """Energy and forces go smoothly to those of free atoms, whether or not the pair is still listed."""
    potential = random_potential(torch.float64, scale=1.0)
    atoms = Atoms("OH", np.zeros((2, 3)), cell=np.diag([30.0, 30.0, 30.0]), pbc=True)
    module = torch.jit.freeze(compile_module(ForceModule(potential, [8, 1], None, True)))
    free = None
    for gap in (-0.2, -1e-3, 1e-3, 1e-2, 1e-1):
        atoms.positions[1, 2] = 5.0 - gap
        energy, forces = _evaluate(module, atoms)
        assert module.listed_positions.numpy()[1, 2] == pytest.approx(5.2)
        if gap < 0:
            free = energy if free is None else free
            assert energy == free
            assert np.all(forces == 0.0)
        else:  # the envelope vanishes as gap^3, its slope as gap^2
            assert abs(energy - free) < 50 * gap**3
            assert 0 < np.abs(forces).max() < 150 * gap**2
        assert energy == pytest.approx(potential.energy_and_forces(atoms)[0], rel=0, abs=1e-9)


def _contexts(force: mm.Force, n_atoms: int, n_contexts: int) -> list[mm.Context]:
    system = mm.System()
    for _ in range(n_atoms):
        system.addParticle(1.0)
    system.addForce(force)
    platform = mm.Platform.getPlatformByName("Reference")
    return [mm.Context(system, mm.VerletIntegrator(0.0005), platform) for _ in range(n_contexts)]


def _evaluate_context(context: mm.Context, atoms: Atoms) -> tuple[float, np.ndarray]:
    context.setPeriodicBoxVectors(*(np.array(atoms.cell) / NANOMETRE))
    context.setPositions(atoms.positions / NANOMETRE)
    state = context.getState(energy=True, forces=True)
    return state.getPotentialEnergy()._value * KJ_PER_MOL, state.getForces(asNumpy=True)._value * KJ_PER_MOL_NM


def test_contexts_of_one_torchforce_keep_their_own_lists() -> None:
    plugin = backends.load_torchforce()
    if isinstance(plugin, str):
        pytest.skip(f"openmmtorch does not load here: {plugin}")
    potential = random_potential(torch.float64, scale=1.0)
    atoms = water_box(CELL, 16)
    force = plugin.TorchForce(compile_module(ForceModule(potential, atoms.numbers.tolist(), None, True)))
    force.setOutputsForces(True)
    force.setUsesPeriodicBoundaryConditions(True)
    contexts = _contexts(force, len(atoms), 2)
    frames = [atoms, rattled(atoms, SKIN, seed=1)]
    expected = [potential.energy_and_forces(frame) for frame in frames]
    assert np.abs(expected[0][1] - expected[1][1]).max() > 1e-2
    for _ in range(3):
        for context, frame, (energy, forces) in zip(contexts, frames, expected, strict=True):
            found_energy, found_forces = _evaluate_context(context, frame)
            assert found_energy == pytest.approx(energy, rel=0, abs=1e-9)
            np.testing.assert_allclose(found_forces, forces, rtol=0, atol=1e-9)


@pytest.mark.parametrize("backend", ["torch", "cpp"])
def test_contexts_of_one_pythonforce_run_in_threads(backend, monkeypatch) -> None:
    """They share one function, hence one pair list; PyTorch gives the interpreter away while it computes."""
    potential = random_potential(torch.float64, scale=1.0)
    if reason := BACKENDS.get(backend)().why_not(potential):
        pytest.skip(reason)
    chosen = BACKENDS.get(backend)()
    monkeypatch.setattr("ffpt_core.potentials.network_potential.choose_backend", lambda *_: chosen)
    atoms = water_box(CELL, 16)
    force = mm.PythonForce(PotentialFunction(potential, atoms.numbers.tolist(), periodic=True))
    force.setUsesPeriodicBoundaryConditions(True)
    contexts = _contexts(force, len(atoms), 2)
    frames = [atoms, rattled(atoms, SKIN, seed=1)]

    def worst_of_many(context: mm.Context, frame: Atoms) -> float:
        energy, forces = potential.energy_and_forces(frame)
        errors = []
        for _ in range(40):
            found, found_forces = _evaluate_context(context, frame)
            errors.append(max(abs(found - energy), np.abs(found_forces - forces).max()))
        return max(errors)

    with ThreadPoolExecutor(2) as pool:
        assert max(pool.map(worst_of_many, contexts, frames)) < 1e-9
