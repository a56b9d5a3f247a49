"""PLUMED's kernel is found where it should be, and its absence is explained."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ffpt_core import FfptError
from ffpt_plumed import find_kernel


def test_variable_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = tmp_path / "libplumedKernel.so"
    library.touch()
    monkeypatch.setenv("PLUMED_KERNEL", str(library))
    assert find_kernel() == library


def test_variable_must_be_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLUMED_KERNEL", str(tmp_path / "nowhere.so"))
    with pytest.raises(FfptError, match=r"PLUMED_KERNEL points at .*nowhere.so"):
        find_kernel()


@pytest.mark.skipif(sys.platform != "linux", reason="the library has another name elsewhere")
def test_conda_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = tmp_path / "lib" / "libplumedKernel.so"
    library.parent.mkdir()
    library.touch()
    monkeypatch.delenv("PLUMED_KERNEL", raising=False)
    monkeypatch.setenv("CONDA_PREFIX", str(tmp_path))
    assert find_kernel() == library


def test_absence_says_how_to_get_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PLUMED_KERNEL", raising=False)
    monkeypatch.delenv("CONDA_PREFIX", raising=False)
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setattr("ctypes.util.find_library", lambda name: None)
    with pytest.raises(FfptError, match="conda install"):
        find_kernel()
