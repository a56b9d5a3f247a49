"""The scripts of examples/combustion run, each as a user would start it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from openmm_models import random_potential
from test_plumed_force import kernel

from ffpt_plumed.text.tables import read_table

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("script", "options"),
    [
        pytest.param("metad_openmm.py", ["--native"], id="native"),
        pytest.param("metad_openmm.py", [], id="plumed", marks=kernel),
        pytest.param("metad_ase.py", [], id="ase", marks=kernel),
    ],
)
def test_example(tmp_path, script, options) -> None:
    random_potential(scale=0.01, n_features=8, n_layers=1).save(tmp_path / "h2.pt")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [
        sys.executable,
        ROOT / "examples" / "combustion" / script,
        "--model",
        "h2.pt",
        "--length",
        "0.15",
        *options,
    ]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    hills, colvar = read_table(tmp_path / "HILLS"), read_table(tmp_path / "COLVAR")
    assert hills["time"].tolist() == pytest.approx([0.05, 0.1] if len(hills) == 2 else [0.05, 0.1, 0.15])
    assert len(colvar) in (75, 76)  # OpenMM computes the forces of the last step only if there is a next one
    assert colvar["cv1"].max() < 2
