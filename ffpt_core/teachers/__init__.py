"""Teachers: cheap classical force fields of one molecule that label rattled frames.

    teacher = ffpt_core.teachers.aspirin()
    energies, forces = teacher.energies_and_forces(positions)   # eV, eV/Angstrom

GAFF-2.11 teachers of other molecules: ``ffpt_core.teachers.gaff.build.gaff_teacher``. Water, one molecule or a periodic
box: ``ffpt_core.teachers.water``.
"""

from __future__ import annotations

from ffpt_core.teachers.builtin import (
    BUILT_IN,
    TEACHERS,
    aspirin,
    built_in,
    built_in_names,
    load_teacher,
    load_teachers,
)
from ffpt_core.teachers.systems import TERMS
from ffpt_core.teachers.teacher import Teacher

__all__ = [
    "BUILT_IN",
    "TEACHERS",
    "TERMS",
    "Teacher",
    "aspirin",
    "built_in",
    "built_in_names",
    "load_teacher",
    "load_teachers",
]
