"""Half pair lists of both kinds, vesin's and the tensor code's, against all pairs and against ASE."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.neighborlist import neighbor_list
from brute_force import every_pair
from conftest import small_potential
from hypothesis import given, settings
from hypothesis import strategies as st

from ffpt_core import FfptError, NetworkPotential
from ffpt_core.datasets import Dataset
from ffpt_core.structure import neighbours, pairs
from ffpt_core.training.batches import FramePairs

CELLS = {
    "orthorhombic": np.diag([11.0, 12.0, 13.0]),
    "triclinic": np.array([[10.5, 0, 0], [3.0, 11.0, 0], [-4.0, 2.5, 12.0]]),
    "thin": np.diag([3.1, 12.0, 4.2]),
    "thin and triclinic": np.array([[3.5, 0, 0], [2.9, 3.2, 0], [-1.5, 1.0, 4.0]]),
}
PBC = st.tuples(st.booleans(), st.booleans(), st.booleans()).map(np.array)


def _tensor_list(
    positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray, cutoff: float, at_once: int = 1_000_000
) -> tuple[np.ndarray, np.ndarray]:
    found, shifts = pairs.find_pairs(
        torch.tensor(positions), torch.tensor(cell), torch.tensor(pbc, dtype=torch.bool), cutoff, at_once
    )
    return found.numpy(), shifts.numpy()


LISTS = pytest.mark.parametrize("half_list", [neighbours.half_list, _tensor_list], ids=["vesin", "tensors"])


def _rows(found: np.ndarray, shifts: np.ndarray) -> list[tuple[int, ...]]:
    """(first, second, n_1, n_2, n_3) of each pair, in the order of the list."""
    assert found.dtype == np.int64
    return [tuple(map(int, row)) for row in np.concatenate([found, np.round(shifts.T)]).T]


def _complete(cell: np.ndarray, pbc: np.ndarray) -> np.ndarray:
    return pairs.complete_cell(torch.tensor(cell), torch.tensor(pbc)).numpy()


def _random_cell(random: np.random.Generator) -> np.ndarray:
    """From a cube to a thin, slanted cell, in any orientation, right- or left-handed."""
    cell = np.diag(random.uniform(2.0, 14.0, 3))
    cell[np.tril_indices(3, -1)] = random.uniform(-0.8, 0.8, 3) * np.diag(cell)[[0, 0, 1]]
    return cell @ np.linalg.qr(random.normal(size=(3, 3)))[0]


@LISTS
@settings(max_examples=60, deadline=None)
@given(PBC, st.sampled_from([0.5, 2.0, 20.0]), st.booleans(), st.integers(0, 2**31))
def test_every_pair_is_listed_once_and_in_order(half_list, pbc, spread, gap, seed) -> None:
    random = np.random.default_rng(seed)
    cell, cutoff = _random_cell(random), random.uniform(1.0, 6.0)
    if gap:
        cell[~pbc] = 0.0  # as ASE has them; they must not matter
    completed = _complete(cell, pbc)
    # In and out of the cell; where it is not periodic, up to 80 Angstrom away.
    reach = np.where(pbc, spread, 4 * spread)
    positions = random.uniform(-reach, reach, (random.integers(1, 25), 3)) @ completed
    assert _rows(*half_list(positions, cell, pbc, cutoff)) == every_pair(positions, completed, pbc, cutoff)


@LISTS
@settings(max_examples=25, deadline=None)
@given(st.sampled_from(sorted(CELLS)), PBC, st.integers(0, 2**31))
def test_lists_are_those_of_ase(half_list, cell, pbc, seed) -> None:
    random = np.random.default_rng(seed)
    # Unwrapped on purpose: atoms lie up to two cells away from the first.
    atoms = Atoms("H7", cell=CELLS[cell], pbc=pbc, positions=random.uniform(-1.5, 1.5, (7, 3)) @ CELLS[cell])
    (first, second), shifts = half_list(atoms.positions, CELLS[cell], pbc, 5.0)
    vectors = atoms.positions[second] - atoms.positions[first] - shifts @ CELLS[cell]
    both = [*zip(first, second, *vectors.T, strict=True), *zip(second, first, *-vectors.T, strict=True)]
    i, j, expected = neighbor_list("ijD", atoms, 5.0)
    directed = zip(i, j, *expected.T, strict=True)
    tidy = [sorted((int(a), int(b), *(round(v, 6) + 0.0 for v in d)) for a, b, *d in rows) for rows in (both, directed)]
    np.testing.assert_allclose(np.array(tidy[0]).reshape(-1, 5), np.array(tidy[1]).reshape(-1, 5), atol=2e-6)


def test_compiled_list_is_the_same() -> None:
    compiled = torch.jit.script(pairs.find_pairs)
    for name, cell in CELLS.items():
        for pbc in ((True, True, True), (True, False, True), (False, False, False)):
            positions = np.random.default_rng(1).uniform(-0.5, 1.5, (20, 3)) @ cell
            arguments = torch.tensor(positions), torch.tensor(cell), torch.tensor(pbc)
            for _ in range(3):  # TorchScript rewrites itself during the first two calls
                for one, other in zip(compiled(*arguments, 5.0), pairs.find_pairs(*arguments, 5.0), strict=True):
                    assert torch.equal(one, other), name


def test_blocks_change_nothing() -> None:
    random = np.random.default_rng(1)
    for cell, pbc in ((CELLS["thin"], [True] * 3), (CELLS["triclinic"], [False] * 3)):
        positions = random.uniform(0, 9, (30, 3))
        whole, blocks = (_tensor_list(positions, cell, np.array(pbc), 5.0, at_once) for at_once in (1_000_000, 100))
        assert len(whole[0][0]) > 100
        for one, other in zip(whole, blocks, strict=True):
            np.testing.assert_array_equal(one, other)


@LISTS
@pytest.mark.parametrize("far", [1e3, 1e7, 1e12, 1e300])
def test_atoms_that_are_far_away(half_list, far) -> None:
    """A molecule that has flown apart: no crash, no huge grid."""
    random = np.random.default_rng(2)
    for pbc in ([False, False, False], [True, False, False], [True, True, False]):
        positions = random.uniform(0, 8, (30, 3))
        near = half_list(positions, CELLS["orthorhombic"], pbc, 5.0)
        positions = np.concatenate([positions, [[4.0, 4.0, far], [4.0, 5.0, far]]])
        found = half_list(positions, CELLS["orthorhombic"], pbc, 5.0)
        assert _rows(*found)[:-1] == _rows(*near)
        assert _rows(*found)[-1][:2] == (30, 31)


@LISTS
def test_positions_many_cells_away(half_list) -> None:
    random = np.random.default_rng(2)
    positions, cell = random.uniform(0, 9, (20, 3)), np.diag([8.0, 16.0, 16.0])
    found, shifts = half_list(positions, cell, [True] * 3, 5.0)
    away = 2.0**28 * random.integers(-3, 4, (20, 1))  # times 8 Angstrom: exact in floating point
    positions = positions.round(3)
    moved = positions + away * cell[0]
    cells = np.round((moved - positions) / cell[0, 0])[:, :1] * [1, 0, 0]
    found, shifts = half_list(positions, cell, [True] * 3, 4.9)
    far_found, far_shifts = half_list(moved, cell, [True] * 3, 4.9)
    np.testing.assert_array_equal(far_found, found)
    np.testing.assert_array_equal(far_shifts, shifts - cells[found[0]] + cells[found[1]])


@LISTS
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_atom_that_is_nowhere_is_in_no_pair(half_list, value) -> None:
    positions = np.random.default_rng(2).uniform(0, 8, (12, 3))
    for pbc in ([False] * 3, [True] * 3, [True, False, True]):
        rows = _rows(*half_list(positions, CELLS["triclinic"], pbc, 5.0))
        broken = positions.copy()
        broken[4, 1] = value
        assert any(4 in row[:2] for row in rows)
        assert _rows(*half_list(broken, CELLS["triclinic"], pbc, 5.0)) == [row for row in rows if 4 not in row[:2]]


@LISTS
def test_no_atoms_and_one(half_list) -> None:
    for n_atoms in (0, 1):
        found, shifts = half_list(np.zeros((n_atoms, 3)), np.eye(3), [False] * 3, 5.0)
        assert found.shape == (2, 0)
        assert shifts.shape == (0, 3)
    found, shifts = half_list(np.zeros((1, 3)), 4 * np.eye(3), [True] * 3, 4.1)
    assert _rows(found, shifts) == [(0, 0, 0, 0, 1), (0, 0, 0, 1, 0), (0, 0, 1, 0, 0)]


@LISTS
def test_pairs_grow_with_the_number_of_atoms(half_list) -> None:
    """Copies of a cell have copies of its pairs; nothing grows faster."""
    small = Atoms("H40", cell=CELLS["triclinic"], pbc=True)
    small.positions = np.random.default_rng(3).uniform(0, 1, (40, 3)) @ CELLS["triclinic"]
    counts = []
    for copies in (1, 2, 4):
        large = small.repeat(copies)
        found, _ = half_list(large.positions, np.array(large.cell), [True] * 3, 5.0)
        counts.append(found.shape[1] / len(large))
    assert counts[0] == counts[1] == counts[2]


def test_cells_that_span_nothing_are_refused(potential: NetworkPotential) -> None:
    flat = np.array([[5.0, 0, 0], [0, 5.0, 0], [5.0, 5.0, 0]])
    positions = np.array([[0.0, 0, 0], [1, 1, 1]])
    for cell, pbc in ((None, [True] * 3), (np.zeros((3, 3)), [True, False, False]), (flat, [True] * 3)):
        with pytest.raises(FfptError, match="needs a cell"):
            neighbours.half_list(positions, cell, pbc, 5.0)
        kept = neighbours.NeighbourList(5.0, pbc=pbc)
        kept.update(positions, CELLS["thin"])
        for _ in range(2):
            with pytest.raises(FfptError, match="needs a cell"):
                kept.update(positions, cell)
    with pytest.raises(FfptError, match="needs a cell"):
        potential.energy_and_forces(Atoms("OH", positions, pbc=True))


def test_lists_of_a_data_set_are_those_of_its_frames() -> None:
    random = np.random.default_rng(7)
    frames = [Atoms("H" * n, random.uniform(0, 9, (n, 3))) for n in (5, 40, 5, 1, 33, 7, 5)]
    frames[2].positions *= 100  # no pairs at all
    for frame, (name, pbc) in zip(frames[3:], [("thin", True), ("triclinic", [True, False, True])], strict=False):
        frame.cell, frame.pbc = CELLS[name], pbc
    table = FramePairs(Dataset.from_atoms(frames), 5.0)
    chosen = np.array([4, 2, 0, 3, 1, 5, 6])
    found, translations = table.pairs[:, table.rows(chosen)], table.translations(chosen)
    ends = np.cumsum(table.counts[chosen])
    for frame, start, end in zip(chosen, ends - table.counts[chosen], ends, strict=True):
        atoms = frames[frame]
        expected, shifts = neighbours.half_list(atoms.positions, np.array(atoms.cell), atoms.pbc, 5.0)
        np.testing.assert_array_equal(found[:, start:end], expected)
        np.testing.assert_allclose(translations[start:end], shifts @ np.array(atoms.cell), rtol=0, atol=1e-12)
    assert FramePairs(Dataset.from_atoms(frames[:3]), 5.0).translations(np.array([0, 2])) is None


@pytest.mark.parametrize("name", sorted(CELLS))
def test_energy_of_a_cell_is_that_of_its_supercell(name: str) -> None:
    potential = small_potential()
    random = np.random.default_rng(5)
    atoms = Atoms("OHHC", cell=CELLS[name], pbc=True, positions=random.uniform(0, 1, (4, 3)) @ CELLS[name])
    energy, forces = potential.energy_and_forces(atoms)
    big_energy, big_forces = potential.energy_and_forces(atoms.repeat((2, 1, 3)))
    assert big_energy == pytest.approx(6 * energy, rel=0, abs=1e-8)
    np.testing.assert_allclose(big_forces, np.tile(forces, (6, 1)), atol=1e-9)


def test_wrapping_changes_nothing(potential: NetworkPotential) -> None:
    cell = CELLS["triclinic"]
    positions = np.random.default_rng(5).uniform(-1, 2, (8, 3)) @ cell
    atoms = Atoms("O4H4", cell=cell, pbc=True, positions=positions)
    wrapped = atoms.copy()
    wrapped.wrap()
    assert np.abs(wrapped.positions - atoms.positions).max() > 5
    assert potential.energy_and_forces(wrapped)[0] == pytest.approx(potential.energy_and_forces(atoms)[0], abs=1e-9)


def test_stress_is_the_derivative_in_strain(potential: NetworkPotential) -> None:
    cell = CELLS["thin and triclinic"]
    atoms = Atoms("OHC", cell=cell, pbc=True, positions=np.random.default_rng(2).uniform(0, 1, (3, 3)) @ cell)
    stress = potential.energy_forces_stress(atoms)[2]
    for a, b in ((0, 0), (1, 1), (2, 2), (0, 1), (1, 2), (0, 2)):
        energies = []
        for sign in (1, -1):
            strain = np.eye(3)
            strain[a, b] += sign * 5e-6
            strain[b, a] += sign * 5e-6 if a != b else 0.0
            deformed = atoms.copy()
            deformed.set_cell(atoms.cell @ strain, scale_atoms=True)
            energies.append(potential.energy_and_forces(deformed)[0])
        numeric = (energies[0] - energies[1]) / 1e-5 / atoms.cell.volume / (1 if a == b else 2)
        assert stress[a, b] == pytest.approx(numeric, rel=1e-5, abs=1e-8)
