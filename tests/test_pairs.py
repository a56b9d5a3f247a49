"""Half pair lists against ASE's neighbour list, in cells of every kind."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.neighborlist import neighbor_list
from conftest import small_potential
from hypothesis import given, settings
from hypothesis import strategies as st

from ffpt_core import FfptError, Potential, pairs

CELLS = {
    "orthorhombic": np.diag([11.0, 12.0, 13.0]),
    "triclinic": np.array([[10.5, 0, 0], [3.0, 11.0, 0], [-4.0, 2.5, 12.0]]),
    "thin": np.diag([3.1, 12.0, 4.2]),
    "thin and triclinic": np.array([[3.5, 0, 0], [2.9, 3.2, 0], [-1.5, 1.0, 4.0]]),
}


def _directed(atoms: Atoms, cutoff: float) -> list[tuple[int, int, float, float, float]]:
    """Our half list as a sorted directed list of atoms and displacements."""
    first_second, translations = pairs.periodic_pairs(
        torch.tensor(atoms.positions), torch.tensor(np.array(atoms.cell)), torch.tensor(atoms.pbc), cutoff
    )
    first, second = first_second.numpy()
    displacements = atoms.positions[first] - atoms.positions[second] + translations.numpy()
    rows = [*zip(first, second, *displacements.T, strict=True), *zip(second, first, *(-displacements).T, strict=True)]
    return sorted((int(i), int(j), round(x, 6) + 0, round(y, 6) + 0, round(z, 6) + 0) for i, j, x, y, z in rows)


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(sorted(CELLS)),
    st.tuples(st.booleans(), st.booleans(), st.booleans()).filter(any),
    st.integers(0, 2**31),
)
def test_periodic_pairs_are_those_of_ase(cell: str, pbc: tuple[bool, bool, bool], seed: int) -> None:
    random = np.random.default_rng(seed)
    # Unwrapped on purpose: atoms lie up to two cells away from the first.
    atoms = Atoms("H7", cell=CELLS[cell], pbc=pbc, positions=random.uniform(-1.5, 1.5, (7, 3)) @ CELLS[cell])
    i, j, vectors = neighbor_list("ijD", atoms, 5.0)
    expected = sorted((int(a), int(b), *(round(x, 6) + 0 for x in -d)) for a, b, d in zip(i, j, vectors, strict=True))
    np.testing.assert_allclose(_directed(atoms, 5.0), expected, atol=2e-6)


def test_isolated_pairs_are_those_of_ase() -> None:
    positions = np.random.default_rng(1).uniform(0, 14, (100, 3))
    found = pairs.isolated_pairs(torch.tensor(positions), 5.0).numpy()
    i, j = neighbor_list("ij", Atoms("H100", positions), 5.0)
    assert sorted(map(tuple, found.T.tolist())) == sorted(
        (a, b) for a, b in zip(i.tolist(), j.tolist(), strict=True) if a < b
    )


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    positions = torch.tensor(np.random.default_rng(1).uniform(0, 9, (30, 3)))
    cell, pbc = torch.tensor(CELLS["thin"]), torch.ones(3, dtype=torch.bool)
    whole = pairs.isolated_pairs(positions, 5.0), *pairs.periodic_pairs(positions, cell, pbc, 5.0)
    monkeypatch.setattr(pairs, "_BLOCK", 40)
    blocks = pairs.isolated_pairs(positions, 5.0), *pairs.periodic_pairs(positions, cell, pbc, 5.0)
    for one, other in zip(whole, blocks, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("name", sorted(CELLS))
def test_energy_of_a_cell_is_that_of_its_supercell(name: str) -> None:
    potential = small_potential()
    random = np.random.default_rng(5)
    atoms = Atoms("OHHC", cell=CELLS[name], pbc=True, positions=random.uniform(0, 1, (4, 3)) @ CELLS[name])
    energy, forces = potential.energy_and_forces(atoms)
    big_energy, big_forces = potential.energy_and_forces(atoms.repeat((2, 1, 3)))
    assert big_energy == pytest.approx(6 * energy, rel=0, abs=1e-8)
    np.testing.assert_allclose(big_forces, np.tile(forces, (6, 1)), atol=1e-9)


def test_wrapping_changes_nothing(potential: Potential) -> None:
    cell = CELLS["triclinic"]
    positions = np.random.default_rng(5).uniform(-1, 2, (8, 3)) @ cell
    atoms = Atoms("O4H4", cell=cell, pbc=True, positions=positions)
    wrapped = atoms.copy()
    wrapped.wrap()
    assert np.abs(wrapped.positions - atoms.positions).max() > 5
    assert potential.energy_and_forces(wrapped)[0] == pytest.approx(potential.energy_and_forces(atoms)[0], abs=1e-9)


def test_stress_is_the_derivative_in_strain(potential: Potential) -> None:
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


def test_a_periodic_structure_needs_a_cell(potential: Potential) -> None:
    with pytest.raises(FfptError, match="needs a cell"):
        potential.energy_and_forces(Atoms("OH", [[0, 0, 0], [0, 0, 1]], pbc=True))
