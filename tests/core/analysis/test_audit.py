"""Audits of any potential: which scans there are, planted holes in torsions and contacts, many geometries at once."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.data import covalent_radii

from ffpt_core.analysis.audit import audit_potential, audit_potentials, find_holes
from ffpt_core.analysis.audit_scans import KINDS, audit_scans
from ffpt_core.analysis.molecule import molecule_of
from ffpt_core.analysis.scan_energies import ScanResult, evaluate_scan
from ffpt_core.analysis.scans import scan_contact, scan_ring_angle, turning_sides
from ffpt_core.base.errors import FfptError
from ffpt_core.base.files import to_json
from ffpt_core.potentials.interface import Potential, Prediction
from ffpt_core.structure.graph import MoleculeGraph

PARACETAMOL = "CC(=O)Nc1ccc(O)cc1"


class Springs(Potential):
    """Springs between atoms up to two bonds apart, and repulsion between all others; a pair may have a hole.

    Args:
        atoms: geometry of the minimum.
        hole: two atoms that cost nothing, and then attract, nearer than they are at the start by half.
        batches: as of a Potential.
        limit: positions beyond which it gives up, Angstrom.
    """

    level = "springs"

    def __init__(
        self, atoms: Atoms, hole: tuple[int, int] | None = None, batches: bool = True, limit: float = np.inf
    ) -> None:
        self.atoms, self.hole, self.batches, self.limit = atoms, hole, batches, limit
        self.first, self.second = np.triu_indices(len(atoms), 1)
        self.near = MoleculeGraph(atoms).within_two_bonds()[self.first, self.second]
        self.lengths = atoms.get_all_distances()[self.first, self.second]
        radii = covalent_radii[atoms.numbers]
        self.sums = radii[self.first] + radii[self.second]
        self.calls: list[int] = []

    def energies(self, positions: np.ndarray) -> np.ndarray:
        distances = np.linalg.norm(positions[:, self.first] - positions[:, self.second], axis=-1)
        springs = np.where(self.near, 20.0 * (distances - self.lengths) ** 2, (self.sums / distances) ** 6)
        total = springs.sum(axis=1)
        if self.hole is not None:
            pair = (self.first == self.hole[0]) & (self.second == self.hole[1])
            distance, reach = distances[:, pair][:, 0], self.sums[pair][0]
            total = np.where(distance < 0.9 * reach, distance, total)
        return total

    def evaluator(self, numbers: Any, pbc: Any = (False,) * 3, copies: int = 1) -> Any:
        def evaluate(positions: np.ndarray, cell: np.ndarray | None = None) -> Prediction:
            self.calls.append(copies)
            assert positions.shape == (copies * len(self.atoms), 3)
            if np.abs(positions).max() > self.limit:
                raise FfptError("too far")
            return Prediction(self.energies(positions.reshape(copies, -1, 3)), np.zeros_like(positions), None)

        return evaluate

    def record(self) -> dict[str, Any]:
        return {"level": self.level, "fingerprint": "springs"}

    def save_into(self, folder: Any) -> None:
        raise FfptError("springs are not saved")


@pytest.fixture
def ethanol() -> Atoms:
    return molecule("CH3CH2OH")


def judged(scan: Any, energies: Callable[[np.ndarray], np.ndarray], reference: Any = None) -> dict[str, str]:
    """The rules that energies, functions of the scan's values, break."""
    curves = {"p": energies(scan.values)} | ({} if reference is None else {"r": reference(scan.values)})
    forces = {label: np.zeros((len(scan.values), len(scan.start), 3)) for label in curves}
    (finding,) = find_holes([ScanResult(scan, curves, forces)], "p", None if reference is None else "r").findings
    return finding.broken


def test_every_bond_angle_and_torsion_of_paracetamol_is_scanned() -> None:
    pytest.importorskip("rdkit")
    atoms, bonds = molecule_of(PARACETAMOL)
    scans = audit_scans(atoms, bonds=bonds)
    count = {kind: sum(scan.kind == kind for scan in scans) for kind in KINDS}
    assert (len(atoms), len(bonds)) == (20, 20)
    assert (count["bond"], count["angle"], count["dihedral"]) == (20, 31, 4)
    assert count["contact"] >= 20
    pressed = {atom for scan in scans if scan.kind == "contact" for atom in scan.atoms}
    assert pressed == set(range(20))
    assert len({scan.atoms for scan in scans}) == len(scans)


def test_the_corner_of_a_ring_moves_to_the_angle_asked_for() -> None:
    ring = molecule("cyclobutane")
    graph = MoleculeGraph(ring)
    i, k = sorted(atom for atom in graph.neighbours[0] if ring.numbers[atom] == 6)
    assert not turning_sides(graph, i, 0, k)
    degrees = [40.0, 75.0, 90.0, 120.0, 179.0, ring.get_angle(i, 0, k)]
    scan = scan_ring_angle(ring, i, 0, k, degrees)
    np.testing.assert_allclose([one.get_angle(i, 0, k) for one in scan.geometries], degrees, atol=1e-6)
    np.testing.assert_allclose(scan.geometries[-1].positions, ring.positions, atol=1e-9)
    assert len(scan.moved) == 3 and "bonds change" in scan.note
    with pytest.raises(FfptError, match="not one of a ring"):
        scan_ring_angle(molecule("CH3CH2OH"), 0, 1, 2)


def test_a_ring_turns_about_an_atom_that_it_shares() -> None:
    pytest.importorskip("rdkit")
    atoms, bonds = molecule_of("C1CC12CC2")  # spiropentane
    scans = audit_scans(atoms, ["angle"], bonds=bonds)
    between = [scan for scan in scans if scan.atoms[1] == 2 and not scan.note]
    assert len(between) == 4  # two carbons of one ring, two of the other
    assert all(len(scan.moved) == 6 for scan in between)


def test_springs_have_no_hole(ethanol: Atoms) -> None:
    found = audit_potential(Springs(ethanol), ethanol)
    assert found.holes == []
    assert [found.count(kind)[1] for kind in KINDS[:3]] == [8, 13, 2]


@pytest.mark.parametrize("pair", [(2, 6), (0, 3)])
def test_a_planted_contact_is_found(ethanol: Atoms, pair: tuple[int, int]) -> None:
    found = audit_potential(Springs(ethanol, hole=pair), ethanol, kinds=["contact"])
    (finding,) = [one for one in found.findings if one.atoms == pair]
    assert set(finding.broken) == {"pressed", "attracted"}
    assert {one.atoms for one in found.holes} == {pair}


def test_contacts_bind_outside_and_repel_inside(ethanol: Atoms) -> None:
    scan = scan_contact(ethanol, 3, 0, np.arange(0.5, 1.8, 0.05))
    reach = covalent_radii[1] + covalent_radii[6]
    binding = judged(scan, lambda r: 0.3 + 8.0 * (r - reach) ** 2 + 100.0 * np.maximum(0.75 * reach - r, 0.0))
    assert binding == {}  # a minimum at the length of a bond is chemistry
    soft = judged(scan, lambda r: np.full(len(r), 0.5))
    assert set(soft) == {"pressed"} and "at least 2.00 expected" in soft["pressed"]
    falling = judged(scan, lambda r: 20.0 * r)
    assert set(falling) == {"attracted"}
    assert judged(scan, lambda r: 20.0 * r, lambda r: 21.0 * r) == {}  # the reference falls too


def test_torsions_have_pits_and_walls(ethanol: Atoms) -> None:
    scan, _ = audit_scans(ethanol, ["dihedral"])

    def bump(height: float) -> Callable[[np.ndarray], np.ndarray]:
        return lambda x: height * np.exp(-(((x - scan.start_value + 540) % 360 - 180 - 60) ** 2) / 200)

    assert judged(scan, bump(0.0)) == judged(scan, bump(-0.3)) == judged(scan, bump(4.0)) == {}
    assert set(judged(scan, bump(-0.8))) == {"pit"}
    assert set(judged(scan, bump(7.0))) == {"wall"}
    # Beside a reference that has them too there are none, and beside one without there are.
    assert judged(scan, bump(-0.8), bump(-0.6)) == judged(scan, bump(7.0), bump(6.0)) == {}
    assert set(judged(scan, bump(-0.8), bump(0.2))) == {"pit"}
    assert set(judged(scan, bump(7.0), bump(1.2))) == {"wall"}


def test_atoms_that_meet_on_a_turn_excuse_a_high_energy_and_no_low_one(ethanol: Atoms) -> None:
    import dataclasses

    scan, _ = audit_scans(ethanol, ["dihedral"])
    meeting = dataclasses.replace(scan, closest=np.where(scan.values > 0, 0.6, 3.0))
    assert judged(meeting, lambda x: np.where(x > 0, 30.0, 0.0)) == {}
    assert set(judged(meeting, lambda x: np.where(x > 0, 1.0, 0.0))) == {"pressed"}
    assert set(judged(scan, lambda x: np.where(x > 0, 30.0, 0.0))) == {"wall"}


def test_how_near_atoms_come_on_a_turn_is_measured(ethanol: Atoms) -> None:
    scan, _ = audit_scans(ethanol, ["dihedral"])
    rest = [atom for atom in range(9) if atom not in scan.moved]
    near = MoleculeGraph(ethanol).within_two_bonds()
    geometry, radii = scan.geometries[5], covalent_radii[ethanol.numbers]
    shares = [geometry.get_distance(a, b) / (radii[a] + radii[b]) for a in scan.moved for b in rest if not near[a, b]]
    assert scan.closest[5] == pytest.approx(min(shares))


def test_many_geometries_are_evaluated_at_once_and_give_the_same(ethanol: Atoms) -> None:
    together, one_by_one = Springs(ethanol), Springs(ethanol, batches=False)
    advanced: list[int] = []
    found = audit_potential(together, ethanol, kinds=["bond"], advance=advanced.append)
    expected = audit_potential(one_by_one, ethanol, kinds=["bond"])
    n_frames = 1 + sum(len(result.values) for result in found.results)
    assert set(together.calls) == {64} and len(together.calls) == -(-n_frames // 64)
    assert set(one_by_one.calls) == {1} and len(one_by_one.calls) == n_frames == sum(advanced)
    for result, other in zip(found.results, expected.results, strict=True):
        np.testing.assert_allclose(result.energies["potential"], other.energies["potential"], atol=1e-12)


def test_a_geometry_that_fails_is_not_finite(ethanol: Atoms) -> None:
    far = np.abs(ethanol.positions).max() + 0.5
    found = audit_potential(Springs(ethanol, batches=False, limit=far), ethanol, kinds=["bond"])
    assert {tuple(one.broken) for one in found.holes} == {("not finite",)}
    assert 0 < found.count("bond")[0] < 8
    with pytest.raises(FfptError, match="no energy at the start geometry"):
        audit_potential(Springs(ethanol, batches=False, limit=0.1), ethanol)


def test_several_potentials_beside_a_reference(ethanol: Atoms) -> None:
    potentials = {"good": Springs(ethanol), "bad": Springs(ethanol, hole=(2, 6)), "trusted": Springs(ethanol)}
    good, bad = audit_potentials(potentials, ethanol, "trusted", ["bond", "contact"])
    assert (good.label, good.count()[0], bad.count()[0]) == ("good", 0, 1)
    (excused,) = audit_potentials({"bad": potentials["bad"], "too": potentials["bad"]}, ethanol, "too", ["contact"])
    assert excused.count()[0] == 0


def test_table_picture_and_record_have_all_kinds(ethanol: Atoms) -> None:
    found = audit_potential(Springs(ethanol, hole=(2, 6)), ethanol, label="mine")
    record = json.loads(to_json(found.to_dict()))
    assert record["counts"]["contact"]["holes"] == 1 and record["rules_broken"] == {"pressed": 1, "attracted": 1}
    table = found.table()
    row = dict(zip(table.columns, table.rows[0], strict=True))
    assert row["Potential"] == "mine" and row["Torsions with a hole"] == "0 of 2"
    assert row["Contacts with a hole"].startswith("1 of")
    assert [axes.get_title() for axes in found.plot().axes][2] == "Torsions"


def test_molecules_come_from_files_teachers_and_smiles(ethanol: Atoms, tmp_path: Path, teacher: Any) -> None:
    ethanol.write(tmp_path / "ethanol.xyz")
    atoms, bonds = molecule_of(tmp_path / "ethanol.xyz")
    assert atoms == ethanol and bonds is None
    assert molecule_of(ethanol) == (ethanol, None)
    atoms, bonds = molecule_of(teacher)
    np.testing.assert_array_equal(bonds, teacher.bonds)
    for wrong, message in (("nowhere.xyz", "no file"), (tmp_path / "none", "no file"), ("C1CC", "no molecule")):
        with pytest.raises(FfptError, match=message):
            molecule_of(wrong)


@pytest.mark.parametrize("kinds", [["bond", "torsion"], ["improper"]])
def test_unknown_kinds_are_refused(ethanol: Atoms, kinds: Sequence[str]) -> None:
    with pytest.raises(FfptError, match="of the kinds bond, angle, dihedral, contact"):
        audit_scans(ethanol, kinds)


def test_what_has_nothing_to_scan_is_refused() -> None:
    with pytest.raises(FfptError, match="OH2 has no dihedral to scan"):
        audit_potential(Springs(molecule("H2O")), molecule("H2O"), kinds=["dihedral"])


def test_scans_of_one_potential_are_its_energies(ethanol: Atoms) -> None:
    springs = Springs(ethanol)
    scan = scan_contact(ethanol, 3, 0)
    result = evaluate_scan(scan, {"springs": springs})
    expected = springs.energies(np.array([one.positions for one in scan.geometries]))
    np.testing.assert_allclose(result.energies["springs"], expected - springs.energies(ethanol.positions[None]))
