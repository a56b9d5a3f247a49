"""Biased runs on disk: over PLUMED's kernel, native forces and ASE; exact resume; what is refused."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import ase.io
import mdtraj
import numpy as np
import pytest
from ase import Atoms
from openmm_models import random_potential
from test_plumed_force import kernel
from typer.testing import CliRunner

from ffpt_core import FfptError, NetworkPotential
from ffpt_core.base.files import read_json
from ffpt_core.base.units import KJ_PER_MOL, NANOMETRE
from ffpt_core.cli.main import main
from ffpt_core.teachers import load_teacher
from ffpt_openmm import run_md, topology_of
from ffpt_plumed import reaction
from ffpt_plumed.metadynamics import bias as biases
from ffpt_plumed.metadynamics.run import METAD_SETTINGS, run_metad
from ffpt_plumed.reactions import inputs
from ffpt_plumed.reactions.species import SpeciesCriterion
from ffpt_plumed.reactions.structures import starting_structure
from ffpt_plumed.text import plumed_input, script
from ffpt_plumed.text.plumed_input import PlumedInput
from ffpt_plumed.text.tables import read_table

# Random weights hold no molecule together: the restraints do.
SCRIPT = """
d1: DISTANCE ATOMS=1,2
d2: DISTANCE ATOMS=1,3
hh: DISTANCE ATOMS=2,3
RESTRAINT ARG=d1,d2,hh AT=0.1,0.1,0.16 KAPPA=20000,20000,20000
mt: METAD ARG=d1,d2 SIGMA=0.01,0.01 HEIGHT=1 PACE=20 BIASFACTOR=10 GRID_MIN=0,0 GRID_MAX=0.3,0.3 FILE=HILLS
PRINT ARG=d1,d2,hh,mt.bias STRIDE=5 FILE=COLVAR FMT=%.12f
"""
WATER = Atoms("OHH", [[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])
SHORT = dataclasses.replace(
    METAD_SETTINGS, length=0.06, interval=2.0, log_interval=5.0, checkpoint_interval=0.02, platform="Reference",
    backend="pythonforce",
)  # fmt: skip
WAYS = [
    pytest.param("openmm", "native", id="native"),
    pytest.param("openmm", "plumed", id="plumed", marks=kernel),
    pytest.param("ase", "plumed", id="ase", marks=kernel),
]


@pytest.fixture(scope="module")
def potential() -> NetworkPotential:
    return random_potential(scale=0.01, n_features=8, n_layers=1)


def _run(potential, folder, script=SCRIPT, atoms=WATER, engine="openmm", bias="native", inputs_from=None, **changes):
    settings = dataclasses.replace(SHORT, **changes)
    return run_metad(potential, script, atoms, folder, settings, engine=engine, bias=bias, inputs_from=inputs_from)


def _distances(folder: Path) -> np.ndarray:
    frames = mdtraj.load(folder / "trajectory-0.dcd", top=folder / "topology.pdb")
    return mdtraj.compute_distances(frames, [[0, 1], [0, 2], [1, 2]])


@pytest.mark.parametrize(("engine", "bias"), WAYS)
def test_a_run(tmp_path, potential, engine, bias) -> None:
    """COLVAR has the distances of the frames of the same times, hills come on time, and the restraints hold."""
    result = _run(potential, tmp_path, engine=engine, bias=bias)
    assert [outcome.status for outcome in result.outcomes] == ["finished"]
    colvar, hills = read_table(tmp_path / "COLVAR"), read_table(tmp_path / "HILLS")
    np.testing.assert_allclose(colvar["time"], 0.001 * np.arange(61), atol=1e-9)
    np.testing.assert_allclose(hills["time"], 0.004 * np.arange(1, 16), atol=1e-9)
    distances = _distances(tmp_path)  # every 10 steps, from step 10 on
    for column, name in enumerate(("d1", "d2", "hh")):
        np.testing.assert_allclose(colvar[name][2::2], distances[:, column], atol=2e-7)
    np.testing.assert_allclose(hills["d1"], colvar["d1"][4::4], atol=1e-11)
    assert np.abs(distances - [0.1, 0.1, 0.16]).max() < 0.06
    assert colvar["mt.bias"].max() > 1
    record = read_json(tmp_path / "run.json")
    assert record["bias"]["kind"] == bias
    assert record["bias"]["outputs"] == ["HILLS", "COLVAR"]
    assert (tmp_path / "plumed.dat").read_text() == SCRIPT


def test_the_input_is_read_once(tmp_path, potential, monkeypatch) -> None:
    """Its files, the first step in another folder and the run all go by what was read."""
    texts = []

    def counted(text: str) -> list[script.Action]:
        texts.append(text)
        return read(text)

    read = script.parse_script
    monkeypatch.setattr(plumed_input, "parse_script", counted)
    _run(potential, tmp_path / "run", length=0.01, inputs_from=tmp_path)
    _run(potential, tmp_path / "run", PlumedInput.of(SCRIPT), length=0.02)
    assert texts == [SCRIPT, SCRIPT]  # by the first run, and here


@kernel
def test_the_kernel_and_native_drive_the_same_trajectory(tmp_path, potential) -> None:
    for bias in ("plumed", "native"):
        _run(potential, tmp_path / bias, bias=bias, length=0.02)
    for name in ("COLVAR", "HILLS"):
        one, other = (read_table(tmp_path / bias / name).values for bias in ("plumed", "native"))
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("engine", "bias"), WAYS)
def test_a_run_that_continues_is_the_unbroken_run(tmp_path, potential, engine, bias) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    _run(potential, whole, engine=engine, bias=bias)
    _run(potential, broken, engine=engine, bias=bias, length=0.02)
    for name in ("HILLS", "COLVAR"):
        with open(broken / name, "a") as stream:
            stream.write(" 0.0204 0.1 0.1 0.2\n 0.02")  # lines behind the checkpoint, the last one half written
    _run(potential, broken, engine=engine, bias=bias)
    _assert_same_run(whole, broken)


def _assert_same_run(one: Path, other: Path) -> None:
    for name in ("HILLS", "COLVAR"):
        table, expected = read_table(other / name), read_table(one / name)
        assert table.fields == expected.fields
        # PLUMED writes hills with 16 digits, and reads them back.
        np.testing.assert_allclose(table.values, expected.values, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(_distances(one), _distances(other), atol=1e-6)
    assert len((one / "state-0.csv").read_text().splitlines()) == len((other / "state-0.csv").read_text().splitlines())


_PROGRAM = """
import sys
from test_metad import SCRIPT, SHORT, WATER, dataclasses, run_metad
run_metad(sys.argv[1], SCRIPT, WATER, sys.argv[2], dataclasses.replace(SHORT, length=10), bias=sys.argv[3])
"""


def test_a_killed_run_continues_without_a_gap_or_a_doubled_line(tmp_path, potential) -> None:
    kind = biases.choose_bias("auto")
    model, folder = tmp_path / "model.pt", tmp_path / "run"
    potential.save(model)
    tests = Path(__file__).parents[1]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, [Path(__file__).parent, tests, tests.parent])),
        "OMP_NUM_THREADS": "1",
    }
    process = subprocess.Popen([sys.executable, "-c", _PROGRAM, model, folder, kind], env=environment)
    trajectory, checkpoint = folder / "trajectory-0.dcd", folder / "checkpoint-0.npz"
    patience = time.monotonic() + 300
    # Killed between two checkpoints, with frames behind the last one.
    while not (checkpoint.is_file() and trajectory.stat().st_mtime_ns > checkpoint.stat().st_mtime_ns):
        assert process.poll() is None
        assert time.monotonic() < patience
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    record = read_json(folder / "run.json")
    assert record["replicas"][0]["status"] == "running"
    with np.load(checkpoint) as saved:
        done = int(np.array(str(saved["record"]).partition('"step": ')[2].partition(",")[0], dtype=int))
    length = 0.02 * (done // 100 + 1)
    record["settings"]["length"] = 0.02  # less than what is asked for now: a run of 10 ps is not waited for
    (folder / "run.json").write_text(__import__("json").dumps(record))
    _run(model, folder, bias=kind, length=length)
    _run(potential, tmp_path / "unbroken", bias=kind, length=length)
    np.testing.assert_allclose(read_table(folder / "HILLS")["time"], 0.004 * np.arange(1, 250 * length + 0.5))
    _assert_same_run(tmp_path / "unbroken", folder)


def test_hills_of_before_are_continued(tmp_path, potential) -> None:
    _run(potential, tmp_path / "first", length=0.02)
    before = (tmp_path / "first" / "HILLS").read_text()
    for number in range(2):  # the second time over what a run without a checkpoint has left
        _run(potential, tmp_path / "second", "RESTART\n" + SCRIPT, length=0.02, inputs_from=tmp_path / "first")
        table = read_table(tmp_path / "second" / "HILLS")
        assert len(table) == 10
        np.testing.assert_array_equal(table.values[:5], read_table(tmp_path / "first" / "HILLS").values)
        assert read_table(tmp_path / "second" / "COLVAR")["mt.bias"][0] > 0.01
        if number == 0:
            (tmp_path / "second" / "checkpoint-0.npz").unlink()
            record = read_json(tmp_path / "second" / "run.json")
            record["replicas"][0].update(status="running", steps=0)
            (tmp_path / "second" / "run.json").write_text(__import__("json").dumps(record))
    assert (tmp_path / "first" / "HILLS").read_text() == before


BAD = [
    ("d: DISTANCX ATOMS=1,2", "DISTANCX"),
    ("d: DISTANCE ATOMS=1,9", "1 to 3"),
    ("RESTART\nx: DISTANCE ATOMS=1,2\nMETAD ARG=x SIGMA=0.1 HEIGHT=1 PACE=5 FILE=HILLS", "HILLS"),
    ("PRINT ARG=nothing FILE=COLVAR", "nothing"),
    ("PRINT FILE=elsewhere/COLVAR", "name a file without a folder"),
]


@pytest.mark.parametrize("bias", ["native", pytest.param("plumed", marks=kernel)])
@pytest.mark.parametrize(("script", "said"), BAD)
def test_wrong_input_is_refused_before_anything_is_written(tmp_path, potential, bias, script, said) -> None:
    other, folder = tmp_path / "other", tmp_path / "run"
    other.mkdir()
    (other / "HILLS").write_text("#! FIELDS time d1 d2 sigma_d1 sigma_d2 height biasf\n 0.1 0.1 0.1 0.1 0.1 1 1\n")
    with pytest.raises(FfptError, match=said) as caught:
        _run(potential, folder, script, bias=bias, inputs_from=other)
    assert "\n" not in str(caught.value)
    assert str(tmp_path.parent) not in str(caught.value)
    assert [path.name for path in folder.glob("*") if path.name != ".lock"] == []


@kernel
def test_an_undefined_variable_is_refused_at_the_start(tmp_path, potential) -> None:
    script = "t: TORSION ATOMS=2,1,2,3\nRESTRAINT ARG=t AT=1 KAPPA=1"
    with pytest.raises(FfptError, match="a CV is undefined there"):
        _run(potential, tmp_path / "run", script, bias="plumed")


@pytest.mark.parametrize(("engine", "bias"), WAYS)
def test_a_teacher_is_biased(tmp_path, engine, bias) -> None:
    """The energy in the table is that of the teacher alone, though it and the bias are forces of one System."""
    water = load_teacher("H2O")
    script = "d: DISTANCE ATOMS=1,2\nRESTRAINT ARG=d AT=0.12 KAPPA=500000\nPRINT ARG=d STRIDE=5 FILE=COLVAR"
    result = _run(water, tmp_path, script, water.atoms, engine=engine, bias=bias, backend="auto", log_interval=2.0)
    assert [outcome.status for outcome in result.outcomes] == ["finished"]
    frames = mdtraj.load(tmp_path / "trajectory-0.dcd", top=tmp_path / "topology.pdb").xyz
    table = np.loadtxt(tmp_path / "state-0.csv", delimiter=",")
    energies, _ = water.energies_and_forces(NANOMETRE * frames.astype(float))
    np.testing.assert_allclose(table[:, 2] * KJ_PER_MOL, energies, atol=1e-4)
    assert np.linalg.norm(frames[:, 0] - frames[:, 1], axis=1).max() > 0.105  # the bond is pulled


def test_half_a_line_of_hills_is_refused(tmp_path, potential) -> None:
    (tmp_path / "HILLS").write_text("#! FIELDS time d1 d2 sigma_d1 sigma_d2 height biasf\n 0.1 0.1 0.1 0.1 0.1 1")
    with pytest.raises(FfptError, match=r"the last line of .*HILLS is not complete"):
        _run(potential, tmp_path / "run", "RESTART\n" + SCRIPT, inputs_from=tmp_path)


def test_an_element_that_the_potential_lacks_is_refused(tmp_path, potential) -> None:
    with pytest.raises(FfptError, match="does not know N"):
        _run(potential, tmp_path / "run", atoms=Atoms("NHH", WATER.positions))


def test_another_run_is_not_continued(tmp_path, potential) -> None:
    _run(potential, tmp_path, length=0.02)
    with pytest.raises(FfptError, match="another bias"):
        _run(potential, tmp_path, SCRIPT.replace("HEIGHT=1", "HEIGHT=2"), length=0.02)
    with pytest.raises(FfptError, match=r"another bias .*now none"):
        run_md(potential, topology_of(WATER), tmp_path, dataclasses.replace(SHORT, length=0.02), structure=WATER)
    with pytest.raises(FfptError, match="temperature 300"):
        _run(potential, tmp_path, length=0.02, temperature=310)


def test_what_there_is_not(tmp_path, potential, monkeypatch) -> None:
    for changes, said in (
        ({"bias": "gromacs"}, "there are auto, plumed, native, openmm-plumed"),
        ({"engine": "lammps"}, "there are openmm, ase"),
        ({"replicas": 2}, "one trajectory"),
        ({"engine": "ase", "bias": "native"}, "ASE runs PLUMED's kernel only"),
    ):
        with pytest.raises(FfptError, match=said):
            _run(potential, tmp_path / "run", **changes)
    monkeypatch.setenv("PLUMED_KERNEL", str(tmp_path / "none.so"))
    assert biases.choose_bias("auto") == "native"
    for changes in ({"bias": "plumed"}, {"engine": "ase", "bias": "auto"}):
        with pytest.raises(FfptError, match="PLUMED_KERNEL points at"):
            _run(potential, tmp_path / "run", **changes)


def test_atoms_that_collide_end_a_run(tmp_path, potential) -> None:
    script = "d: DISTANCE ATOMS=1,2\nRESTRAINT ARG=d AT=0.0 KAPPA=200000\nPRINT ARG=d FILE=COLVAR"
    result = _run(potential, tmp_path, script)
    outcome = result.outcomes[0]
    assert (outcome.status, outcome.steps % 10) == ("failed", 0)
    assert "are 0." in outcome.reason
    frame = ase.io.read(tmp_path / "failure-0.xyz")
    assert frame.get_distance(0, 1) < 0.49
    assert read_table(tmp_path / "COLVAR")["time"][-1] == pytest.approx(outcome.time_ps, abs=2.1e-4)


def test_species_that_a_reaction_cannot_make_end_a_run(tmp_path, potential) -> None:
    """O-O pulled apart in HO2: OH + O is not of reaction 9."""
    atoms = Atoms("OOH", [[0, 0, 0], [1.3, 0, 0], [-0.3, 0.92, 0]])
    script = (
        "d: DISTANCE ATOMS=1,2\nh: DISTANCE ATOMS=1,3\nRESTRAINT ARG=d,h AT=0.3,0.097 KAPPA=20000,100000\n"
        "PRINT ARG=d,h FILE=COLVAR"
    )
    guard = SpeciesCriterion.from_reaction(reaction(9))
    result = run_metad(potential, script, atoms, tmp_path, SHORT, bias="native", guard=guard)
    assert result.outcomes[0].reason == "species O + OH, none of H + O2, HO2"


def test_files_of_an_input(tmp_path) -> None:
    for name in ("ref.pdb", "grid", "HILLS", "COLVAR"):
        (tmp_path / name).write_text("#\n")
    script = (
        "r: RMSD REFERENCE=ref.pdb\nEXTERNAL ARG=r FILE=grid LABEL=e\n"
        "METAD ARG=r SIGMA=1 HEIGHT=1 PACE=1 GRID_WFILE=g.dat\nPRINT ARG=r FILE=COLVAR"
    )
    outputs = PlumedInput.of(script).outputs
    assert outputs.appended == ("HILLS", "COLVAR")
    assert outputs.rewritten == ("g.dat",)
    assert sorted(PlumedInput.of(script).inputs(tmp_path)) == ["grid", "ref.pdb"]
    assert sorted(PlumedInput.of("RESTART\n" + script).inputs(tmp_path)) == ["HILLS", "grid", "ref.pdb"]


def test_command(tmp_path, potential, monkeypatch) -> None:
    import typer

    from ffpt_plumed.cli import metad

    monkeypatch.chdir(tmp_path)
    potential.save("m.pt")
    Path("plumed.dat").write_text(SCRIPT)
    ase.io.write("start.xyz", WATER)
    app = typer.Typer()
    app.command()(metad.metad)
    arguments = ["m.pt", "--input", "plumed.dat", "--structure", "start.xyz", "--bias", "native",
                 "--length", "0.01", "-o", "run"]  # fmt: skip
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    assert len(read_table("run/HILLS")) == 2
    with pytest.raises(FfptError, match="--reaction NUMBER, or --input FILE"):
        CliRunner().invoke(app, ["m.pt"], catch_exceptions=False)
    with pytest.raises(FfptError, match="O O H in this order"):
        CliRunner().invoke(app, ["m.pt", "--reaction", "9", "--structure", "start.xyz"], catch_exceptions=False)
    ase.io.write("ho2.xyz", Atoms("OOH", [[0, 0, 0], [1.32, 0, 0], [-0.26, 0.94, 0]]))
    arguments = ["m.pt", "--reaction", "9", "--structure", "ho2.xyz", "--length", "0.01", "--bias", "native"]
    assert CliRunner().invoke(app, arguments, catch_exceptions=False).exit_code == 0
    assert "Reaction 9" in Path("reaction-9/plumed.dat").read_text()
    assert {"cv1", "cv2"} < set(read_table("reaction-9/COLVAR").fields)


def test_any_potential_is_biased_and_continues_exactly(tmp_path) -> None:
    """xTB along reaction 9, whole and in two parts: the same hills, variables, energies and frames."""
    pytest.importorskip("tblite")
    of_reaction = reaction("9")
    text = inputs.plumed_input(of_reaction, inputs.MetadynamicsSettings(pace=10, stride=5))
    start = starting_structure(of_reaction)
    settings = dataclasses.replace(
        METAD_SETTINGS, length=0.008, interval=1.0, log_interval=1.0, checkpoint_interval=0.004, platform="Reference"
    )

    def run(name: str, length: float) -> Path:
        changed = dataclasses.replace(settings, length=length)
        run_metad("tblite:GFN2-xTB?multiplicity=2", text, start, tmp_path / name, changed, bias="native")
        return tmp_path / name

    whole, broken = run("whole", 0.008), run("broken", 0.004)
    assert run("broken", 0.008) == broken
    for name in ("HILLS", "COLVAR"):
        one, other = read_table(whole / name), read_table(broken / name)
        assert len(one) > 2
        np.testing.assert_array_equal(one.values, other.values)
    assert (whole / "state-0.csv").read_text() == (broken / "state-0.csv").read_text()
    frames = [mdtraj.load(folder / "trajectory-0.dcd", top=folder / "topology.pdb").xyz for folder in (whole, broken)]
    np.testing.assert_array_equal(*frames)


def test_a_reaction_gives_its_multiplicity_to_a_potential_that_counts_electrons(tmp_path, monkeypatch) -> None:
    """HO2 has 17 electrons: a doublet."""
    pytest.importorskip("tblite")
    monkeypatch.chdir(tmp_path)
    command = ["metad", "tblite:GFN2-xTB", "--reaction", "9", "--length", "0.001", "--bias", "native"]
    assert main([*command, "-o", "run"]) == 0
    assert read_json("run/run.json")["potential"]["source"] == "tblite:GFN2-xTB?multiplicity=2"
    assert main([*command[:1], "tblite:GFN2-xTB?multiplicity=1", *command[2:], "-o", "other"]) == 2
