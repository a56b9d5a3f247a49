"""The scripts of examples/aspirin run, each as a user would start it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ffpt_core.export.torchscript import export_torchscript
from ffpt_openmm.forces import backends

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "aspirin"


@pytest.fixture(scope="module")
def files(tmp_path_factory, weak_potential, teacher) -> Path:
    """A folder as "make demo" leaves it, with a potential of random weights, and force.pt."""
    folder = tmp_path_factory.mktemp("examples")
    teacher.save(folder / "demo" / "teacher")
    weak_potential.save(folder / "demo" / "finetuned" / "potential.pt")
    export_torchscript(weak_potential, teacher.atoms.numbers, folder / "force.pt")
    return folder


def _start(files: Path, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, EXAMPLES / script, *arguments], cwd=files, env=environment, capture_output=True, text=True
    )


@pytest.mark.parametrize(
    ("script", "arguments", "said", "written"),
    [
        ("md_openmm.py", ("--length", "0.05"), ("physical ",), ("aspirin.dcd", "aspirin-failure.xyz")),
        ("md_torchforce.py", ("--length", "0.1"), ("open aspirin.dcd",), ("aspirin.dcd",)),
        ("md_ase.py", ("--length", "0.05"), ("physical", " A, "), ("aspirin.traj",)),
        ("mixed_system.py", ("--length", "0.01", "--box", "1.9"), ("21 atoms by",), ("aspirin-water.dcd",)),
    ],
)  # fmt: skip
def test_example(files, script, arguments, said, written) -> None:
    if script == "md_torchforce.py" and isinstance(backends.load_torchforce(), str):
        pytest.skip("openmmtorch does not load here")
    if script == "mixed_system.py":
        pytest.importorskip("openmmml")
    done = _start(files, script, *arguments)
    assert done.returncode == 0, done.stderr
    assert any(text in done.stdout for text in said), done.stdout
    # Random weights may collapse the molecule at once: then the frame that stopped the run is what there is.
    assert any((files / name).is_file() and (files / name).stat().st_size > 500 for name in written)


def test_plain_script_names_no_ffpt() -> None:
    code = (EXAMPLES / "md_torchforce.py").read_text().split('"""', 2)[2]
    assert "import ffpt" not in code
    assert "from ffpt" not in code


def test_examples_are_short() -> None:
    for script in EXAMPLES.glob("*.py"):
        assert len(script.read_text().splitlines()) < 60, script.name
