"""Dynamics of what is not ours: xTB by tblite, calculators that fail, potentials without bonds in a topology."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase.build import molecule
from ase.calculators.calculator import CalculationFailed, Calculator, all_changes
from typer.testing import CliRunner

from ffpt_core import FfptError, open_potential
from ffpt_core.base.files import read_json
from ffpt_core.base.units import KJ_PER_MOL
from ffpt_core.cli.main import make_app
from ffpt_openmm import MDSettings, run_md
from ffpt_openmm.forces.systems import topology_of
from ffpt_openmm.md import moving
from ffpt_openmm.md.replicas import Ensemble

WATER = molecule("H2O")
SHORT = MDSettings(
    temperature=300, length=0.01, replicas=2, interval=1, log_interval=1, checkpoint_interval=0.002, minimize=False,
    platform="Reference",
)  # fmt: skip
GOES_WRONG_AT = 1.02
"""Angstrom: where O and the first H are farther apart, Fragile gives up."""


class Fragile(Calculator):
    """Springs, and a calculation that does not converge for a long bond."""

    implemented_properties = ["energy", "forces"]

    def __init__(self, limit: float = GOES_WRONG_AT) -> None:
        super().__init__()
        self.limit = limit

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        forces, energy = np.zeros((3, 3)), 0.0
        for hydrogen in (1, 2):
            vector = self.atoms.positions[hydrogen] - self.atoms.positions[0]
            length = np.linalg.norm(vector)
            if hydrogen == 1 and length > self.limit:
                raise CalculationFailed("the SCF does not converge")
            energy += 15.0 * (length - 0.97) ** 2
            pull = -30.0 * (length - 0.97) * vector / length
            forces[hydrogen] += pull
            forces[0] -= pull
        self.results = {"energy": energy, "forces": forces}


def _xtb(folder, jobs=1, **changes):
    settings = dataclasses.replace(SHORT, **changes)
    return run_md("tblite:GFN2-xTB", topology_of(WATER, [(0, 1), (0, 2)]), folder, settings, structure=WATER, jobs=jobs)


def _contents(folder) -> dict[str, bytes]:
    names = [path for path in folder.iterdir() if path.name.startswith(("trajectory-", "state-", "failure-"))]
    return {path.name: path.read_bytes()[276 if path.suffix == ".dcd" else 0 :] for path in names}


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory) -> Path:
    pytest.importorskip("tblite")
    folder = tmp_path_factory.mktemp("xtb") / "run"
    assert _xtb(folder).failed == 0
    return folder


def test_energies_in_the_table_are_those_of_xtb(unbroken) -> None:
    table = np.loadtxt(unbroken / "state-1.csv", delimiter=",")
    assert len(table) == 10
    record = read_json(unbroken / "run.json")
    assert record["groups"] == [[0], [1]]  # nothing is gained by sharing
    assert (record["potential"]["level"], record["settings"]["backend"]) == ("GFN2-xTB", "pythonforce")
    energy = open_potential("tblite:GFN2-xTB").energy_and_forces(WATER)[0]
    assert np.abs(table[:, 2] * KJ_PER_MOL - energy).max() < 0.3
    assert np.ptp(table[:, 4]) < 30


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_killed_run_continues_exactly(tmp_path, unbroken, jobs) -> None:
    tests = Path(__file__).parents[1]
    environment = {
        **os.environ, "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(map(str, [Path(__file__).parent, tests, tests.parent])),
    }  # fmt: skip
    script = f"import test_md_of_any as t; t._xtb({str(tmp_path / 'run')!r}, jobs={jobs})"
    process = subprocess.Popen([sys.executable, "-c", script], env=environment)
    patience = time.monotonic() + 300
    while not (tmp_path / "run" / "checkpoint-0.npz").is_file():
        assert process.poll() is None
        assert time.monotonic() < patience
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert _contents(tmp_path / "run") != _contents(unbroken)
    while True:
        try:
            _xtb(tmp_path / "run")
            break
        except FfptError as error:  # the workers of a killed parent end by themselves
            if "being run by another process" not in str(error) or time.monotonic() > patience:
                raise
            time.sleep(0.05)
    assert _contents(tmp_path / "run") == _contents(unbroken)


def test_a_row_of_the_table_costs_no_evaluation(tmp_path, monkeypatch) -> None:
    """A step evaluates once, and the first one once more for where it begins."""
    counted = []

    class Counting(moving.PotentialFunction):
        def _new(self, positions, box):
            counted.append(1)
            return super()._new(positions, box)

    monkeypatch.setattr(moving, "PotentialFunction", Counting)
    potential = open_potential(Fragile(limit=9.0))
    settings = dataclasses.replace(SHORT, backend="pythonforce", replicas=1)
    ensemble = Ensemble(potential, topology_of(WATER), settings, [WATER], [0])
    ensemble.begin()
    for _ in range(10):
        ensemble.advance(1)
        ensemble.potential_energies()
        ensemble.potential_energies()
    assert len(counted) <= 11


def test_a_calculation_that_fails_ends_its_replica(tmp_path, monkeypatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parent)
    name = "ase:test_md_of_any.Fragile"
    settings = dataclasses.replace(SHORT, length=0.05, replicas=4, temperature=400)
    result = run_md(name, topology_of(WATER, [(0, 1), (0, 2)]), tmp_path / "run", settings, structure=WATER, jobs=1)
    failed = [outcome for outcome in result.outcomes if outcome.status == "failed"]
    assert 0 < len(failed) < 4
    assert {outcome.reason for outcome in failed} == {"Fragile failed: the SCF does not converge"}
    assert all(outcome.steps == 100 for outcome in result.outcomes if outcome.status == "finished")
    again = run_md(name, topology_of(WATER, [(0, 1), (0, 2)]), tmp_path / "run", settings, structure=WATER, jobs=1)
    assert again == result


def test_what_cannot_be_done_is_said_before_the_first_step(tmp_path) -> None:
    with pytest.raises(FfptError, match="name the calculator"):
        run_md(Fragile(), topology_of(WATER), tmp_path / "a", SHORT, structure=WATER, jobs=1)
    broken = open_potential("ase:emt")  # knows metals, and H and O among a few others
    with pytest.raises(FfptError):
        run_md(broken, topology_of(molecule("SiH4")), tmp_path / "b", SHORT, structure=molecule("SiH4"), jobs=1)
    radical = molecule("OH")
    with pytest.raises(FfptError, match="cannot have multiplicity 1"):
        run_md("tblite:GFN2-xTB", topology_of(radical), tmp_path / "c", SHORT, structure=radical, jobs=1)
    assert not list(tmp_path.glob("*/trajectory-*"))


def test_the_command_needs_a_structure_only(tmp_path) -> None:
    pytest.importorskip("tblite")
    ase.io.write(tmp_path / "water.xyz", WATER)
    arguments = [
        "md",
        "tblite:GFN2-xTB",
        "--structure",
        tmp_path / "water.xyz",
        "-o",
        tmp_path / "run",
        "--length",
        0.005,
    ]
    done = CliRunner().invoke(make_app(), [*map(str, arguments), "--jobs", "1"])
    assert done.exit_code == 0, done.output
    record = read_json(tmp_path / "run" / "run.json")
    assert record["replicas"][0]["status"] == "finished"
    assert "on the potential" in record["minimized"]
    assert (tmp_path / "run" / "topology.pdb").read_text().count("CONECT") > 0
