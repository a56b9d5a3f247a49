"""PLUMED inputs as OpenMM forces: PLUMED's numbers, consistent forces, restarts without gaps, errors with lines."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import openmm
import plumed_reference as reference
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from openmm import app

from ffpt_core import FfptError
from ffpt_core.base.errors import FfptWarning
from ffpt_plumed import find_kernel
from ffpt_plumed.grids.axis import Axis
from ffpt_plumed.grids.gaussian import CUTOFF, STRETCH
from ffpt_plumed.native import add_bias
from ffpt_plumed.native.hills import HillGrid, HillSum
from ffpt_plumed.native.splines import GridFunction
from ffpt_plumed.native.values import ANGLE_PERIOD
from ffpt_plumed.text.numbers import plumed_number
from ffpt_plumed.text.tables import Table, read_table

KT = 0.0083144621 * reference.TEMPERATURE
CASES = {name: (script, periodic) for name, script, periodic in reference.cases()}


def close(found: np.ndarray, expected: np.ndarray, digits: float = 1e-9) -> bool:
    """Within digits of the largest number of a column."""
    found, expected = np.asarray(found), np.asarray(expected)
    scale = np.abs(expected).max(axis=0) + 1e-3
    return found.shape == expected.shape and bool((np.abs(found - expected) <= digits * scale).all())


# Agreement with PLUMED.


@pytest.mark.parametrize("name", CASES)
def test_stored_numbers_of_plumed(name: str, tmp_path: Path) -> None:
    record = json.loads(reference.STORED.read_text())
    stored = record["cases"][name]
    script, periodic = CASES[name]
    driven = reference.drive_native(script, reference.frames(record["frames"], periodic), periodic, tmp_path)
    assert close(driven.energies, stored["energies"])
    assert close(driven.forces[::10].reshape(-1, 1), np.reshape(stored["forces"], (-1, 1)))
    assert set(driven.tables) == set(stored["tables"])
    for file, table in stored["tables"].items():
        found = driven.tables[file]
        assert list(found.fields) == table["fields"] and found.constants == table["constants"]
        assert close(found.values, table["values"])


def kernel_is_missing() -> bool:
    try:
        find_kernel()
    except FfptError:
        return True
    return False


@pytest.mark.skipif(kernel_is_missing(), reason="no PLUMED kernel")
@pytest.mark.parametrize("name", CASES)
def test_kernel(name: str, tmp_path: Path) -> None:
    script, periodic = CASES[name]
    frames = reference.frames(60, periodic)
    (tmp_path / "native").mkdir()
    (tmp_path / "kernel").mkdir()
    found = reference.drive_native(script, frames, periodic, tmp_path / "native")
    expected = reference.drive_kernel(script, frames, periodic, tmp_path / "kernel")
    assert close(found.energies, expected.energies)
    assert close(found.forces.reshape(-1, 1), expected.forces.reshape(-1, 1))
    for file, table in expected.tables.items():
        assert found.tables[file].fields == table.fields and found.tables[file].constants == table.constants
        assert close(found.tables[file].values, table.values)


@pytest.mark.parametrize("platform", ["CPU", "CUDA"])
def test_single_precision_platform_agrees(tmp_path: Path, platform: str) -> None:
    names = [openmm.Platform.getPlatform(k).getName() for k in range(openmm.Platform.getNumPlatforms())]
    if platform not in names or (platform == "CUDA" and not torch.cuda.is_available()):
        pytest.skip(f"no platform {platform} here")
    frames = reference.frames(4, False)
    (tmp_path / platform).mkdir()
    double = reference.drive_native(reference.COLVARS, frames, False, tmp_path)
    single = reference.drive_native(reference.COLVARS, frames, False, tmp_path / platform, platform=platform)
    assert close(single.energies, double.energies, 1e-5)
    assert close(single.forces.reshape(-1, 1), double.forces.reshape(-1, 1), 1e-4)
    # Tables are of Contexts of their own, in double precision everywhere. A GPU rounds the positions that they get.
    digits = {"CPU": 1e-9, "CUDA": 1e-5}[platform]
    assert close(single.tables["COLVAR"].values, double.tables["COLVAR"].values, digits)


# Values, by hand.


def value(script: str, positions: list[list[float]], tmp_path: Path) -> dict[str, float]:
    bias, context = reference.native_context(script, len(positions), folder=tmp_path)
    context.setPositions(positions)
    return bias.evaluate(context)


RIGHT_ANGLE = [[0.1, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.2, 0.0], [0.0, 0.2, 0.3]]


def test_geometry(tmp_path: Path) -> None:
    script = """UNITS LENGTH=A
d: DISTANCE ATOMS=1,3
a: ANGLE ATOMS=1,2,3
t: TORSION ATOMS=1,2,3,4
h: CUSTOM ARG=d,a FUNC=x^2+cos(y)+step(x-2) PERIODIC=NO
n: COMBINE ARG=d,a COEFFICIENTS=1,3 NORMALIZE PERIODIC=NO
PRINT ARG=* FILE=COLVAR"""
    values = value(script, RIGHT_ANGLE, tmp_path)
    # Atom 1 points along x and atom 4 along z as seen along y: a quarter turn, clockwise is positive.
    expected = {"d": math.sqrt(5), "a": math.pi / 2, "t": -math.pi / 2, "h": 6.0, "n": 0.25 * (5**0.5 + 1.5 * math.pi)}
    assert values == pytest.approx(expected, abs=1e-12)


def test_morse_pair_coordination_of_the_combustion_paper(tmp_path: Path) -> None:
    # Two pairs, one at mu and one 0.1 nm beyond it, with sigma = 30 per nm: 1 and 2 / (1 + e^3).
    script = """c: COORDINATION GROUPA=1 GROUPB=2,3 SWITCH={CUSTOM FUNC=2/(1+exp(30*(x-0.1))) R_0=1}
PRINT ARG=c FILE=COLVAR"""
    assert value(script, RIGHT_ANGLE[:3], tmp_path)["c"] == pytest.approx(
        1.0 + 2.0 / (1.0 + math.exp(30 * (math.sqrt(0.05) - 0.1))), abs=1e-12
    )


def test_default_rational_is_stretched_to_zero_at_plumeds_cutoff(tmp_path: Path) -> None:
    # 1/(1+x^6) is 1e-5 at x^6 = 1e5, where PLUMED ends it.
    def at(x: float) -> float:
        script = "c: COORDINATION GROUPA=1 GROUPB=2 R_0=0.1\nPRINT ARG=c FILE=COLVAR"
        return value(script, [[0, 0, 0], [0.1 * x, 0, 0]], tmp_path)["c"]

    end = 1e5 ** (1 / 6)
    rest = 1 / (1 + 1e5)
    assert at(1.0) == pytest.approx((0.5 - rest) / (1 - rest), abs=1e-12)
    assert at(end * 1.000001) == 0.0 and 0 < at(end * 0.9999) < 1e-7


def test_walls_and_restraints(tmp_path: Path) -> None:
    script = """d: DISTANCE ATOMS=1,2
u: UPPER_WALLS ARG=d AT=0.08 KAPPA=1000
l: LOWER_WALLS ARG=d AT=0.08 KAPPA=1000
r: RESTRAINT ARG=d AT=0.05 KAPPA=400 SLOPE=2
PRINT ARG=* FILE=COLVAR"""
    values = value(script, RIGHT_ANGLE, tmp_path)
    assert values["u.bias"] == pytest.approx(1000 * 0.02**2) and values["u.force2"] == pytest.approx(40.0**2)
    assert values["l.bias"] == 0.0 and values["l.force2"] == 0.0
    assert values["r.bias"] == pytest.approx(200 * 0.05**2 + 2 * 0.05)
    assert values["r.force2"] == pytest.approx((400 * 0.05 + 2) ** 2)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.5", 0.5),
        ("pi", math.pi),
        ("-pi", -math.pi),
        ("2pi", 2 * math.pi),
        ("pi/2", math.pi / 2),
        ("2^3*sqrt(4)", 16),
    ],
)
def test_numbers(text: str, expected: float) -> None:
    assert plumed_number(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "one", "1,2", "__import__('os')", "(1).real", "1/0", "[1]", "9**9**9**9"])
def test_not_numbers(text: str) -> None:
    with pytest.raises(FfptError, match="is not a number"):
        plumed_number(text)


# Hills.


def test_hill_is_its_height_at_its_centre_and_ends_at_the_cutoff() -> None:
    hills = HillSum([None])
    hills.add(np.array([1.0]), np.array([0.2]), 3.0)
    energy, slope = hills.evaluate(np.array([1.0]))
    assert energy == pytest.approx(3.0) and slope[0] == pytest.approx(0.0, abs=1e-12)
    end = 0.2 * math.sqrt(2 * CUTOFF)
    assert abs(hills.evaluate(np.array([1.0 + end - 1e-9]))[0]) < 1e-7
    assert hills.evaluate(np.array([1.0 + end + 1e-9]))[0] == 0.0
    inside = 3.0 * STRETCH * (math.exp(-0.5) - math.exp(-CUTOFF))
    assert hills.evaluate(np.array([1.2]))[0] == pytest.approx(inside)


def grid(dimension: int, bins: int = 40) -> HillGrid:
    axes = [
        Axis("t", -math.pi, math.pi, bins, ANGLE_PERIOD),
        Axis("d", 0.0, 2.0, bins),
        Axis("e", -1.0, 2.0, 20),
    ]
    return HillGrid(axes[:dimension])


@pytest.mark.parametrize(("dimension", "seed"), [(1, 0), (1, 1), (2, 2), (2, 3), (2, 4), (3, 5)])
def test_openmm_evaluates_the_grid_as_numpy_does(dimension: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    low, high = np.array([-math.pi, 0.0, -1.0])[:dimension], np.array([math.pi, 2.0, 2.0])[:dimension]
    hills = grid(dimension)
    for _ in range(8):
        hills.add(random.uniform(low, high), random.uniform(0.1, 0.4, dimension), random.uniform(0.5, 2))
    point = random.uniform(low, high)
    function = GridFunction("g", hills, [f"x{k}" for k in range(dimension)])
    expression, definitions = function.expression()
    force = openmm.CustomCVForce("; ".join([expression, *definitions]))
    function.add_tables(force)
    for k in range(dimension):  # one coordinate of one particle each
        coordinate = openmm.CustomExternalForce("x")
        coordinate.addParticle(k, [])
        force.addCollectiveVariable(f"x{k}", coordinate)
    system = openmm.System()
    for _ in range(dimension):
        system.addParticle(1.0)
    system.addForce(force)
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatform("Reference"))
    context.setPositions([[x, 0, 0] for x in point])
    state = context.getState(energy=True, forces=True)
    energy, slopes = hills.evaluate(point)
    assert state.getPotentialEnergy()._value == pytest.approx(energy, abs=1e-9)
    assert state.getForces(asNumpy=True)._value[:, 0] == pytest.approx(-slopes, abs=1e-8)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_slopes_are_derivatives(seed: int) -> None:
    random = np.random.default_rng(seed)
    on_grid, summed = grid(2), HillSum([ANGLE_PERIOD, None])
    for _ in range(6):
        hill = random.uniform([-math.pi, 0.3], [math.pi, 1.7]), np.array([0.6, 0.3]), random.uniform(0.5, 2)
        on_grid.add(*hill)
        summed.add(*hill)
    point = random.uniform([-math.pi, 0.0], [math.pi, 2.0])
    for hills in (on_grid, summed):
        step = 1e-6
        for k in range(2):
            shift = step * np.eye(2)[k]
            difference = (hills.evaluate(point + shift)[0] - hills.evaluate(point - shift)[0]) / (2 * step)
            # A hill has a kink where it ends, PLUMED's interpolation one where a value is next to 0.
            assert hills.evaluate(point)[1][k] == pytest.approx(difference, abs=0.02)
    # The grid is an interpolation of the sum.
    assert on_grid.evaluate(point)[0] == pytest.approx(summed.evaluate(point)[0], abs=0.02)


def test_hills_see_each_other_across_the_period() -> None:
    for hills in (grid(1), HillSum([ANGLE_PERIOD])):
        hills.add(np.array([3.1]), np.array([0.35]), 1.0)
        left = hills.evaluate(np.array([-3.1]))[0]
        # The images are 2 pi - 6.2 apart.
        expected = STRETCH * (math.exp(-0.5 * ((2 * math.pi - 6.2) / 0.35) ** 2) - math.exp(-CUTOFF))
        assert left == pytest.approx(expected, rel=2e-3)


def test_leaving_the_grid_is_an_error() -> None:
    with pytest.raises(FfptError, match=r"d is 2\.5, outside of its grid from 0 to 2: widen GRID_MIN and GRID_MAX"):
        grid(2).evaluate(np.array([0.0, 2.5]))


# Runs.

RUN = """d: DISTANCE ATOMS=1,2
m: METAD ARG=d SIGMA=0.01 HEIGHT=2 PACE=20 BIASFACTOR=5 {}
PRINT ARG=d,m.bias FILE=COLVAR STRIDE=7
"""
GRID = "GRID_MIN=0.02 GRID_MAX=0.3 GRID_BIN=200"


def simulation(script: str, folder: Path, reporter: bool = True, **options) -> tuple[app.Simulation, object]:
    """A soft diatomic molecule on a short way, with the same noise every time."""
    system = openmm.System()
    system.addParticle(16.0)
    system.addParticle(16.0)
    bond = openmm.HarmonicBondForce()
    bond.addBond(0, 1, 0.12, 2e4)
    system.addForce(bond)
    bias = add_bias(system, script, temperature=reference.TEMPERATURE, folder=folder, **options)
    topology = app.Topology()
    residue = topology.addResidue("O2", topology.addChain())
    for _ in range(2):
        topology.addAtom("O", app.element.oxygen, residue)
    integrator = openmm.LangevinMiddleIntegrator(300, 1.0, 0.001)
    integrator.setRandomNumberSeed(7)
    run = app.Simulation(topology, system, integrator, openmm.Platform.getPlatform("Reference"))
    run.context.setPositions([[0, 0, 0], [0.12, 0, 0]])
    if reporter:
        run.reporters.append(bias.reporter())
    return run, bias


def distance(run: app.Simulation) -> np.ndarray:
    return run.context.getState(positions=True).getPositions(asNumpy=True)._value


def test_steps_of_hills_and_rows(tmp_path: Path) -> None:
    run, bias = simulation(RUN.format(""), tmp_path)
    run.step(50)
    run.step(50)
    bias.close()
    hills, colvar = read_table(tmp_path / "HILLS"), read_table(tmp_path / "COLVAR")
    # Not at the first step, and once at step 50's neighbour although the run was split there.
    assert hills["time"] == pytest.approx(0.02 * np.arange(1, 6))
    assert colvar["time"] == pytest.approx(0.007 * np.arange(15))
    assert colvar["m.bias"][0] == 0.0 and hills.constants["kerneltype"] == "stretched-gaussian"


@pytest.mark.parametrize("keywords", ["", GRID])
def test_well_tempered_heights(keywords: str, tmp_path: Path) -> None:
    run, bias = simulation(RUN.format(keywords), tmp_path)
    run.step(300)
    bias.close()
    hills = read_table(tmp_path / "HILLS")
    check = HillSum([None])
    for centre, height in zip(hills["d"], hills["height"], strict=True):
        # Barducci et al. 2008: W = W0 exp(-V / (k_B T (gamma - 1))); in the file times gamma / (gamma - 1).
        expected = 2.0 * math.exp(-check.evaluate(np.array([centre]))[0] / (4 * KT))
        assert height * 4 / 5 == pytest.approx(expected, rel=1e-12 if not keywords else 1e-4)
        check.add(np.array([centre]), np.array([0.01]), height * 4 / 5)
    assert hills["biasf"].tolist() == [5.0] * 15 and hills["height"][-1] < 0.9 * hills["height"][0]


@pytest.mark.parametrize("keywords", ["", GRID])
def test_forces_are_slopes_of_the_energy(keywords: str, tmp_path: Path) -> None:
    run, _ = simulation(RUN.format(keywords), tmp_path)
    run.step(200)
    positions = distance(run)
    forces = run.context.getState(forces=True).getForces(asNumpy=True)._value
    for atom, axis in np.ndindex(positions.shape):
        energies = []
        for sign in (1, -1):
            moved = positions.copy()
            moved[atom, axis] += sign * 1e-6
            run.context.setPositions(moved)
            energies.append(run.context.getState(energy=True).getPotentialEnergy()._value)
        assert forces[atom, axis] == pytest.approx((energies[1] - energies[0]) / 2e-6, abs=1e-3)


def test_tau_gives_the_height(tmp_path: Path) -> None:
    script = "d: DISTANCE ATOMS=1,2\nMETAD ARG=d SIGMA=0.01 TAU=0.5 PACE=20 BIASFACTOR=5\n"
    run, bias = simulation(script, tmp_path)
    run.step(20)
    bias.close()
    # W0 = k_B Delta T PACE dt / tau
    assert read_table(tmp_path / "HILLS")["height"][0] * 4 / 5 == pytest.approx(KT * 4 * 20 * 0.001 / 0.5)


@pytest.mark.parametrize("keywords", ["", GRID])
@pytest.mark.parametrize("checkpoint", [140, 150])
def test_killed_run_goes_on_as_an_unbroken_one(keywords: str, checkpoint: int, tmp_path: Path) -> None:
    """140 is the step of a hill and of a row, 150 of neither."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    run, bias = simulation(RUN.format(keywords), whole)
    run.step(400)
    bias.close()
    expected = distance(run)
    run, bias = simulation(RUN.format(keywords), broken)
    run.step(checkpoint)
    saved = run.context.createCheckpoint()
    run.step(95)
    with open(broken / "HILLS", "a") as stream:
        stream.write("                    0.24      0.1")  # killed while it wrote
    with pytest.warns(FfptWarning, match="HILLS: left out line"):
        run, bias = simulation(RUN.format(keywords), broken, restart=True)
    run.context.loadCheckpoint(saved)
    run.step(400 - checkpoint)
    bias.close()
    assert np.array_equal(distance(run), expected)
    for file in ("HILLS", "COLVAR"):
        assert np.array_equal(read_table(broken / file).values, read_table(whole / file).values)


def test_hill_that_the_checkpoint_missed_is_added(tmp_path: Path) -> None:
    """A reporter that saves before the hill of the same step is written, and a kill between the two."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    run, bias = simulation(RUN.format(""), whole)
    run.step(140)
    saved = run.context.createCheckpoint()
    bias.close()
    table = read_table(whole / "HILLS")
    broken.mkdir()
    for file in ("HILLS", "COLVAR"):
        (broken / file).write_text("".join((whole / file).read_text().splitlines(keepends=True)[:-1]))
    run, bias = simulation(RUN.format(""), broken, restart=True)
    run.context.loadCheckpoint(saved)
    run.step(1)
    bias.close()
    assert np.array_equal(read_table(broken / "HILLS").values, table.values)
    assert np.array_equal(read_table(broken / "COLVAR").values, read_table(whole / "COLVAR").values)


def test_lost_hills_are_noticed(tmp_path: Path) -> None:
    run, bias = simulation(RUN.format(""), tmp_path)
    run.step(140)
    saved = run.context.createCheckpoint()
    bias.close()
    path = tmp_path / "HILLS"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-2]))
    run, bias = simulation(RUN.format(""), tmp_path, restart=True)
    run.context.loadCheckpoint(saved)
    with pytest.raises(FfptError, match=r"cannot restart at step 140: the last hill of .*HILLS is of step 100"):
        run.step(1)


def test_restart_at_step_zero_keeps_all_hills(tmp_path: Path) -> None:
    run, bias = simulation(RUN.format(""), tmp_path)
    run.step(100)
    bias.close()
    run, bias = simulation("RESTART\n" + RUN.format(""), tmp_path)
    energy = run.context.getState(energy=True).getPotentialEnergy()._value
    assert energy == pytest.approx(bias.evaluate(run.context)["m.bias"]) and energy > 1
    run.step(40)
    bias.close()
    assert read_table(tmp_path / "HILLS")["time"] == pytest.approx(0.02 * np.array([1, 2, 3, 4, 5, 1, 2]))


def test_old_files_are_backed_up(tmp_path: Path) -> None:
    (tmp_path / "HILLS").write_text("precious\n")
    run, _ = simulation(RUN.format(""), tmp_path)
    run.step(1)
    assert (tmp_path / "bck.0.HILLS").read_text() == "precious\n"


def test_going_back_in_time_is_refused(tmp_path: Path) -> None:
    run, _ = simulation(RUN.format(""), tmp_path)
    run.step(10)
    saved = run.context.createCheckpoint()
    run.step(30)
    run.context.loadCheckpoint(saved)
    with pytest.raises(FfptError, match="went back from step 40 to 10"):
        run.step(1)


def test_step_explains_a_colvar_that_left_its_grid(tmp_path: Path) -> None:
    run, bias = simulation(RUN.format("GRID_MIN=0.119 GRID_MAX=0.121 GRID_BIN=10"), tmp_path, reporter=False)
    with pytest.raises(FfptError, match=r"d is 0\.1\d+, outside of its grid from 0\.119 to 0\.121"):
        bias.step(run, 500)
    assert run.reporters == []


def test_advance_is_the_reporter(tmp_path: Path) -> None:
    tables = []
    for reporter in (True, False):
        folder = tmp_path / str(reporter)
        run, bias = simulation(RUN.format(GRID), folder, reporter)
        if reporter:
            run.step(45)
        else:
            bias.advance(run.context, 30)
            bias.advance(run.context, 15)
        bias.close()
        tables.append([read_table(folder / file).values for file in ("HILLS", "COLVAR")])
    assert all(np.array_equal(one, other) for one, other in zip(*tables, strict=True))


def test_undefined_at_the_start(tmp_path: Path) -> None:
    script = "t: TORSION ATOMS=1,2,3,4\nMETAD ARG=t SIGMA=0.3 HEIGHT=1 PACE=10\n"
    bias, context = reference.native_context(script, 4, folder=tmp_path)
    context.setPositions([[0.1 * k, 0, 0] for k in range(4)])  # on a line
    with pytest.raises(FfptError, match="t is not defined at step 0"):
        bias.update(context)


# Serialised.


def test_a_system_with_a_grid_is_openmms_own(tmp_path: Path) -> None:
    """Its XML holds no Python: it is read without ffpt, and by later versions of it."""
    run, bias = simulation(RUN.format(GRID) + "u: UPPER_WALLS ARG=d AT=0.1 KAPPA=1000\n", tmp_path)
    run.step(60)
    text = openmm.XmlSerializer.serialize(run.system)
    assert "ffpt_plumed" not in text and "PythonForce" not in text
    copied = openmm.Context(
        openmm.XmlSerializer.deserialize(text),
        openmm.VerletIntegrator(0.001),
        openmm.Platform.getPlatform("Reference"),
    )
    copied.setPositions(distance(run))
    energies = [one.getState(energy=True).getPotentialEnergy()._value for one in (copied, run.context)]
    assert bias.evaluate(run.context)["m.bias"] > 1
    assert energies[0] == pytest.approx(energies[1], rel=1e-12)


def test_hills_without_a_grid_are_not_serialised(tmp_path: Path) -> None:
    run, _ = simulation(RUN.format(""), tmp_path)
    with pytest.raises(openmm.OpenMMException, match="could not be pickled"):
        openmm.XmlSerializer.serialize(run.system)


# Errors.


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("\nr: RMSD REFERENCE=a.pdb", r"line 2: RMSD: native PLUMED does not know this action; with a PLUMED kernel"),
        ("d: DISTANCE ...\nATOMS=1,2\nSCALED_COMPONENTS\n...", r"line 3: DISTANCE: .* does not know SCALED_COMPONENTS"),
        ("d: DISTANCE ATOMS=1,7", r"line 1: DISTANCE: ATOMS: there is no atom 7, the system has 1 to 4"),
        ("d: DISTANCE ATOMS=0,1", r"there is no atom 0"),
        ("d: DISTANCE ATOMS=1,com", r"com is neither an atom nor a group"),
        ("d: DISTANCE ATOMS=1-3", r"ATOMS names 3 atoms where 2 belong"),
        ("d: DISTANCE", r"line 1: DISTANCE: ATOMS is missing"),
        ("PRINT ARG=d FILE=C", r"PRINT: there is no value d; there are: none so far"),
        ("{d}\nPRINT ARG=d,d FILE=C", r"line 2: PRINT: d would be printed twice"),
        ("{d}\nPRINT ARG=d", r"FILE is missing"),
        ("{d}\nPRINT ARG=d FILE=C FMT=nothing", r"FMT=nothing does not format a number"),
        ("{d}\nUNITS LENGTH=A", r"line 2: UNITS: UNITS must be the first action"),
        ("UNITS LENGTH=mile", r"LENGTH=mile is not known; known: a number, nm, A"),
        ("{d}\nx: CUSTOM ARG=d FUNC=x+q PERIODIC=NO", r"line 2: CUSTOM: FUNC=x\+q: variable q is not defined"),
        ("{d}\nx: CUSTOM ARG=d FUNC=system(x) PERIODIC=NO", r"there is no function system"),
        ("{d}\nx: CUSTOM ARG=d FUNC=x+*2 PERIODIC=NO", r"line 2: CUSTOM: FUNC=x\+\*2: "),
        ("{d}\nx: CUSTOM ARG=d FUNC=x", r"PERIODIC must be NO"),
        ("c: COORDINATION GROUPA=1 GROUPB=2 SWITCH={{BOX R_0=1}}", r"switching function BOX is not known natively"),
        ("c: COORDINATION GROUPA=1 GROUPB=2 SWITCH={{EXP R_0=1 Q=2}}", r"line 1: EXP: .* does not know Q"),
        ("c: COORDINATION GROUPA=1 GROUPB=2", r"R_0 is missing"),
        ("c: COORDINATION GROUPA=1 GROUPB=1 R_0=1", r"there is no pair"),
        ("c: COORDINATION GROUPA=1-4 R_0=1 NLIST NL_CUTOFF=1 NL_STRIDE=5", r"NLIST leaves out pairs that count"),
        ("{d}\nMETAD ARG=d SIGMA=0.1,0.2 HEIGHT=1 PACE=1", r"SIGMA has 2 values where 1 belong"),
        ("{d}\nMETAD ARG=d SIGMA=0.1 PACE=1", r"one of HEIGHT and TAU must be given"),
        ("{d}\nMETAD ARG=d SIGMA=0.1 HEIGHT=1 PACE=0", r"PACE=0 must be 1 or more"),
        ("{d}\nMETAD ARG=d SIGMA=0.1 HEIGHT=1 PACE=1 BIASFACTOR=5", r"TEMP is missing, and no temperature"),
        ("{d}\nMETAD ARG=d SIGMA=0.1 HEIGHT=1 PACE=1 ADAPTIVE=GEOM", r"line 2: METAD: .* does not know ADAPTIVE"),
        ("{d}\nMETAD ARG=d SIGMA=0.1 HEIGHT=1 PACE=1 GRID_MIN=0", r"GRID_MIN needs GRID_MIN and GRID_MAX"),
        (
            "{d}\nm: METAD ARG=d SIGMA=0.1 HEIGHT=1 PACE=1\nRESTRAINT ARG=m.bias AT=0",
            r"line 3: .* only be printed natively",
        ),
    ],
)
def test_refused(script: str, message: str) -> None:
    text = script.replace("{d}", "d: DISTANCE ATOMS=1,2").replace("{{", "{").replace("}}", "}")
    with pytest.raises(FfptError, match=message):
        reference.native_context(text, 4, temperature=None)


def test_restart_without_hills(tmp_path: Path) -> None:
    with pytest.raises(FfptError, match=r"cannot restart: there is no .*HILLS"):
        simulation(RUN.format(""), tmp_path, restart=True)


def test_hills_of_other_variables(tmp_path: Path) -> None:
    run, bias = simulation(RUN.format(""), tmp_path)
    run.step(40)
    bias.close()
    with pytest.raises(FfptError, match=r"has the columns time d sigma_d height biasf; METAD m needs time e sigma_e"):
        simulation(RUN.format("").replace("d:", "e:").replace("ARG=d", "ARG=e"), tmp_path, restart=True)


def test_table_of_a_run_is_plumeds(tmp_path: Path) -> None:
    """Text, not only numbers: other programs read it."""
    run, bias = simulation(RUN.format(""), tmp_path)
    run.step(20)
    bias.close()
    lines = (tmp_path / "HILLS").read_text().splitlines()
    assert lines[:3] == [
        "#! FIELDS time d sigma_d height biasf",
        "#! SET multivariate false",
        "#! SET kerneltype stretched-gaussian",
    ]
    assert all(len(word) <= 23 for word in lines[3].split()) and lines[3].startswith(" ")
    colvar = (tmp_path / "COLVAR").read_text().splitlines()
    assert colvar[:2] == ["#! FIELDS time d m.bias", " 0.000000 0.120000 0.000000"]
    assert isinstance(read_table(tmp_path / "HILLS"), Table)
