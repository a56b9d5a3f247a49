"""Teachers: GAFF-2.11 against Amber's own evaluation, physics, files, molecules, bad input."""

from __future__ import annotations

import math
import pickle
from pathlib import Path

import numpy as np
import pytest
from amber_reference import DATA, MOLECULES, make_prmtop, tleap_problem, typed_files

import ffpt_core.teachers.gaff.ambertools as ambertools
from ffpt_core.base.errors import FfptError
from ffpt_core.base.units import BOLTZMANN, KJ_PER_MOL
from ffpt_core.sampling.trajectory import teacher_frames
from ffpt_core.teachers import TERMS, Teacher, load_teacher
from ffpt_core.teachers.systems import assign_force_groups

SHARED = Path(__file__).parents[4] / "shared" / "data" / "aspirin_ccsd"
TLEAP_PI = 3.141594
"""tleap turns degrees into radians with this value of pi."""


def rattled(positions: np.ndarray, frames: int, sigma: float = 0.2) -> np.ndarray:
    return positions + sigma * np.random.default_rng(7).standard_normal((frames, *positions.shape))


# ---- every term against tleap and ParmEd


def typed_molecule(mol2: str, frcmod: str):
    """(teacher without relaxed geometry's meaning, positions) from files of antechamber and parmchk2."""
    from ase import Atoms

    from ffpt_core.teachers.gaff.atom_types import Typed, read_mol2_atoms
    from ffpt_core.teachers.gaff.build import build_system
    from ffpt_core.teachers.gaff.parameters import LEVEL
    from ffpt_core.teachers.topology import build_topology

    section, symbols, positions, bonds = "", [], [], []
    for line in mol2.splitlines():
        words = line.split()
        if line.startswith("@"):
            section = line.strip()
        elif section.endswith("ATOM") and len(words) > 8:
            symbols.append("".join(letter for letter in words[1] if letter.isalpha()).capitalize())
            positions.append([float(word) for word in words[2:5]])
        elif section.endswith("BOND") and len(words) > 3:
            bonds.append((int(words[1]) - 1, int(words[2]) - 1))
    types, charges = read_mol2_atoms(mol2)
    topology = build_topology(symbols, bonds)
    system, _ = build_system(topology, Typed(types, charges, frcmod, "am1-bcc"))
    return Teacher(system, topology, Atoms(symbols, positions), LEVEL)


def amber_terms(prmtop: Path, positions: np.ndarray) -> dict[str, np.ndarray]:
    """Energy (kJ/mol) of each term from ParmEd's reading of a prmtop."""
    import openmm
    import parmed

    system = parmed.load_file(str(prmtop)).createSystem(removeCMMotion=False)
    for index in reversed(range(system.getNumForces())):
        force = system.getForce(index)
        if isinstance(force, openmm.HarmonicAngleForce):
            for number in range(force.getNumAngles()):
                *atoms, angle, k = force.getAngleParameters(number)
                force.setAngleParameters(number, *atoms, angle * (math.pi / TLEAP_PI), k)
        elif isinstance(force, openmm.PeriodicTorsionForce):
            for number in range(force.getNumTorsions()):
                *atoms, periodicity, phase, k = force.getTorsionParameters(number)
                force.setTorsionParameters(number, *atoms, periodicity, phase * (math.pi / TLEAP_PI), k)
        elif isinstance(force, (openmm.CMMotionRemover, openmm.CMAPTorsionForce)):
            system.removeForce(index)
    assign_force_groups(system)
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference"))
    terms = {name: np.empty(len(positions)) for name in TERMS}
    for index, frame in enumerate(positions):
        context.setPositions(frame / 10)
        for name, group in TERMS.items():
            terms[name][index] = context.getState(energy=True, groups={group}).getPotentialEnergy()._value
    return terms


def assert_terms_agree(teacher: Teacher, prmtop: Path) -> None:
    positions = rattled(teacher.atoms.positions, 100)
    expected = amber_terms(prmtop, positions)
    for name, energies in teacher.energy_terms(positions).items():
        assert np.abs(energies / KJ_PER_MOL - expected[name]).max() < 1e-3, name
        if name == "bonds":
            assert expected[name].min() > 1  # there is something to compare


@pytest.mark.parametrize("name", MOLECULES)
def test_every_energy_term_agrees_with_tleap(name: str) -> None:
    pytest.importorskip("openmmforcefields")
    pytest.importorskip("parmed")
    made = typed_molecule((DATA / f"{name}.mol2").read_text(), (DATA / f"{name}.frcmod").read_text())
    assert_terms_agree(made, DATA / f"{name}.prmtop")


def test_the_built_in_aspirin_agrees_with_tleap(teacher: Teacher) -> None:
    pytest.importorskip("parmed")
    assert_terms_agree(teacher, DATA / "aspirin.prmtop")


def test_from_smiles_to_amber_and_back(tmp_path: Path) -> None:
    """The whole path on this machine: antechamber, parmchk2, sqm, and tleap as the judge."""
    _needs_sqm(tmp_path)
    problem = tleap_problem()
    if problem:
        pytest.skip(problem)
    pytest.importorskip("parmed")
    mol2, frcmod = typed_files("CC(=O)[O-]")
    (tmp_path / "acetate.prmtop").write_text(make_prmtop(mol2, frcmod))
    assert_terms_agree(typed_molecule(mol2, frcmod), tmp_path / "acetate.prmtop")


def _needs_sqm(folder: Path) -> None:
    pytest.importorskip("rdkit")
    pytest.importorskip("openmmforcefields")
    try:
        tools = ambertools.AmberTools.find()
    except FfptError as error:
        pytest.skip(str(error))
    problem = tools.sqm_problem(folder)
    if problem:
        pytest.skip(problem)


# ---- physics of the built-in aspirin


def test_forces_are_minus_the_gradient(teacher: Teacher) -> None:
    start = rattled(teacher.atoms.positions, 1, 0.1)[0]
    step = 1e-4
    shifted = np.repeat(start[None], 2 * start.size, axis=0).reshape(2, start.size, -1)
    shifted[0] += step * np.eye(start.size)
    shifted[1] -= step * np.eye(start.size)
    energies = teacher.energies_and_forces(shifted.reshape(-1, *start.shape))[0].reshape(2, -1)
    forces = teacher.energies_and_forces(start[None])[1][0]
    np.testing.assert_allclose(-(energies[0] - energies[1]) / (2 * step), forces.ravel(), atol=1e-5)


def test_energy_does_not_change_with_place_and_direction(teacher: Teacher) -> None:
    start = rattled(teacher.atoms.positions, 1)[0]
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))[0]
    turn *= np.sign(np.linalg.det(turn))
    energies, forces = teacher.energies_and_forces(np.array([start, start @ turn.T + [1.0, 2.0, -3.0]]))
    assert energies[1] == pytest.approx(energies[0], abs=1e-8)
    np.testing.assert_allclose(forces[1], forces[0] @ turn.T, atol=1e-7)
    np.testing.assert_allclose(forces.sum(axis=1), 0.0, atol=1e-9)


def test_terms_add_up_to_the_energy(teacher: Teacher) -> None:
    positions = rattled(teacher.atoms.positions, 20)
    total = sum(teacher.energy_terms(positions).values())
    np.testing.assert_allclose(total, teacher.energies_and_forces(positions)[0], atol=1e-9)


def test_the_relaxed_geometry_is_a_minimum(teacher: Teacher) -> None:
    energies, forces = teacher.energies_and_forces(teacher.atoms.positions[None])
    assert np.abs(forces).max() < 1e-4
    assert energies[0] == pytest.approx(teacher.provenance["relaxed_energy_eV"], abs=1e-7)
    assert teacher.energies_and_forces(rattled(teacher.atoms.positions, 50, 0.01))[0].min() > energies[0]


def test_atom_order_is_that_of_md17(teacher: Teacher) -> None:
    assert list(teacher.numbers) == [6] * 7 + [8] * 3 + [6, 6, 8] + [1] * 8
    assert teacher.provenance["charge_method"] == "am1-bcc"
    assert sum(teacher.provenance["charges_e"]) == pytest.approx(0.0, abs=1e-6)
    if not SHARED.is_dir():
        pytest.skip("the CCSD set is not here")
    from ffpt_core.datasets import read

    data = read(SHARED / "aspirin_ccsd_test_first250.xyz", energy_unit="eV")
    positions = data.positions.reshape(len(data), -1, 3)
    assert (data.numbers.reshape(len(data), -1) == teacher.numbers).all()
    bonds = teacher.bonds
    lengths = np.linalg.norm(positions[:, bonds[:, 0]] - positions[:, bonds[:, 1]], axis=2)
    assert lengths.max() < 1.8
    first, second = np.triu_indices(positions.shape[1], 1)
    bonded = {tuple(pair) for pair in bonds}
    others = [number for number, pair in enumerate(zip(first, second, strict=True)) if pair not in bonded]
    distances = np.linalg.norm(positions[:, first[others]] - positions[:, second[others]], axis=2)
    assert distances.min() > 1.5


def test_md_of_the_teacher_is_thermal(teacher: Teacher) -> None:
    data = teacher_frames(teacher, 300, temperature=300.0, seed=3)
    vibrations = 3 * len(teacher.numbers) - 6
    mean = data.energies.mean() - teacher.provenance["relaxed_energy_eV"]
    # Equipartition of the potential energy; soft torsions make it a few per cent off.
    assert mean == pytest.approx(vibrations * BOLTZMANN * 300.0 / 2, rel=0.15)
    again = teacher_frames(teacher, 3, temperature=300.0, seed=3)
    np.testing.assert_array_equal(again.positions, data[:3].positions)
    assert not np.array_equal(teacher_frames(teacher, 3, temperature=300.0, seed=4).positions, again.positions)


# ---- files, processes, ASE


def test_save_and_load_give_the_same_teacher(teacher: Teacher, tmp_path: Path) -> None:
    teacher.save(tmp_path / "a")
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [
        "relaxed.xyz",
        "system.xml",
        "teacher.json",
        "topology.pdb",
    ]
    loaded = load_teacher(tmp_path / "a")
    positions = rattled(teacher.atoms.positions, 5)
    np.testing.assert_array_equal(loaded.energies_and_forces(positions)[1], teacher.energies_and_forces(positions)[1])
    np.testing.assert_array_equal(loaded.bonds, teacher.bonds)
    assert loaded.provenance == teacher.provenance
    assert loaded.level == "GAFF-2.11"
    copy = pickle.loads(pickle.dumps(teacher))  # our own object, on its way to a worker process
    np.testing.assert_array_equal(copy.energies_and_forces(positions)[0], teacher.energies_and_forces(positions)[0])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("system.xml", None, "lacks system.xml"),
        ("system.xml", "<System", "damaged"),
        ("teacher.json", "{}", "does not describe a teacher"),
        ("teacher.json", "{", "not a JSON file"),
        ("relaxed.xyz", "2\n\nH 0 0 0\nH 0 0 1\n", "particles"),
    ],
)
def test_a_damaged_folder_is_refused(
    teacher: Teacher, tmp_path: Path, name: str, content: str | None, message: str
) -> None:
    teacher.save(tmp_path)
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_text(content)
    with pytest.raises(FfptError, match=message):
        Teacher.load(tmp_path)


def test_bad_positions_name_their_frame(teacher: Teacher) -> None:
    positions = rattled(teacher.atoms.positions, 5)
    positions[3, 2, 1] = np.nan
    with pytest.raises(FfptError, match="frame 3: NaN"):
        teacher.energies_and_forces(positions)
    positions[3] = positions[2]
    positions[4, 20] = positions[4, 0]  # not bonded to each other
    with pytest.raises(FfptError, match=r"frame 4: .*not finite"):
        teacher.energies_and_forces(positions)
    with pytest.raises(FfptError, match=r"needs \(n_frames, 21, 3\)"):
        teacher.energies_and_forces(positions[0])


def test_the_calculator_is_the_teacher_and_wants_its_order(teacher: Teacher) -> None:
    atoms = teacher.atoms.copy()
    atoms.positions = rattled(atoms.positions, 1)[0]
    atoms.calc = teacher.calculator()
    energies, forces = teacher.energies_and_forces(atoms.positions[None])
    assert atoms.get_potential_energy() == energies[0]
    np.testing.assert_array_equal(atoms.get_forces(), forces[0])
    other = atoms[::-1]
    other.calc = teacher.calculator()
    with pytest.raises(FfptError, match="atom order"):
        other.get_potential_energy()


def test_an_unknown_teacher_is_refused() -> None:
    with pytest.raises(FfptError, match="neither the folder of a teacher nor a built-in one"):
        load_teacher("ibuprofen")
