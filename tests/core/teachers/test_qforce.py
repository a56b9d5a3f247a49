"""Q-Force teachers: the eight species of hydrogen combustion, files of Q-Force, mixtures of molecules."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from dataset_examples import SHARED
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from ffpt_core.base.errors import FfptError
from ffpt_core.base.units import KJ_PER_MOL
from ffpt_core.cli.main import main
from ffpt_core.datasets import Dataset
from ffpt_core.sampling.mixtures import dealt, default_weights, rattle_mixture
from ffpt_core.teachers import Teacher, load_teacher, load_teachers
from ffpt_core.teachers.qforce.files import read_qforce
from ffpt_core.teachers.qforce.species import SPECIES
from ffpt_core.teachers.qforce.species_teachers import species_teacher

TEACHERS = {name: species_teacher(name) for name in SPECIES}
# Minus the atomisation energies of wB97X-V/cc-pVTZ, kJ/mol; H2O2 with its dihedral terms.
MINIMA = {"H": 0.0, "O": 0.0, "H2": -450.529, "O2": -529.522, "OH": -441.538, "H2O": -952.679, "HO2": -748.030}
DIATOMICS = ("H2", "O2", "OH")

every_species = pytest.mark.parametrize("name", SPECIES)


def energies(teacher: Teacher, positions: np.ndarray) -> np.ndarray:
    """kJ/mol of (n_frames, n_atoms, 3) Angstrom."""
    return teacher.energies_and_forces(positions)[0] / KJ_PER_MOL


def stretched(length: np.ndarray) -> np.ndarray:
    """(n_frames, 2, 3) diatomics with these bond lengths in Angstrom."""
    positions = np.zeros((len(length), 2, 3))
    positions[:, 1, 0] = length
    return positions


def rattled(teacher: Teacher, count: int, seed: int = 0) -> np.ndarray:
    shape = (count, *teacher.atoms.positions.shape)
    return teacher.atoms.positions + np.random.default_rng(seed).normal(0, 0.15, shape)


@pytest.mark.parametrize("name", MINIMA)
def test_minima_lie_below_free_atoms_by_the_atomisation_energy(name: str) -> None:
    teacher = TEACHERS[name]
    assert energies(teacher, teacher.atoms.positions[None])[0] == pytest.approx(MINIMA[name], abs=0.001)


def test_hydrogen_peroxide_is_lower_by_its_dihedral_terms() -> None:
    """-1117.909 from the bonds and -5.05 from the dihedral, at 114.8 degrees; 7.60 at 0, nothing at 180."""
    teacher = TEACHERS["H2O2"]
    relaxed = teacher.atoms
    assert energies(teacher, relaxed.positions[None])[0] == pytest.approx(-1122.955, abs=0.001)
    assert relaxed.get_dihedral(2, 0, 1, 3) == pytest.approx(114.8, abs=0.1)
    twisted = []
    for angle in (0.0, 180.0, 114.8):
        atoms = relaxed.copy()
        atoms.set_dihedral(2, 0, 1, 3, angle, indices=[3])
        twisted.append(atoms.positions)
    torsion = teacher.energy_terms(np.array(twisted))["torsions"] / KJ_PER_MOL
    np.testing.assert_allclose(torsion, [7.60, 0.0, -5.05], atol=0.005)


@pytest.mark.parametrize(
    ("name", "length", "curvature"), [("H2", 0.7445, 352_644), ("OH", 0.9752, 472_096), ("O2", 1.1961, 839_237)]
)
def test_morse_bonds_have_their_length_and_curvature(name: str, length: float, curvature: float) -> None:
    """k is the curvature at r0: with the exponent as printed in the paper it would be hundreds of times that."""
    teacher = TEACHERS[name]
    assert teacher.atoms.get_distance(0, 1) == pytest.approx(length, abs=1e-4)
    h = 1e-3  # Angstrom
    low, middle, high = energies(teacher, stretched(teacher.atoms.get_distance(0, 1) + np.array([-h, 0, h])))
    assert (low - 2 * middle + high) / (h / 10) ** 2 == pytest.approx(curvature, rel=1e-4)


@pytest.mark.parametrize("name", DIATOMICS)
def test_free_atoms_have_no_energy(name: str) -> None:
    far = energies(TEACHERS[name], stretched(np.array([1.5, 3.0, 8.0])))
    assert far[0] < far[1] < far[2] < 0
    assert far[2] == pytest.approx(0, abs=1e-3)


def test_geometries_are_those_of_the_table() -> None:
    water, hydroperoxyl, peroxide = (TEACHERS[name].atoms for name in ("H2O", "HO2", "H2O2"))
    assert water.get_distance(0, 1) == pytest.approx(0.9621, abs=1e-4)
    assert water.get_angle(1, 0, 2) == pytest.approx(105.04, abs=0.01)
    assert hydroperoxyl.get_distance(0, 1) == pytest.approx(1.3128, abs=1e-4)
    assert hydroperoxyl.get_angle(1, 0, 2) == pytest.approx(105.60, abs=0.01)
    assert peroxide.get_distance(1, 3) == pytest.approx(0.9653, abs=1e-4)
    assert peroxide.get_angle(0, 1, 3) == pytest.approx(99.67, abs=0.01)


@every_species
def test_forces_are_minus_the_gradient(name: str) -> None:
    teacher, h = TEACHERS[name], 1e-5
    frame = rattled(teacher, 1)[0]
    forces = teacher.energies_and_forces(frame[None])[1][0]
    moves = h * np.eye(frame.size).reshape(-1, *frame.shape)
    up, down = (teacher.energies_and_forces(frame + sign * moves)[0] for sign in (1, -1))
    np.testing.assert_allclose(forces.ravel(), (down - up) / (2 * h), atol=2e-6)


@every_species
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_energies_do_not_depend_on_place_and_direction(name: str, seed: int) -> None:
    teacher = TEACHERS[name]
    frame = rattled(teacher, 1, seed)[0]
    turn = Rotation.random(random_state=seed).as_matrix()
    energy, forces = teacher.energies_and_forces(frame[None])
    moved, turned = teacher.energies_and_forces((frame @ turn.T + 3.0)[None])
    np.testing.assert_allclose(moved, energy, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(turned[0], forces[0] @ turn.T, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize(
    ("name", "file", "order", "limits"),
    [
        ("H2O", "08_nm", (0, 1, 2), {20: 0.9, 60: 1.8, 150: 3.0}),
        ("HO2", "09_nm", (0, 1, 2), {20: 0.9, 60: 3.3, 150: 8.4}),
        ("H2O2", "15_nm", (0, 3, 1, 2), {20: 4.9, 60: 5.8}),
    ],
)
def test_it_agrees_with_dft_near_the_minimum(
    name: str, file: str, order: tuple[int, ...], limits: dict[int, float]
) -> None:
    """RMSE over normal-mode frames up to 20, 60, 150 kJ/mol above the minimum of the isolated molecule."""
    path = SHARED / "h2combustion" / f"{file}.npz"
    if not path.is_file():
        pytest.skip("the combustion benchmark is not here")
    with np.load(path) as stored:
        label = 4.184 * stored["E"].ravel()
        positions = stored["R"][:, : len(order)]
    teacher = TEACHERS[name]
    ways = [order] if name != "HO2" else [(0, 1, 2), (1, 0, 2)]  # the H is on either O
    difference = np.array([energies(teacher, positions[:, list(way)]) for way in ways])
    error = difference[np.abs(difference - label).argmin(axis=0), np.arange(len(label))] - label
    for limit, expected in limits.items():
        near = label < MINIMA.get(name, -1117.909) + limit
        assert np.sqrt(np.mean(error[near] ** 2)) == pytest.approx(expected, rel=0.1)


def test_a_teacher_survives_its_folder(tmp_path: Path) -> None:
    for name, teacher in TEACHERS.items():
        teacher.save(tmp_path / name)
        frames = rattled(teacher, 3)
        again = Teacher.load(tmp_path / name)
        np.testing.assert_allclose(again.energies_and_forces(frames)[0], teacher.energies_and_forces(frames)[0])
    assert set(load_teachers([str(tmp_path)])) == set(SPECIES)


def test_species_are_built_in() -> None:
    assert load_teacher("HO2").atoms.get_chemical_formula() == "HO2"
    with pytest.raises(FfptError, match="no Q-Force species 'N2'; there are H, O, H2"):
        species_teacher("N2")
    with pytest.raises(FfptError, match="two of the teachers are called O2"):
        load_teachers(["O2", "O2"])


# Files as Q-Force writes them: names, expressions and number formats of its OpenMM and GROMACS output.

BOND_HARMONIC = """<Force type="HarmonicBondForce" name="Bond" forceGroup="0" usesPeriodic="0" version="2"><Bonds>
<Bond p1="0" p2="1" d="0.096205047" k="511168.368"/><Bond p1="0" p2="2" d="0.096205047" k="511168.368"/>
</Bonds></Force>"""
BOND_MORSE = """<Force energy="D*(1-exp(-b*(r-r0)))^2; b = sqrt(k/(2*D))" name="Bond" usesPeriodic="0"
type="CustomBondForce" forceGroup="0" version="3"><PerBondParameters><Parameter name="r0"/><Parameter name="k"/>
<Parameter name="D"/></PerBondParameters><GlobalParameters/><EnergyParameterDerivatives/><Bonds>
<Bond p1="0" p2="1" param1="0.096205047" param2="511168.368" param3="476.339341"/>
<Bond p1="0" p2="2" param1="0.096205047" param2="511168.368" param3="476.339341"/></Bonds></Force>"""
ANGLE = """<Force type="HarmonicAngleForce" name="Angle" forceGroup="1" usesPeriodic="0" version="2"><Angles>
<Angle p1="1" p2="0" p3="2" a="1.83330493" k="448.270537"/></Angles></Force>"""
CROSS = """<Force energy="max(k*(distance(p1,p2)-r1_0)*(distance(p3,p4)-r2_0), -20)" name="BondBond" usesPeriodic="0"
type="CustomCompoundBondForce" forceGroup="2" particles="4" version="3"><PerBondParameters><Parameter name="r1_0"/>
<Parameter name="r2_0"/><Parameter name="k"/></PerBondParameters><GlobalParameters/><EnergyParameterDerivatives/>
<Functions/><Bonds><Bond p1="0" p2="1" p3="0" p4="2" param1="0.0962" param2="0.0962" param3="5000"/></Bonds></Force>"""
DRUDE = """<Force type="DrudeForce" name="Drude" forceGroup="3" version="1"><Particles/><ScreenedPairs/></Force>"""


def qforce_xml(folder: Path, *forces: str, masses: tuple[float, ...] = (15.999, 1.008, 1.008)) -> Path:
    """water_qforce.xml and gas.pdb."""
    particles = "".join(f'<Particle mass="{mass}"/>' for mass in masses)
    box = '<A x="20" y="0" z="0"/><B x="0" y="20" z="0"/><C x="0" y="0" z="20"/>'
    path = folder / "water_qforce.xml"
    path.write_text(
        f'<System openmmVersion="8.1" type="System" version="1"><PeriodicBoxVectors>{box}</PeriodicBoxVectors>'
        f"<Particles>{particles}</Particles><Constraints/><Forces>{''.join(forces)}</Forces></System>"
    )
    lines = "".join(
        f"ATOM  {i:5d} {name:4s} {'MOL':4s} {1:4d}    {x:8.3f}{y:8.3f}{0:8.3f}{1:6.2f}{0:6.2f}          {symbol:2s}  \n"
        for i, (name, symbol, x, y) in enumerate(
            [("O1", "O", 0.0, 0.0), ("H1", "H", 0.96, 0.0), ("H2", "H", -0.25, 0.93)], start=1
        )
    )
    header = "CRYST1   20.000   20.000   20.000  90.00  90.00  90.00 P 1\nMODEL     1\n"
    (folder / "gas.pdb").write_text(f"{header}{lines}ENDMDL\n")
    return path


def test_the_system_of_qforce_is_the_teacher_of_the_table(tmp_path: Path) -> None:
    """Morse bonds count from free atoms, though the file counts them from their minimum."""
    teacher = read_qforce(qforce_xml(tmp_path, BOND_MORSE, ANGLE))
    assert teacher.provenance["energy_zero"] == "free atoms"
    assert teacher.provenance["name"] == "water"
    assert teacher.bonds.tolist() == [[0, 1], [0, 2]]
    frames = rattled(TEACHERS["H2O"], 20)
    for ours, table in zip(
        teacher.energies_and_forces(frames), TEACHERS["H2O"].energies_and_forces(frames), strict=True
    ):
        np.testing.assert_allclose(ours, table, rtol=1e-6, atol=1e-6)


def test_couplings_are_terms_of_their_own(tmp_path: Path) -> None:
    teacher = read_qforce(qforce_xml(tmp_path, BOND_HARMONIC, ANGLE, CROSS))
    assert teacher.provenance["energy_zero"] == "minimum of each term"
    frames = teacher.atoms.positions[None] * np.array([1.0, 1.05])[:, None, None]
    terms = teacher.energy_terms(frames)
    stretch = np.linalg.norm(frames[:, 1] - frames[:, 0], axis=1) / 10 - 0.0962
    np.testing.assert_allclose(terms["couplings"] / KJ_PER_MOL, 5000 * stretch**2, atol=1e-6)
    np.testing.assert_allclose(sum(terms.values()), teacher.energies_and_forces(frames)[0], rtol=1e-12)


HARMONIC_ANGLE = "     2      1      3      1    105.04063    448.27054"
UREY_BRADLEY = "     2      1      3      5    105.04063    448.27054    0.1520000    20000.000"


def gromacs(folder: Path, function: int = 1, values: str = "0.0962050 511168", angle: str = HARMONIC_ANGLE) -> Path:
    """gas.top, water_qforce.itp and gas.gro."""
    (folder / "water_qforce.itp").write_text(
        f"""[ atomtypes ]
;   name  at_num     mass   charge  type        sigma      epsilon
      OW       8   0.0000   0.0000     A  3.00000e-01  0.00000e+00
      HW       1   0.0000   0.0000     A  1.00000e-01  0.00000e+00

[ moleculetype ]
water      3

[ atoms ]
    1        OW      1    MOL      O1     1     0.00000   15.99900
    2        HW      1    MOL      H1     2     0.00000    1.00800
    3        HW      1    MOL      H2     3     0.00000    1.00800

[ bonds ]
     1      2      {function} {values}
     1      3      {function} {values}

[ angles ]
{angle}
"""
    )
    path = folder / "gas.top"
    path.write_text(
        '[ defaults ]\n1 2 yes 0.5 0.5\n\n#include "./water_qforce.itp"\n\n'
        "[ system ]\nwater\n\n[ molecules ]\nwater 1\n"
    )
    rows = [("O1", 0.0, 0.0), ("H1", 0.096, 0.0), ("H2", -0.025, 0.093)]
    atoms = "".join(f"    1MOL  {name:>5}{i:>5}{x:8.3f}{y:8.3f}{0:8.3f}\n" for i, (name, x, y) in enumerate(rows, 1))
    (folder / "gas.gro").write_text(f"water\n     3\n{atoms}    20.00000    20.00000    20.00000\n")
    return path


def test_gromacs_and_openmm_files_are_one_force_field(tmp_path: Path) -> None:
    from_xml = read_qforce(qforce_xml(tmp_path, BOND_HARMONIC, ANGLE))
    from_top = read_qforce(gromacs(tmp_path))
    assert from_top.bonds.tolist() == from_xml.bonds.tolist()
    frames = rattled(from_xml, 20)
    for one, other in zip(from_top.energies_and_forces(frames), from_xml.energies_and_forces(frames), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-3)


def test_urey_bradley_terms_are_no_bonds(tmp_path: Path) -> None:
    plain, urey = (read_qforce(gromacs(tmp_path, angle=angle)) for angle in (HARMONIC_ANGLE, UREY_BRADLEY))
    assert urey.bonds.tolist() == plain.bonds.tolist() == [[0, 1], [0, 2]]
    frames = rattled(plain, 5)
    apart = np.linalg.norm(frames[:, 1] - frames[:, 2], axis=1) / 10 - 0.152
    np.testing.assert_allclose(energies(urey, frames) - energies(plain, frames), 10_000 * apart**2, atol=1e-6)


def test_what_a_teacher_does_not_have_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(FfptError, match="no term for a DrudeForce"):
        read_qforce(qforce_xml(tmp_path, BOND_MORSE, ANGLE, DRUDE))
    with pytest.raises(FfptError, match="the force field has 4 particles"):
        read_qforce(qforce_xml(tmp_path, BOND_MORSE, masses=(15.999, 1.008, 1.008, 0.4)))
    with pytest.raises(FfptError, match=r"atom 1 is H in the geometry, but its mass is 12\.011"):
        read_qforce(qforce_xml(tmp_path, BOND_MORSE, masses=(15.999, 12.011, 1.008)))
    with pytest.raises(FfptError, match="something that OpenMM does not read"):
        read_qforce(gromacs(tmp_path, function=7))
    with pytest.raises(FfptError, match="not a System that OpenMM reads"):
        (tmp_path / "water_qforce.xml").write_text("<System")
        read_qforce(tmp_path / "water_qforce.xml")
    topology = gromacs(tmp_path)
    (tmp_path / "gas.gro").unlink()
    with pytest.raises(FfptError, match=r"no gas\.gro beside it, so give --geometry"):
        read_qforce(topology)


@given(
    n_frames=st.integers(200, 10_000),  # enough for every weight
    weights=st.lists(st.floats(0.5, 8.0), min_size=1, max_size=8),
)
def test_frames_are_dealt_out_in_proportion(n_frames: int, weights: list[float]) -> None:
    named = {str(index): weight for index, weight in enumerate(weights)}
    counts = dealt(n_frames, named)
    assert sum(counts.values()) == n_frames
    for name, weight in named.items():
        assert abs(counts[name] - n_frames * weight / sum(weights)) < 1


def test_a_mixture_holds_every_species_with_its_labels() -> None:
    frames = rattle_mixture(TEACHERS, 170, seed=3)
    species = frames.groups["species"]
    expected = {"H": 10, "O": 10, "H2": 10, "O2": 10, "OH": 10, "H2O": 30, "HO2": 30, "H2O2": 60}
    assert {name: int((species == name).sum()) for name in SPECIES} == expected
    assert default_weights(TEACHERS)["H2O2"] == 6
    assert frames.energies is not None
    assert (frames.energies[np.isin(species, ["H", "O"])] == 0).all()
    oxygen = frames[species == "O2"]
    np.testing.assert_allclose(
        oxygen.energies, TEACHERS["O2"].energies_and_forces(oxygen.positions.reshape(-1, 2, 3))[0], rtol=1e-12
    )
    again = rattle_mixture(TEACHERS, 170, seed=3)
    assert again.fingerprint == frames.fingerprint
    with pytest.raises(FfptError, match="too few"):
        rattle_mixture(TEACHERS, 9)


def test_commands_make_teachers_and_mixtures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["teacher", "--qforce", "HO2", "-o", str(tmp_path / "t" / "HO2")]) == 0
    assert main(["teacher", "--qforce", str(qforce_xml(tmp_path, BOND_MORSE, ANGLE)), "-o", str(tmp_path / "t/w")]) == 0
    output = tmp_path / "mix.npz"
    command = ["rattle", str(tmp_path / "t"), "O", "-o", str(output), "--frames", "70", "--weight", "O=2"]
    assert main(command) == 0
    data = Dataset.load(output)
    assert len(data) == 70
    record = json.loads(output.with_suffix(".json").read_text())
    assert record["frames_of"] == {"HO2": 26, "water": 26, "O": 18}
    assert set(record["energies"]) == {"HO2", "water"}
    assert output.with_suffix(".png").is_file()
    capsys.readouterr()
    assert main(["teacher", "--qforce", "N2", "-o", str(tmp_path / "n")]) == 2
    assert "a species (H, O, H2" in capsys.readouterr().err
    assert main(["rattle", "H", "O", "-o", str(output)]) == 2
    assert "nothing to rattle" in capsys.readouterr().err
    assert main([*command, "--weight", "N2=1"]) == 2
    assert "the teachers are HO2, water, O" in capsys.readouterr().err
