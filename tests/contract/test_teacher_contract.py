"""Every teacher by name: forces are the gradient of the energy, its geometry is relaxed, a folder keeps it whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ffpt_core.teachers import Teacher, built_in
from ffpt_core.teachers.builtin import built_in_names


@pytest.mark.parametrize("name", built_in_names())
def test_a_teacher_is_whole(name: str, tmp_path: Path) -> None:
    teacher = built_in(name)
    assert teacher.provenance["name"] == name
    assert teacher.level

    relaxed = teacher.atoms.positions
    moved = relaxed + np.random.default_rng(0).normal(scale=0.05, size=relaxed.shape)
    step = 1e-4 * np.eye(relaxed.size)[:6].reshape(-1, *relaxed.shape)
    _, forces = teacher.energies_and_forces(moved[None])
    above, below = (teacher.energies_and_forces(moved + sign * step)[0] for sign in (1, -1))
    slopes = (above - below) / 2e-4
    assert forces[0].ravel()[: len(slopes)] == pytest.approx(-slopes, abs=1e-5 * max(1.0, np.abs(forces).max()))
    assert np.abs(teacher.energies_and_forces(relaxed[None])[1]).max() < 0.02  # eV/Angstrom

    teacher.save(tmp_path / "kept")
    again = Teacher.load(tmp_path / "kept").energies_and_forces(moved[None])
    assert again[0] == pytest.approx(teacher.energies_and_forces(moved[None])[0], abs=1e-12)
    assert again[1] == pytest.approx(forces, abs=1e-12)
