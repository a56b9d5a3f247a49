"""PLUMED's kernel in OpenMM and ASE: the right bias, forces and virial, and one update for each step."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import openmm as mm
import pytest
from ase import Atoms, units
from ase.calculators.calculator import Calculator, all_changes

from ffpt_core import FfptError
from ffpt_core.base.units import BOLTZMANN_KJ_PER_MOL, KJ_PER_MOL, KJ_PER_MOL_NM, NANOMETRE
from ffpt_plumed import PlumedForce, create_plumed_force
from ffpt_plumed.kernel.ase import input_lines, plumed_calculator
from ffpt_plumed.kernel.force import BACKENDS
from ffpt_plumed.kernel.library import new_plumed
from ffpt_plumed.kernel.plumed import RunningPlumed, Setup
from ffpt_plumed.text.tables import read_table

try:
    new_plumed().finalize()
    MISSING = ""
except FfptError as error:
    MISSING = str(error)

kernel = pytest.mark.skipif(bool(MISSING), reason=MISSING)

POSITIONS = np.array([[0.0, 0.0, 0.0], [0.11, 0.02, -0.01], [-0.03, 0.10, 0.02], [0.05, -0.04, 0.13]])

HILLS = """
# two coordination numbers and a wall
d1: DISTANCE ATOMS=1,2
d2: DISTANCE ATOMS=1,3   # a comment
c1: CUSTOM ARG=d1 FUNC=2/(1+exp(30*(x-0.097))) PERIODIC=NO
METAD ...
  LABEL=mt ARG=c1,d2
  # a comment within
  SIGMA=0.05,0.01 HEIGHT=5 PACE=1 BIASFACTOR=10 TEMP=300 FILE=HILLS
...
w: UPPER_WALLS ARG=d2 AT=0.09 KAPPA=1000
PRINT ARG=c1,d2,mt.bias STRIDE=1 FILE=COLVAR FMT=%.12f
"""


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def _system(n_atoms: int = 4, box: float | None = None) -> mm.System:
    system = mm.System()
    charges = mm.NonbondedForce()
    for k in range(n_atoms):
        system.addParticle(10.0 + k)
        charges.addParticle(0.1 * k, 0.1, 0.0)
    if box is not None:
        system.setDefaultPeriodicBoxVectors([box, 0, 0], [0, box, 0], [0, 0, box])
        charges.setNonbondedMethod(mm.NonbondedForce.CutoffPeriodic)
        charges.setCutoffDistance(0.4 * box)
    for k in range(n_atoms):
        for j in range(k):
            charges.addException(j, k, 0.0, 0.1, 0.0)
    system.addForce(charges)
    return system


def _context(system: mm.System, force: mm.Force, positions: np.ndarray = POSITIONS, timestep=0.0005) -> mm.Context:
    if isinstance(force, PlumedForce):
        force.setLogFile("plumed.log")
    system.addForce(force)
    integrator = mm.LangevinMiddleIntegrator(300.0, 1.0, timestep)
    integrator.setRandomNumberSeed(7)
    context = mm.Context(system, integrator, mm.Platform.getPlatformByName("Reference"))
    context.setPositions(positions)
    context.setVelocities(np.zeros_like(positions))
    return context


def _energy(context: mm.Context) -> float:
    return context.getState(energy=True).getPotentialEnergy()._value


@kernel
def test_a_distance_pulls_along_itself() -> None:
    context = _context(_system(), PlumedForce("d: DISTANCE ATOMS=1,3\nBIASVALUE ARG=d"))
    state = context.getState(energy=True, forces=True)
    vector = POSITIONS[2] - POSITIONS[0]
    assert state.getPotentialEnergy()._value == pytest.approx(np.linalg.norm(vector), rel=1e-12)
    forces = np.zeros((4, 3))
    forces[0], forces[2] = vector / np.linalg.norm(vector), -vector / np.linalg.norm(vector)
    np.testing.assert_allclose(state.getForces(asNumpy=True)._value, forces, atol=1e-12)


@kernel
def test_forces_and_virial_are_derivatives_of_the_bias() -> None:
    box = np.diag([0.9, 1.0, 1.1])
    plumed = RunningPlumed(Setup(HILLS, timestep=0.001, temperature=300.0, log="log"), 4)
    for step in range(4):  # the first step deposits nothing
        plumed.compute(step, POSITIONS * (1 + 0.02 * step), box, update=True)
    here = POSITIONS * 1.035
    bias, forces = plumed.compute(4, here, box, update=False)
    virial = plumed.virial.copy()
    assert bias > 5

    def at(positions: np.ndarray, cell: np.ndarray = box) -> float:
        return plumed.compute(4, positions, cell, update=False)[0]

    for atom, axis in np.ndindex(4, 3):
        moved = np.zeros((4, 3))
        moved[atom, axis] = 1e-5
        slope = (at(here + moved) - at(here - moved)) / 2e-5
        assert forces[atom, axis] == pytest.approx(-slope, rel=1e-5, abs=1e-4)
    for i, j in ((0, 0), (1, 1), (0, 1), (1, 0)):
        strain = np.zeros((3, 3))
        strain[i, j] = 1e-6
        up, down = np.eye(3) + strain, np.eye(3) - strain
        slope = (at(here @ up.T, box @ up.T) - at(here @ down.T, box @ down.T)) / 2e-6
        assert virial[i, j] == pytest.approx(slope, rel=1e-4, abs=1e-4)
    plumed.close()


@kernel
def test_well_tempered_heights() -> None:
    """Hills at one place: each is lower by exp(-V/(kB dT)), and its file has them times gamma/(gamma - 1)."""
    script = "d: DISTANCE ATOMS=1,2\nMETAD ARG=d SIGMA=0.01 HEIGHT=2 PACE=1 BIASFACTOR=6 FILE=HILLS"
    plumed = RunningPlumed(Setup(script, timestep=0.001, temperature=310.0, log="log"), 4)
    for step in range(5):
        bias, _ = plumed.compute(step, POSITIONS, None, update=True)
    plumed.close()
    expected, height_sum = [], 0.0
    for _ in range(4):
        expected.append(2 * np.exp(-height_sum / (BOLTZMANN_KJ_PER_MOL * 310 * 5)))
        height_sum += expected[-1]
    assert bias == pytest.approx(sum(expected[:3]), rel=1e-6)
    np.testing.assert_allclose(read_table("HILLS")["height"], np.array(expected) * 6 / 5, rtol=1e-6)


@kernel
def test_one_update_for_each_step_whoever_asks(tmp_path: Path) -> None:
    """Energies asked for in between neither deposit nor print, and do not change the trajectory."""
    ends = {}
    for asked in (0, 3):
        Path("COLVAR").unlink(missing_ok=True)
        Path("HILLS").unlink(missing_ok=True)
        system = _system()
        force = PlumedForce(HILLS, system, timestep=0.0005, temperature=300)
        function = force.function
        context = _context(system, force)
        for _ in range(20):
            for _ in range(asked):
                context.getState(energy=True, forces=True)
            context.getIntegrator().step(1)
        function.close()
        ends[asked] = context.getState(positions=True).getPositions(asNumpy=True)._value
        np.testing.assert_allclose(read_table("COLVAR")["time"], 0.0005 * np.arange(20), atol=1e-9)
        np.testing.assert_allclose(read_table("HILLS")["time"], 0.0005 * np.arange(1, 20), atol=1e-9)
    np.testing.assert_array_equal(ends[0], ends[3])
    assert np.abs(ends[0] - POSITIONS).max() > 1e-3


@kernel
def test_the_system_tells_masses_charges_and_box() -> None:
    system = _system(box=0.5)
    far = POSITIONS.copy()
    far[1] += [0.5, 0, 0]
    script = "d: DISTANCE ATOMS=1,2\nBIASVALUE ARG=d\nDUMPMASSCHARGE ATOMS=@mdatoms FILE=mq"
    force = PlumedForce(script, system, timestep=0.001)
    assert force.getMasses() == (10.0, 11.0, 12.0, 13.0)
    function = force.function
    context = _context(system, force, far, timestep=0.001)
    assert _energy(context) == pytest.approx(np.linalg.norm(POSITIONS[1] - POSITIONS[0]), rel=1e-9)
    context.getIntegrator().step(3)
    function.close()
    np.testing.assert_allclose(read_table("mq").values[:, 1:], [[10 + k, 0.1 * k] for k in range(4)], atol=1e-6)
    isolated = _context(_system(), PlumedForce("d: DISTANCE ATOMS=1,2\nBIASVALUE ARG=d"), far)
    assert _energy(isolated) == pytest.approx(np.linalg.norm(far[1] - far[0]), rel=1e-9)


@kernel
def test_settings_are_those_of_openmm_plumed() -> None:
    force = PlumedForce("d: DISTANCE ATOMS=1,2")
    assert (force.getScript(), force.getTemperature(), force.getMasses(), force.getRestart()) == (
        "d: DISTANCE ATOMS=1,2", -1, (), False,
    )  # fmt: skip
    force.setTemperature(310)
    force.setMasses([1, 2, 3, 4])
    force.setRestart(True)
    assert (force.getTemperature(), force.getMasses(), force.getRestart()) == (310, (1, 2, 3, 4), True)


@kernel
@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("d: DISTANCX ATOMS=1,2", "I cannot understand line: DISTANCX"),
        ("d: DISTANCE ATOMS=1,9", r"atom 9 out of range \(the system has atoms 1 to 4\)"),
        ("d: DISTANCE ATOMS=1,2 FOO=3", "cannot understand the following words from the input line : FOO=3"),
        ("BIASVALUE ARG=nothing", "cannot find action named nothing"),
        ("t: TORSION ATOMS=1,2,1,3\nRESTRAINT ARG=t AT=1 KAPPA=1", "not a number at step 0: a CV is undefined there"),
        ("g: GYRATION ATOMS=1-4 MASS_WEIGHTED\nBIASVALUE ARG=g", "needs masses, which PLUMED was not given"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(script, said) -> None:
    context = _context(_system(), PlumedForce(script))
    with pytest.raises(mm.OpenMMException, match=said) as caught:
        _energy(context)
    assert "\n" not in str(caught.value)


@kernel
def test_timestep_is_needed_and_checked() -> None:
    context = _context(_system(), PlumedForce("d: DISTANCE ATOMS=1,2\nBIASVALUE ARG=d"))
    with pytest.raises(mm.OpenMMException, match=r"timestep=0.0005\) \(ps\)"):
        context.getIntegrator().step(2)
    system = _system()
    context = _context(system, PlumedForce("d: DISTANCE ATOMS=1,2\nBIASVALUE ARG=d", system, timestep=0.002))
    with pytest.raises(mm.OpenMMException, match=r"told a timestep of 0.002 ps, the integrator makes 0.0005 ps"):
        context.getIntegrator().step(2)


@kernel
def test_a_running_plumed_is_not_copied() -> None:
    system = _system()
    system.addForce(PlumedForce("d: DISTANCE ATOMS=1,2"))
    with pytest.raises(mm.OpenMMException, match="could not be pickled"):
        copy.deepcopy(system)


def test_backends_that_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "openmmplumed", None)
    with pytest.raises(FfptError, match="conda install -c conda-forge openmm-plumed"):
        create_plumed_force("", _system(), timestep=0.001, backend="openmm-plumed")
    with pytest.raises(FfptError, match="there are pythonforce, openmm-plumed"):
        create_plumed_force("", _system(), timestep=0.001, backend="gromacs")


@kernel
@pytest.mark.parametrize("box", [None, 0.9])
def test_openmm_plumed_drives_the_same_run(box: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openmmplumed", reason="openmm-plumed is not installed", exc_type=ImportError)
    tables, ends = [], []
    for backend in BACKENDS:
        (tmp_path / backend).mkdir()
        monkeypatch.chdir(tmp_path / backend)
        system = _system(box=box)
        force = create_plumed_force(HILLS, system, timestep=0.0005, temperature=300.0, backend=backend)
        context = _context(system, force)
        context.getIntegrator().step(50)
        ends.append(context.getState(positions=True).getPositions(asNumpy=True)._value)
        del context, force, system  # PLUMED writes the last lines of its files
        tables.append([read_table(Path(name)).values for name in ("HILLS", "COLVAR")])
    assert len(tables[0][0]) >= 49
    for one, other in zip(*tables, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(*ends, rtol=1e-9, atol=1e-12)


def test_lines_for_ase() -> None:
    assert input_lines(HILLS) == [
        "d1: DISTANCE ATOMS=1,2",
        "d2: DISTANCE ATOMS=1,3",
        "c1: CUSTOM ARG=d1 FUNC=2/(1+exp(30*(x-0.097))) PERIODIC=NO",
        "METAD LABEL=mt ARG=c1,d2 SIGMA=0.05,0.01 HEIGHT=5 PACE=1 BIASFACTOR=10 TEMP=300 FILE=HILLS",
        "w: UPPER_WALLS ARG=d2 AT=0.09 KAPPA=1000",
        "PRINT ARG=c1,d2,mt.bias STRIDE=1 FILE=COLVAR FMT=%.12f",
    ]
    assert input_lines("a: B ...\n C={d\n e}\n... a") == ["a: B C={d e}"]


class _Nothing(Calculator):
    implemented_properties = ["energy", "forces"]

    def calculate(self, atoms=None, properties=None, system_changes=all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        self.results = {"energy": 0.0, "forces": np.zeros((len(atoms), 3))}


@kernel
def test_ase_and_openmm_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same frames and hills, in the units of each."""
    frames = [POSITIONS * (1 + 0.02 * step) for step in range(5)]
    plumed = RunningPlumed(Setup(HILLS, timestep=0.0002, temperature=300.0, log="log"), 4)
    expected = [plumed.compute(step, frame, None, update=True) for step, frame in enumerate(frames)]
    plumed.close()
    (tmp_path / "ase").mkdir()
    monkeypatch.chdir(tmp_path / "ase")
    atoms = Atoms("OHHH", frames[0] * NANOMETRE)
    atoms.calc = plumed_calculator(
        _Nothing(), input_lines(HILLS), atoms, timestep=0.2 * units.fs, temperature=300, log="log"
    )
    for frame, (bias, forces) in zip(frames, expected, strict=True):
        atoms.positions = frame * NANOMETRE
        assert atoms.get_potential_energy() == pytest.approx(bias * KJ_PER_MOL, rel=1e-9, abs=1e-12)
        np.testing.assert_allclose(atoms.get_forces(), forces * KJ_PER_MOL_NM, rtol=1e-8, atol=1e-10)
    atoms.calc.plumed.finalize()
    assert expected[-1][0] > 5
    for name in ("HILLS", "COLVAR"):
        np.testing.assert_allclose(
            read_table(tmp_path / "ase" / name).values, read_table(tmp_path / name).values, rtol=1e-9, atol=1e-9
        )
