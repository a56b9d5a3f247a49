"""Dynamics of a teacher as labelled frames, in segments that a killed run does not repeat.

For a teacher, whose dynamics cost next to nothing: other potentials are sampled by ffpt_openmm. A segment begins with
nothing but the positions and velocities that the one before ended with, in a Context of its own with noise of its own.
So a run that goes on from the last segment on disk gives what an unbroken run gives.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ffpt_core.base.errors import FfptError
from ffpt_core.base.runs import Parts
from ffpt_core.base.units import NANOMETRE, PICOSECOND
from ffpt_core.datasets import Dataset
from ffpt_core.structure.graph import molecules
from ffpt_core.structure.periodic import wrap_molecules
from ffpt_core.teachers.systems import import_openmm
from ffpt_core.teachers.teacher import Teacher

SEGMENT = 10.0
"""ps of a segment, or one frame where frames are farther apart: seconds of work."""


@dataclass(frozen=True)
class Dynamics:
    """Langevin dynamics (OpenMM's LangevinMiddleIntegrator).

    Args:
        temperature: K.
        friction: 1/ps.
        timestep: fs.

    Raises:
        FfptError: a value that is not positive.
    """

    temperature: float = 300.0
    friction: float = 2.0
    timestep: float = 1.0

    def __post_init__(self) -> None:
        for name in ("temperature", "friction", "timestep"):
            if not 0 < getattr(self, name) < np.inf:
                raise FfptError(f"the {name} must be positive, not {getattr(self, name)}")

    def steps(self, picoseconds: float, what: str) -> int:
        """Steps in a time; raises FfptError where they are not whole."""
        steps = PICOSECOND * picoseconds / self.timestep
        if steps < 0.999 or abs(steps - round(steps)) > 1e-6 * steps:
            raise FfptError(f"the {what} of {picoseconds:g} ps is not a whole number of {self.timestep:g} fs steps")
        return round(steps)


@dataclass(frozen=True)
class Segment:
    """Some frames in a row, and where they lead.

    Args:
        positions: (n_frames, n_atoms, 3) Angstrom; in a box, molecules whole and in it.
        energies: (n_frames,) eV.
        forces: (n_frames, n_atoms, 3) eV/Angstrom.
        end: (2, n_atoms, 3) positions (nm) and velocities (nm/ps) after the last frame.
    """

    positions: np.ndarray
    energies: np.ndarray
    forces: np.ndarray
    end: np.ndarray


class Trajectory:
    """A trajectory of a teacher, equilibrated first.

    Args:
        teacher: the force field; the trajectory starts at its structure, relaxed for 500 iterations.
        dynamics: temperature, friction, time step.
        n_frames: labelled frames, after the equilibration.
        interval: ps between frames.
        equilibration: ps before the first.
        seed: (n,) words: velocities and the noise of each segment.
        parts: where segments are kept; None: nowhere.
        name: the names of their parts begin with it.

    Raises:
        FfptError: fewer than one frame; times that are not whole numbers of steps.
    """

    def __init__(
        self,
        teacher: Teacher,
        dynamics: Dynamics,
        n_frames: int,
        interval: float,
        equilibration: float,
        seed: tuple[int, ...],
        parts: Parts | None,
        name: str,
    ) -> None:
        if n_frames < 1:
            raise FfptError(f"at least one {name} frame is needed, not {n_frames}")
        self.teacher, self.dynamics, self.n_frames = teacher, dynamics, n_frames
        self.stride = dynamics.steps(interval, "interval between frames")
        self.equilibration = dynamics.steps(equilibration, "equilibration") if equilibration else 0
        self.seed, self.parts, self.name = seed, parts, name
        self.per_segment = max(1, round(SEGMENT / interval))
        self._molecules = molecules(len(teacher.atoms), teacher.bonds)

    def run(self, advance: Callable[[float], None] = lambda frames: None) -> Dataset:
        """The labelled frames; segments on disk are not simulated again.

        Args:
            advance: told how many more frames there are.

        Raises:
            FfptError: a segment whose energy or forces are not finite; a disk that is full.
        """
        segments: list[Segment] = []
        for start in range(0, self.n_frames, self.per_segment):
            frames = min(self.per_segment, self.n_frames - start)
            part = f"{self.name}-{start:09d}"
            segment = self._read(part, frames)
            if segment is None:
                state = segments[-1].end if segments else self._equilibrated()
                segment = self._simulate(state, frames, len(segments) + 1)
                self._write(part, segment)
            segments.append(segment)
            advance(frames)
        return self._dataset(segments)

    def _dataset(self, segments: list[Segment]) -> Dataset:
        def joined(name: str) -> np.ndarray:
            return np.concatenate([getattr(segment, name) for segment in segments])

        n_atoms = len(self.teacher.atoms)
        box: dict[str, Any] = {}
        if self.teacher.periodic:
            box["cells"] = np.tile(self.teacher.atoms.cell.array, (self.n_frames, 1, 1))
            box["pbc"] = np.ones((self.n_frames, 3), dtype=bool)
        return Dataset(
            numbers=np.tile(self.teacher.numbers, self.n_frames),
            offsets=np.arange(self.n_frames + 1) * n_atoms,
            positions=joined("positions").reshape(-1, 3),
            energies=joined("energies"),
            forces=joined("forces").reshape(-1, 3),
            level=self.teacher.level,
            **box,
        )

    def _context(self, segment: int) -> Any:
        """A Context with the noise of a segment: 0 is the equilibration."""
        mm = import_openmm()
        integrator = mm.LangevinMiddleIntegrator(
            self.dynamics.temperature, self.dynamics.friction, self.dynamics.timestep / PICOSECOND
        )
        # OpenMM takes seed 0 as "choose one".
        words = np.random.SeedSequence(entropy=self.seed, spawn_key=(segment,)).generate_state(1)
        integrator.setRandomNumberSeed(int(words[0] % (2**31 - 2)) + 1)
        # Forces in float32 on the CPU platform are good for thousands of times more steps, and four times faster;
        # labels are calculated apart. One thread, and the same sums every time.
        platform = mm.Platform.getPlatformByName("CPU" if self.teacher.periodic else "Reference")
        properties = {"Threads": "1", "DeterministicForces": "true"} if self.teacher.periodic else {}
        return mm.Context(self.teacher.system, integrator, platform, properties)

    def _equilibrated(self) -> np.ndarray:
        """(2, n_atoms, 3) positions and velocities after the equilibration, kept on disk too."""
        part = f"{self.name}-equilibrated"
        segment = self._read(part, 0)
        if segment is not None:
            return segment.end
        mm, context = import_openmm(), self._context(0)
        context.setPositions(self.teacher.atoms.positions / NANOMETRE)
        mm.LocalEnergyMinimizer.minimize(context, 10.0, 500)
        context.setVelocitiesToTemperature(self.dynamics.temperature, context.getIntegrator().getRandomNumberSeed())
        context.getIntegrator().step(self.equilibration)
        end = self._state(context)
        nothing = np.empty((0, *end.shape[1:]))
        self._write(part, Segment(nothing, np.empty(0), nothing, end))
        return end

    def _simulate(self, state: np.ndarray, n_frames: int, number: int) -> Segment:
        context = self._context(number)
        context.setPositions(state[0])
        context.setVelocities(state[1])
        positions = np.empty((n_frames, len(self.teacher.atoms), 3))
        for frame in positions:
            context.getIntegrator().step(self.stride)
            state = self._state(context)
            frame[:] = state[0] * NANOMETRE
        energies, forces = self.teacher.energies_and_forces(positions)
        return Segment(positions, energies, forces, state)

    def _state(self, context: Any) -> np.ndarray:
        """(2, n_atoms, 3) positions (nm), in a box wrapped as molecules, and velocities (nm/ps)."""
        state = context.getState(positions=True, velocities=True)
        positions = state.getPositions(asNumpy=True)._value
        if self.teacher.periodic:
            positions = wrap_molecules(positions, self.teacher.atoms.cell.array / NANOMETRE, self._molecules)
        return np.stack([positions, state.getVelocities(asNumpy=True)._value])

    def _write(self, part: str, segment: Segment) -> None:
        if self.parts is not None:
            self.parts.write(part, **vars(segment))

    def _read(self, part: str, n_frames: int) -> Segment | None:
        """A finished segment of so many frames, or None."""
        saved = None if self.parts is None else self.parts.read(part, "positions", "energies", "forces", "end")
        segment = None if saved is None else Segment(**saved)
        return segment if segment is not None and len(segment.positions) == n_frames else None


def teacher_frames(
    teacher: Teacher, n_frames: int = 1000, temperature: float = 500.0, stride: int = 40, seed: int = 0
) -> Dataset:
    """Frames of thermal motion of a teacher: 0.5 fs, 2/ps, after two relaxation times of the friction (1 ps).

    Args:
        teacher: the force field.
        n_frames: frames to keep; more with the same seed begin with the same.
        temperature: K.
        stride: steps between two frames; 40 are 20 fs.
        seed: of the velocities and the noise.

    Raises:
        FfptError: fewer than one frame or step between two, or a temperature that is not positive.
    """
    dynamics = Dynamics(temperature, friction=2.0, timestep=0.5)
    interval = stride * dynamics.timestep / PICOSECOND
    return Trajectory(teacher, dynamics, n_frames, interval, 2 / dynamics.friction, (seed,), None, "thermal").run()
