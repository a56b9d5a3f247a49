"""Scans: the right atoms move rigidly, energies equal analytic curves, planted holes are counted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.calculators.calculator import CalculationFailed, Calculator, all_changes
from ase.calculators.morse import MorsePotential

from ffpt_core.analysis.audit import audit_potential, find_holes, plot_audits
from ffpt_core.analysis.audit_scans import audit_scans
from ffpt_core.analysis.holes import HoleRules
from ffpt_core.analysis.scan_energies import ScanResult, evaluate_scan, plot_scans
from ffpt_core.analysis.scans import Scan, scan_angle, scan_bond, scan_contact, scan_dihedral
from ffpt_core.base.errors import FfptError
from ffpt_core.structure.graph import find_bonds

RIGID = ("bond", "angle")


class Harmonic(Calculator):
    """Springs on all bonds and angles of a molecule, with a hole planted in one bond if asked for.

    The hole is a narrow Gaussian well in the length of one bond that takes back what the bond's own spring
    costs at hole_at: there, far from equilibrium, the energy is that of the start.
    """

    implemented_properties = ["energy", "forces"]

    def __init__(
        self, reference: Atoms, hole: tuple[int, int] | None = None, hole_at: float = 2.2, stiffness: float = 60.0
    ) -> None:
        super().__init__()
        self.bonds = find_bonds(reference)
        self.lengths = [reference.get_distance(i, j) for i, j in self.bonds]
        neighbours = [{j for bond in self.bonds for j in bond if i in bond and j != i} for i in range(len(reference))]
        self.angles = [(i, j, k) for j, near in enumerate(neighbours) for i in near for k in near if i < k]
        self.degrees = [reference.get_angle(*angle) for angle in self.angles]
        self.hole, self.hole_at, self.stiffness = hole, hole_at, stiffness

    def calculate(self, atoms: Any = None, properties: Any = ("energy",), system_changes: Any = all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        energy = 0.0
        for (i, j), length in zip(self.bonds, self.lengths, strict=True):
            energy += 0.5 * self.stiffness * (self.atoms.get_distance(i, j) - length) ** 2
        for angle, degrees in zip(self.angles, self.degrees, strict=True):
            energy += 0.5 * 4.0 * np.radians(self.atoms.get_angle(*angle) - degrees) ** 2
        if self.hole is not None:
            distance = self.atoms.get_distance(*self.hole)
            start = dict(zip(map(tuple, self.bonds.tolist()), self.lengths, strict=True))[self.hole]
            depth = 0.5 * self.stiffness * (self.hole_at - start) ** 2
            energy -= depth * np.exp(-(((distance - self.hole_at) / 0.05) ** 2))
        self.results = {"energy": energy, "forces": np.zeros((len(self.atoms), 3))}


class Folding(Harmonic):
    """Springs on bonds and none on angles: closing an angle costs nothing."""

    def __init__(self, reference: Atoms) -> None:
        super().__init__(reference)
        self.angles = []
        self.degrees = []


def distances(atoms: Atoms, members: Any) -> np.ndarray:
    return atoms.get_all_distances()[np.ix_(list(members), list(members))]


def assert_rigid(scan: Scan) -> None:
    """The atoms that moved, and those that did not, each keep all distances among themselves."""
    rest = sorted(set(range(len(scan.start))) - set(scan.moved))
    for geometry in scan.geometries:
        np.testing.assert_allclose(distances(geometry, scan.moved), distances(scan.start, scan.moved), atol=1e-10)
        np.testing.assert_allclose(geometry.positions[rest], scan.start.positions[rest], atol=0)


@pytest.fixture
def ethanol() -> Atoms:
    """Methyl carbon 0 with H6, H7, H8; carbon 1 with H4, H5; oxygen 2 with H3."""
    return molecule("CH3CH2OH")


def test_bond_scan_moves_the_smaller_fragment(ethanol: Atoms) -> None:
    scan = scan_bond(ethanol, 0, 1, [1.2, 1.5, 3.0])
    assert set(scan.moved) == {0, 6, 7, 8}
    assert scan.name == "bond C0-C1" and scan.unit == "Angstrom" and not scan.note
    assert_rigid(scan)
    np.testing.assert_allclose([geometry.get_distance(0, 1) for geometry in scan.geometries], [1.2, 1.5, 3.0])
    direction = scan.geometries[-1].positions[0] - scan.geometries[-1].positions[1]
    before = ethanol.positions[0] - ethanol.positions[1]
    np.testing.assert_allclose(direction / 3.0, before / np.linalg.norm(before), atol=1e-12)


def test_ring_bond_moves_both_atoms_with_their_hydrogens() -> None:
    benzene = molecule("C6H6")
    scan = scan_bond(benzene, 0, 1, [1.4, 2.0])
    assert set(scan.moved) == {0, 1, 6, 7} and "ring" in scan.note
    stretched = scan.geometries[1]
    assert stretched.get_distance(0, 1) == pytest.approx(2.0)
    assert stretched.get_distance(0, 6) == pytest.approx(benzene.get_distance(0, 6))
    np.testing.assert_allclose(stretched.positions[[0, 1]].mean(axis=0), benzene.positions[[0, 1]].mean(axis=0))


@pytest.mark.parametrize(("angle", "moved"), [((6, 0, 7), {7}), ((3, 2, 1), {3}), ((2, 1, 0), {2, 3})])
def test_angle_scan_turns_the_smaller_side(ethanol: Atoms, angle: tuple[int, int, int], moved: set[int]) -> None:
    values = [45.0, 90.0, 170.0, ethanol.get_angle(*angle)]
    scan = scan_angle(ethanol, *angle, values)
    assert set(scan.moved) == moved
    assert_rigid(scan)
    np.testing.assert_allclose([geometry.get_angle(*angle) for geometry in scan.geometries], values, atol=1e-6)
    np.testing.assert_allclose(scan.geometries[-1].positions, ethanol.positions, atol=1e-10)
    for geometry in scan.geometries:
        assert geometry.get_distance(*angle[:2]) == pytest.approx(ethanol.get_distance(*angle[:2]))


def test_angle_of_three_atoms_in_line_can_be_bent() -> None:
    scan = scan_angle(molecule("CO2"), 1, 0, 2, [180.0, 120.0])
    assert scan.geometries[1].get_angle(1, 0, 2) == pytest.approx(120.0)


def test_dihedral_scan_turns_about_the_bond(ethanol: Atoms) -> None:
    values = np.array([-150.0, -30.0, 60.0, 175.0])
    for dihedral in ((3, 2, 1, 0), (0, 1, 2, 3), (6, 0, 1, 2)):
        scan = scan_dihedral(ethanol, *dihedral, values)
        assert_rigid(scan)
        found = np.array([geometry.get_dihedral(*dihedral) for geometry in scan.geometries])
        np.testing.assert_allclose(np.cos(np.radians(found - values)), 1.0, atol=1e-10)
        assert len(scan.moved) in (2, 4)


def test_contact_between_molecules_moves_the_smaller_one_whole() -> None:
    water = molecule("H2O")
    pair = molecule("CH3OH")
    pair.extend(Atoms(water.numbers, positions=water.positions + np.array([0.0, 0.0, 4.0])))
    scan = scan_contact(pair, 0, 6, [1.5, 2.5])
    assert set(scan.moved) == {6, 7, 8} and not scan.note
    assert_rigid(scan)
    np.testing.assert_allclose([geometry.get_distance(0, 6) for geometry in scan.geometries], [1.5, 2.5])


def test_contact_within_a_molecule_moves_the_lighter_atom(ethanol: Atoms) -> None:
    scan = scan_contact(ethanol, 3, 0)
    assert scan.moved == (3,) and "alone" in scan.note
    np.testing.assert_allclose([g.get_distance(0, 3) for g in scan.geometries], scan.values)
    assert scan.values.min() == pytest.approx(0.4) and scan.values.max() >= ethanol.get_distance(0, 3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda atoms: scan_bond(atoms, 0, 2), "not bonded"),
        (lambda atoms: scan_bond(atoms, 0, 9), "no atom 9: the molecule has atoms 0 to 8"),
        (lambda atoms: scan_bond(atoms, 1, 1), "named twice"),
        (lambda atoms: scan_bond(atoms, 0, 1, []), "one value or more"),
        (lambda atoms: scan_contact(atoms, 0, 1), "are bonded"),
        (lambda atoms: scan_angle(atoms, 0, 2, 1), "not bonded to both"),
        (lambda atoms: scan_dihedral(atoms, 3, 1, 2, 0), "not bonded in this order"),
        (lambda atoms: scan_angle(molecule("C6H6"), 0, 1, 2), "part of a ring"),
        (lambda atoms: scan_dihedral(molecule("C6H6"), 0, 1, 2, 3), "part of a ring"),
    ],
)
def test_scans_that_make_no_sense_are_refused(ethanol: Atoms, make: Any, message: str) -> None:
    with pytest.raises(FfptError, match=message):
        make(ethanol)


def test_morse_scan_is_the_analytic_curve() -> None:
    depth, length, rho = 4.5, 0.74, 1.9
    hydrogen = Atoms("H2", positions=[[0, 0, 0], [0, 0, length]])
    morse = MorsePotential(epsilon=depth, r0=length, rho0=rho, rcut1=50.0, rcut2=60.0)
    result = evaluate_scan(scan_bond(hydrogen, 0, 1), {"Morse": morse})
    expected = depth * (1.0 - np.exp(-rho * (result.values / length - 1.0))) ** 2
    np.testing.assert_allclose(result.energies["Morse"], expected, atol=1e-10)
    slope = 2 * depth * rho / length * np.exp(-rho * (result.values / length - 1.0))
    slope *= 1.0 - np.exp(-rho * (result.values / length - 1.0))
    np.testing.assert_allclose(np.abs(result.forces["Morse"][:, 1, 2]), np.abs(slope), atol=1e-8)
    # The scan goes by steps of 0.05, between which the curve is taken as straight.
    assert result.at("Morse", 1.325) == pytest.approx(depth * (1 - np.exp(-rho * (1.325 / length - 1))) ** 2, abs=0.01)


class Failing(Calculator):
    """Gives the bond length as energy, and fails beyond 2 Angstrom (always, where broken)."""

    implemented_properties = ["energy", "forces"]

    def __init__(self, limit: float = 2.0) -> None:
        super().__init__()
        self.limit = limit

    def calculate(self, atoms: Any = None, properties: Any = ("energy",), system_changes: Any = all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        if self.atoms.get_distance(0, 1) > self.limit:
            raise CalculationFailed("not converged")
        self.results = {"energy": self.atoms.get_distance(0, 1), "forces": np.zeros((len(self.atoms), 3))}


def test_points_without_an_energy_are_nan_and_null() -> None:
    result = evaluate_scan(scan_bond(molecule("H2"), 0, 1, [0.8, 1.9, 2.1, 2.3]), {"x": Failing()})
    assert np.isnan(result.energies["x"]).tolist() == [False, False, True, True]
    assert np.isnan(result.forces["x"][2:]).all()
    assert result.to_dict()["energies_ev"]["x"][2:] == [None, None]
    with pytest.raises(FfptError, match="x has no energy at the start geometry"):
        evaluate_scan(scan_bond(molecule("H2"), 0, 1), {"x": Failing(0.1)})


def test_harmonic_potential_has_no_hole(ethanol: Atoms) -> None:
    found = audit_potential(Harmonic(ethanol), ethanol, kinds=RIGID)
    assert found.holes == []
    assert found.count("bond") == (0, 8)
    assert found.count("angle") == (0, 13)
    assert audit_potential(Harmonic(ethanol), ethanol, kinds=RIGID, angles="hydrogen").count("angle") == (
        0,
        4,
    )  # H-C-H: three on C0, one on C1
    finding = next(finding for finding in found.findings if finding.atoms == (0, 6))
    expected = 0.5 * 60.0 * (3.0 - finding.start_value) ** 2
    assert finding.energies[3.0] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("bond", "hole_at", "words"),
    [((0, 6), 2.2, "stretched"), ((0, 1), 2.45, "stretched"), ((2, 3), 0.54, "compressed")],
)
def test_planted_hole_is_found_where_it_is(ethanol: Atoms, bond: tuple[int, int], hole_at: float, words: str) -> None:
    found = audit_potential(Harmonic(ethanol, bond, hole_at), ethanol, kinds=RIGID, angles="hydrogen")
    assert [finding.atoms for finding in found.holes] == [bond]
    assert found.holes[0].hole.startswith(words)
    assert found.holes[0].lowest_at == pytest.approx(hole_at, abs=0.06)
    assert found.count() == (1, 12)


def test_free_angles_are_holes(ethanol: Atoms) -> None:
    found = audit_potential(Folding(ethanol), ethanol, kinds=RIGID, angles="hydrogen")
    assert found.count("bond") == (0, 8)
    assert found.count("angle") == (4, 4)
    assert {tuple(finding.broken) for finding in found.holes} == {("opened", "closed")}
    assert found.to_dict()["rules_broken"] == {"opened": 4, "closed": 4}


def curve(energies: Any, label: str = "p") -> ScanResult:
    """A bond scan of H2 whose energies are a function of the bond length."""
    scan = audit_scans(molecule("H2"))[0]
    return ScanResult(
        scan, {label: energies(scan.values - scan.start_value)}, {label: np.zeros((len(scan.values), 2, 3))}
    )


def test_second_minimum_before_the_unphysical_range_is_a_hole() -> None:
    uphill = curve(lambda x: np.where(np.abs(x) < 0.25, 20 * x**2, 1.25 + 6 * (np.abs(x) - 0.25)))
    assert find_holes([uphill], "p").holes == []
    dipping = curve(lambda x: np.where(x < 0.55, 20 * x**2, 30 * x**2) - 6.0 * np.exp(-(((x - 0.45) / 0.1) ** 2)))
    assert list(find_holes([dipping], "p").holes[0].broken) == ["second minimum"]


def test_energy_that_is_not_finite_is_a_hole() -> None:
    result = curve(lambda x: np.where(x > 1.0, np.nan, 30 * x**2))
    assert find_holes([result], "p").holes[0].hole.startswith("not finite: no energy at 1.7")


def test_reference_excuses_a_weak_bond_but_no_stronger_one() -> None:
    weak = curve(lambda x: 1.6 * (1 - np.exp(-2.0 * x)) ** 2)
    assert find_holes([weak], "p").count() == (1, 1)
    half = ScanResult(weak.scan, {"p": 0.6 * weak.energies["p"], "dft": weak.energies["p"]}, weak.forces)
    assert find_holes([half], "p", "dft").count() == (0, 1)
    less = ScanResult(weak.scan, {"p": 0.4 * weak.energies["p"], "dft": weak.energies["p"]}, weak.forces)
    assert find_holes([less], "p", "dft").count() == (1, 1)


def test_rules_are_parameters() -> None:
    result = curve(lambda x: 15.0 * x**2)
    assert find_holes([result], "p").count() == (0, 1)
    assert find_holes([result], "p", rules=HoleRules(bond_energy=12.0)).count() == (1, 1)
    with pytest.raises(FfptError, match="no energies of q"):
        find_holes([result], "q")


def test_pictures_have_a_panel_a_scan_and_a_curve_a_label(ethanol: Atoms) -> None:
    calculators = {"springs": Harmonic(ethanol), "hole": Harmonic(ethanol, hole=(0, 6))}
    results = [evaluate_scan(scan, calculators) for scan in audit_scans(ethanol)[:4]]
    figure = plot_scans(results, reference="springs")
    assert sum(axes.get_visible() for axes in figure.axes) == 4
    assert all(len(axes.lines) == 3 for axes in figure.axes if axes.get_visible())
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["springs", "hole"]
    audits = [find_holes(results, label) for label in calculators]
    assert plot_audits(audits).axes[0].get_yticklabels()[0].get_text() == "C0–C1"


def test_the_picture_of_one_bond_has_room_for_it(ethanol: Atoms) -> None:
    (bond, *_) = audit_scans(ethanol, ["bond"])
    audit = find_holes([evaluate_scan(bond, {"springs": Harmonic(ethanol)})], "springs")
    figure = plot_audits([audit])
    figure.draw_without_rendering()
    assert figure.axes[0].get_position().height * figure.get_figheight() > 0.4
