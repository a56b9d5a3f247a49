"""The stability criterion: planted failures are found where they are, physical frames pass."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule

from ffpt_core.analysis import Failure, StabilityCriterion
from ffpt_core.base.errors import FfptError
from ffpt_core.structure.graph import find_bonds, molecules


@pytest.fixture
def ethane() -> Atoms:
    return molecule("C2H6")


def frames_of(atoms: Atoms, n_frames: int = 50, amplitude: float = 0.03) -> np.ndarray:
    noise = np.random.default_rng(0).normal(scale=amplitude, size=(n_frames, len(atoms), 3))
    return atoms.positions + noise


def stretch(atoms: Atoms, first: int, second: int, length: float) -> np.ndarray:
    """Positions with second moved along the bond until it is length from first."""
    positions = atoms.positions.copy()
    direction = positions[second] - positions[first]
    positions[second] = positions[first] + length * direction / np.linalg.norm(direction)
    return positions


def test_physical_frames_pass(ethane: Atoms) -> None:
    criterion = StabilityCriterion.from_reference(ethane)
    assert criterion.check(frames_of(ethane)) is None
    assert criterion.check(ethane.positions) is None


@pytest.mark.parametrize(
    ("name", "n_bonds"), [("H2", 1), ("O2", 1), ("H2O", 2), ("H2O2", 3), ("C6H6", 12), ("CH3SH", 5), ("C4H4S", 9)]
)
def test_bonds_are_found_in_a_relaxed_geometry(name: str, n_bonds: int) -> None:
    assert len(find_bonds(molecule(name))) == n_bonds


def test_first_of_several_failing_frames_is_reported_with_its_bond(ethane: Atoms) -> None:
    frames = frames_of(ethane)
    frames[31:] = 100.0 * frames[31:]
    frames[17] = stretch(ethane, 0, 2, 2.31)
    reference = np.linalg.norm(ethane.positions[0] - ethane.positions[2])
    expected = Failure(17, f"bond C0-H2 is 2.31 A, reference {reference:.2f} A")
    assert StabilityCriterion.from_reference(ethane).check(frames) == expected


@pytest.mark.parametrize(("stretched_by", "fails"), [(0.49, False), (0.51, True), (-0.49, False), (-0.51, True)])
def test_bonds_fail_half_an_angstrom_from_equilibrium(ethane: Atoms, stretched_by: float, fails: bool) -> None:
    length = np.linalg.norm(ethane.positions[0] - ethane.positions[2]) + stretched_by
    frame = stretch(ethane, 0, 2, length)
    assert (StabilityCriterion.from_reference(ethane).check(frame) is not None) is fails


def test_collision_of_atoms_that_are_not_bonded(ethane: Atoms) -> None:
    # Rotating one H about its carbon onto another keeps every bond at its length.
    frames = frames_of(ethane)
    centre, moved, other = ethane.positions[[0, 2, 3]]
    near = other + 0.25 * np.cross(other - centre, moved - centre) / np.linalg.norm(
        np.cross(other - centre, moved - centre)
    )
    frames[9] = ethane.positions
    frames[9, 2] = near
    failure = StabilityCriterion.from_reference(ethane).check(frames)
    assert failure == Failure(9, "atoms H2 and H3 are 0.25 A apart, bound 0.31 A")
    assert StabilityCriterion.from_reference(ethane, contact_factor=0.3).check(frames) is None


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_coordinates_that_are_not_finite(ethane: Atoms, value: float) -> None:
    frames = frames_of(ethane)
    frames[23:, 4, 1] = value
    criterion = StabilityCriterion.from_reference(ethane)
    assert criterion.check(frames) == Failure(23, "coordinates are not finite")
    frames[5] = stretch(ethane, 0, 2, 3.0)
    failure = criterion.check(frames)
    assert failure is not None and failure.frame == 5


def test_many_frames_are_checked_in_pieces(ethane: Atoms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ffpt_core.analysis.criterion._CHUNK", 100)
    frames = frames_of(ethane)
    frames[41] = stretch(ethane, 0, 2, 2.5)
    failure = StabilityCriterion.from_reference(ethane).check(frames)
    assert failure is not None and failure.frame == 41


def test_molecules_across_a_periodic_boundary_are_whole() -> None:
    water = molecule("H2O")
    cell = np.array([[6.0, 0, 0], [1.5, 6.0, 0], [0.5, -1.0, 6.5]])
    box = water + Atoms(water.numbers, positions=water.positions + np.array([3.0, 2.0, 2.0]))
    box.set_cell(cell)
    box.pbc = True
    criterion = StabilityCriterion.from_reference(box)
    images = box.positions.copy()
    images[1] += cell[0] - 2 * cell[1]
    assert criterion.check(images, cells=cell) is None
    assert criterion.check(images) is not None
    assert len(criterion.bonds) == 4


def test_bound_between_molecules_spares_those_within() -> None:
    water = molecule("H2O")  # its hydrogens are 1.5 Angstrom apart, in the plane x = 0
    dimer = water + Atoms(water.numbers, positions=water.positions + np.array([3.0, 0.0, 0.0]))
    close = dimer.positions.copy()
    close[3:, 0] -= 1.1
    criterion = StabilityCriterion.from_reference(dimer, min_distance=2.0)
    assert criterion.check(dimer.positions) is None
    failure = criterion.check(close)
    assert failure is not None and failure.reason.endswith("1.90 A apart, bound 2.00 A")
    assert StabilityCriterion.from_reference(dimer).check(close) is None


def test_molecules_are_the_connected_parts() -> None:
    bonds = np.array([[0, 4], [3, 4], [1, 3], [5, 6]])
    assert molecules(8, bonds).tolist() == [0, 0, 2, 0, 0, 5, 5, 7]


@pytest.mark.parametrize("kind", ["mdtraj", "openmm"])
def test_topologies_of_both_engines(ethane: Atoms, kind: str) -> None:
    mdtraj = pytest.importorskip("mdtraj")
    topology = mdtraj.Topology()
    residue = topology.add_residue("ETH", topology.add_chain())
    atoms = [topology.add_atom(s, mdtraj.element.get_by_symbol(s), residue) for s in ethane.get_chemical_symbols()]
    for first, second in find_bonds(ethane):
        topology.add_bond(atoms[first], atoms[second])
    if kind == "openmm":
        pytest.importorskip("openmm")
        topology = topology.to_openmm()
    criterion = StabilityCriterion.from_topology(topology, ethane.positions)
    expected = StabilityCriterion.from_reference(ethane)
    np.testing.assert_array_equal(criterion.bonds, expected.bonds)
    np.testing.assert_allclose(criterion.bounds, expected.bounds)


def test_wrong_input_is_refused(ethane: Atoms) -> None:
    with pytest.raises(FfptError, match="atom 8, but the reference has atoms 0 to 7"):
        StabilityCriterion.from_reference(ethane, [(0, 8)])
    with pytest.raises(FfptError, match=r"shape \(4, 3, 3\)"):
        StabilityCriterion.from_reference(ethane).check(np.zeros((4, 3, 3)))
