"""What programs say of the whole source: form, types, what may import what. Each is one run of its program."""

from __future__ import annotations

import subprocess
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAMS = Path(sysconfig.get_path("scripts"))


@pytest.mark.parametrize("command", ["ruff check", "ruff format --check", "lint-imports --no-logo", "mypy"])
def test_the_source_passes(command: str) -> None:
    """Settings are in pyproject.toml; the output of a program that finds something is the message of the failure."""
    program, *arguments = command.split()
    done = subprocess.run([PROGRAMS / program, *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
