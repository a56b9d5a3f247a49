"""Documents cannot rot: their Python runs, their commands are ones that ffpt takes, what they name is there."""

from __future__ import annotations

import configparser
import contextlib
import re
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
import yaml
from documents import (
    DOCUMENTS,
    ROOT,
    SOURCES,
    Block,
    all_options,
    blocks,
    check_command,
    check_mention,
    check_name,
    examples,
    mentions,
    names,
    paths,
    shell_lines,
)
from liquid_examples import water
from openmm import LangevinMiddleIntegrator, app, unit
from openmm_models import random_potential

import ffpt_core
from ffpt_core.base.errors import FfptError
from ffpt_core.export.torchscript import export_torchscript
from ffpt_core.teachers import Teacher
from ffpt_core.training.configuration import make_configuration
from ffpt_openmm import create_system
from ffpt_plumed import find_kernel
from ffpt_plumed.native import add_bias

BLOCKS = [block for document in DOCUMENTS for block in blocks(document)]
PYTHON = [block for block in BLOCKS if block.language == "python" and not block.not_run]
SHELL = [block for block in BLOCKS if block.language == "sh" and not block.not_run]
BENCHMARK = (ROOT / "benchmarks" / "speed.py").read_text()
SCRIPT = "d: DISTANCE ATOMS=1,2\nMETAD ARG=d SIGMA=0.01 HEIGHT=0.5 PACE=10 BIASFACTOR=5 FILE=HILLS.run\n"
HILLS = """#! FIELDS time cv1 cv2 sigma_cv1 sigma_cv2 height biasf
#! SET multivariate false
#! SET kerneltype stretched-gaussian
 1  -0.5  0.0  0.2  0.2  9.0  -1
 2   0.5  0.0  0.2  0.2  8.0  -1
"""


def kernel_is_missing() -> bool:
    try:
        find_kernel()
    except FfptError:
        return True
    return False


class Brief(app.Simulation):
    """A Simulation for which twenty steps are enough."""

    def step(self, steps: int) -> None:
        super().step(min(steps, 20))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, teacher: Teacher) -> Path:
    """A folder with the files that examples open: small ones of the same kind."""
    folder = tmp_path_factory.mktemp("files")
    potential = random_potential(scale=0.01, n_features=8, n_layers=1)
    for name in ("aspirin.pt", "h2.pt", "finetuned/potential.pt"):
        potential.save(folder / name)
    teacher.save(folder / "teacher")
    export_torchscript(potential, teacher.atoms.numbers, folder / "force.pt")
    (folder / "plumed.dat").write_text(SCRIPT)
    (folder / "HILLS").write_text(HILLS)
    water(n_frames=60, interval=1.0).save_hdf5(str(folder / "nve.h5"))
    with contextlib.chdir(folder):
        system = create_system(potential, teacher.topology)
        bias = add_bias(system, SCRIPT, temperature=300)
        simulation = app.Simulation(teacher.topology, system, langevin())
        simulation.context.setPositions(teacher.atoms.positions / 10)
        simulation.reporters.append(bias.reporter())
        simulation.step(20)
        simulation.saveCheckpoint("run.chk")
    return folder


def langevin() -> LangevinMiddleIntegrator:
    return LangevinMiddleIntegrator(300, 1 / unit.picosecond, 0.0005)


@pytest.fixture
def torn(potential: ffpt_core.Potential) -> app.Simulation:
    """HO2 whose atoms are far apart."""
    topology = app.Topology()
    residue = topology.addResidue("HO2", topology.addChain())
    for symbol in "HOO":
        topology.addAtom(symbol, app.Element.getBySymbol(symbol), residue)
    simulation = Brief(topology, create_system(potential, topology), langevin())
    simulation.context.setPositions(np.diag([0.0, 0.5, 1.0]))
    return simulation


@pytest.fixture
def around(files: Path, teacher: Teacher, torn: app.Simulation, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What a reader has when an example begins: aspirin, its potential, a script of PLUMED, and HO2."""
    monkeypatch.chdir(files)
    monkeypatch.setattr(app, "Simulation", Brief)
    pdb = app.PDBFile("teacher/topology.pdb")
    potential = ffpt_core.load("finetuned/potential.pt", device="cpu")
    return {
        "pdb": pdb,
        "topology": pdb.topology,
        "positions": pdb.positions,
        "potential": potential,
        "system": create_system(potential, pdb.topology),
        "mm_system": teacher.system,
        "atoms": ase.io.read("teacher/relaxed.xyz"),
        "integrator": langevin(),
        "script": SCRIPT,
        "simulation": torn,
    }


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_python_runs(block: Block, around: dict[str, Any]) -> None:
    """Each block by itself, among the names and files that a reader has before it."""
    if kernel_is_missing() and re.search(r"PlumedForce|ase\.calculators\.plumed", block.text):
        pytest.skip("no PLUMED kernel")
    exec(compile(block.text, str(block), "exec"), around)


@pytest.mark.parametrize("block", SHELL, ids=str)
def test_shell_commands_are_taken(block: Block) -> None:
    for program, *words in shell_lines(block.text):
        if program == "ffpt":
            check_command(words)
        elif program == "make":
            targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
            assert set(words) <= set(targets)
        elif (program, *words[:2]) == ("python", "-m", "benchmarks.speed"):
            assert all(f'"{word}"' in BENCHMARK for word in words if word.startswith("--"))
        elif (program, words[0]) == ("python", "-c"):
            compile(words[1], str(block), "exec")
        elif (program, words[0]) == ("pip", "install"):
            setup = configparser.ConfigParser()
            setup.read(ROOT / "setup.cfg")
            extras = re.findall(r"[\w-]+", words[1].removeprefix("."))
            assert all(extra in setup["options.extras_require"] for extra in extras)
        else:
            pytest.fail(f"{block}: what is {program}? Say above the block why it is not checked: <!-- not run: ... -->")


def test_every_block_says_what_it_is() -> None:
    """Nothing escapes: a block is Python, a shell's, or YAML of a training."""
    assert {block.language for block in BLOCKS} <= {"python", "sh", "yaml"}
    assert PYTHON
    assert SHELL


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "yaml"], ids=str)
def test_yaml_is_a_training(block: Block) -> None:
    make_configuration(yaml.safe_load(block.text))


@pytest.mark.parametrize("path", [*DOCUMENTS, *SOURCES], ids=str)
def test_what_a_text_names_is_there(path: Path) -> None:
    """Commands with their options, modules and functions of ours, links and paths."""
    text = (ROOT / path).read_text()
    for words in mentions(text):
        check_mention(words)
    for name in names(text):
        check_name(name)
    if path.suffix == ".md":
        for option in re.findall(r"`(--[a-z][a-z-]+)", text):
            assert option in all_options() or f'"{option}"' in BENCHMARK, f"nothing has the option {option}"
        for place in paths(text):
            assert (ROOT / place).exists() or (ROOT / path.parent / place).exists(), f"there is no {place}"
    else:
        for words in examples(text):
            check_command(words)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["analyse", "rdf", "run/"], "no verb 'analyse'"),
        (["analyze", "rdff", "run/"], "no verb 'rdff'"),
        (["analyze", "rdf", "run/", "--bin-widht", "0.1"], "bin-widht"),
        (["rattle", "teacher/"], "output is missing"),
        (["report", "a", "b"], "is too much"),
    ],
)
def test_a_command_that_ffpt_does_not_take_is_found(words: list[str], said: str) -> None:
    with pytest.raises(Exception, match=said):
        check_command(words)


def test_a_wrong_mention_is_found() -> None:
    text = "see `ffpt analyze\nrdf --no-such`, ``ffpt data list``, ffpt_core.fused, [a](docs/nowhere.md), `docs/x.md`"
    wrong, right = mentions(text)
    with pytest.raises(AssertionError, match="no option --no-such"):
        check_mention(wrong)
    check_mention(right)
    assert names(text) == {"ffpt_core.fused"}
    with pytest.raises(AssertionError, match=re.escape("there is no ffpt_core.fused")):
        check_name("ffpt_core.fused")
    assert paths(text) == {"docs/nowhere.md", "docs/x.md"}
