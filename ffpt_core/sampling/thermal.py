"""A short Langevin run of a teacher: frames of thermal motion to compare rattled ones with."""

from __future__ import annotations

import numpy as np

from ffpt_core.base.errors import FfptError
from ffpt_core.base.units import NANOMETRE
from ffpt_core.datasets import Dataset
from ffpt_core.teachers.teacher import Teacher, import_openmm

TIME_STEP = 0.5
"""fs."""

FRICTION = 2.0
"""1/ps."""


def teacher_frames(
    teacher: Teacher, n_frames: int = 1000, temperature: float = 500.0, stride: int = 40, seed: int = 0
) -> Dataset:
    """Frames of Langevin dynamics (0.5 fs, 2/ps) of a teacher, started from its relaxed structure.

    Two relaxation times of the friction (1 ps) are thrown away first; the frames carry the teacher's labels.

    Args:
        teacher: the force field.
        n_frames: frames to keep.
        temperature: K.
        stride: steps between two frames; 40 are 20 fs.
        seed: of the velocities and the noise.

    Raises:
        FfptError: fewer than one frame, or a temperature that is not positive.
    """
    if n_frames < 1 or stride < 1:
        raise FfptError(f"a run of {n_frames} frames, {stride} steps apart, has no frames")
    if not temperature > 0:
        raise FfptError(f"the temperature must be positive, not {temperature} K")
    mm = import_openmm()
    integrator = mm.LangevinMiddleIntegrator(temperature, FRICTION, TIME_STEP / 1000)
    # OpenMM takes seed 0 as "pick one by yourself".
    integrator.setRandomNumberSeed(seed % (2**31 - 1) + 1)
    context = mm.Context(teacher.system, integrator, mm.Platform.getPlatformByName("Reference"))
    context.setPositions(teacher.atoms.positions / NANOMETRE)
    context.setVelocitiesToTemperature(temperature, seed % (2**31 - 1) + 1)
    integrator.step(round(1000 * 2 / (FRICTION * TIME_STEP)))
    positions = np.empty((n_frames, len(teacher.atoms), 3))
    for frame in positions:
        integrator.step(stride)
        frame[:] = context.getState(positions=True).getPositions(asNumpy=True)._value
    positions *= NANOMETRE
    energies, forces = teacher.energies_and_forces(positions)
    return Dataset.from_arrays(teacher.numbers, positions, energies, forces, level=teacher.level)
