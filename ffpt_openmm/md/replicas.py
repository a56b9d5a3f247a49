"""Replicas that advance together: dynamics of many copies of one system that do not see each other."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from ase import Atoms

from ffpt_core.base.units import BOLTZMANN_KJ_PER_MOL, NANOMETRE, PICOSECOND
from ffpt_core.potentials.interface import Potential
from ffpt_openmm.md.moving import MovedSystem
from ffpt_openmm.md.settings import MDSettings

if TYPE_CHECKING:
    import openmm
    from openmm.app import Topology


class Replicas(ABC):
    """Copies of one system that advance together, by whatever engine.

    positions() and kinetic_energies() are those about the centre of mass of each copy, as if it had been held all the
    time. Units are OpenMM's. Arrays have a row for each replica.

    Args:
        potential: what moves the atoms.
        topology: the atoms of one copy.
        settings: of the dynamics; backend and platform resolved.
        starts: the geometry (Angstrom) that each replica of the run starts from, or one for all, with their box.
        replicas: which replicas of the run these are: they decide on velocities and noise.

    Raises:
        FfptError: what the potential cannot do, such as an element that it does not know.
    """

    def __init__(
        self,
        potential: Potential,
        topology: Topology,
        settings: MDSettings,
        starts: Sequence[Atoms],
        replicas: Sequence[int],
    ) -> None:
        self.replicas = tuple(replicas)
        self._shared = (potential, topology, settings, starts)
        self._settings = settings
        self._masses = np.array([atom.element.mass._value for atom in topology.atoms()])
        mine = [starts[0 if len(starts) == 1 else replica] for replica in self.replicas]
        self._start = np.array([atoms.positions for atoms in mine]) / NANOMETRE
        self._centre = self._centres(self._start)
        periodic = topology.getPeriodicBoxVectors() is not None
        # The PDB file of a run has the box too, but rounded.
        self._box = np.array(mine[0].cell) / NANOMETRE if periodic else None

    @property
    def box(self) -> np.ndarray | None:
        """(3, 3) box vectors, nm, or None."""
        return self._box

    @property
    @abstractmethod
    def step(self) -> int:
        """Steps done."""

    @abstractmethod
    def advance(self, steps: int) -> None:
        """Integrate.

        Raises:
            openmm.OpenMMException: from OpenMM, at the step that it could not do.
        """

    @abstractmethod
    def without(self, lost: Collection[int]) -> Replicas:
        """The same replicas but for some, at the same step, with noise of their own."""

    @abstractmethod
    def save(self) -> bytes:
        """All of the state, random numbers included, for load."""

    @abstractmethod
    def load(self, state: bytes) -> None:
        """Go back to a state.

        Raises:
            openmm.OpenMMException: it is of another platform or OpenMM, or damaged.
        """

    @abstractmethod
    def _place(self, positions: np.ndarray, velocities: np.ndarray) -> None:
        """Set positions (n_replicas, n_atoms, 3) in nm and velocities in nm/ps."""

    @abstractmethod
    def _raw_positions(self) -> np.ndarray:
        """(n_replicas, n_atoms, 3) nm, wherever the centres of mass are."""

    @abstractmethod
    def _velocities(self) -> np.ndarray:
        """(n_replicas, n_atoms, 3) nm/ps."""

    def begin(self) -> None:
        """Put every replica at its start, with thermal velocities of its own."""
        self._place(self._start, self._thermal_velocities())

    def positions(self) -> np.ndarray:
        """(n_replicas, n_atoms, 3) nm, the centre of mass of each copy where it started."""
        positions = self._raw_positions()
        return positions - (self._centres(positions) - self._centre)[:, None]

    def kinetic_energies(self) -> np.ndarray:
        """(n_replicas,) kJ/mol, without the motion of the centre of mass."""
        return self._kinetic(self._velocities())

    def temperatures(self, kinetic_energies: np.ndarray) -> np.ndarray:
        """(n_replicas,) K, of 3 n_atoms - 3 degrees of freedom."""
        return 2 * kinetic_energies / (3 * max(1, len(self._masses) - 1) * BOLTZMANN_KJ_PER_MOL)

    @abstractmethod
    def potential_energies(self) -> np.ndarray:
        """(n_replicas,) kJ/mol of the potential alone, without a bias."""

    @property
    @abstractmethod
    def fault(self) -> str:
        """Why the potential failed to give numbers, so that they are not finite now; "" where it did not fail."""

    def hold_centres(self) -> None:
        """Bring the centres of mass back to where they started, at rest: far from the origin digits are lost."""
        velocities = self._velocities()
        self._place(self.positions(), velocities - self._centres(velocities)[:, None])

    def close(self) -> None:  # noqa: B027 (most hold nothing)
        """Write out and close what it holds open: nothing here."""

    def _thermal_velocities(self) -> np.ndarray:
        """(n_replicas, n_atoms, 3) nm/ps, of each replica's own random numbers."""
        width = np.sqrt(BOLTZMANN_KJ_PER_MOL * self._settings.temperature / self._masses)[:, None]
        shape = self._start.shape[1:]
        noise = [self._settings.velocity_noise(replica).standard_normal(shape) for replica in self.replicas]
        return width * np.array(noise)

    def _kinetic(self, velocities: np.ndarray) -> np.ndarray:
        velocities = velocities - self._centres(velocities)[:, None]
        return 0.5 * np.einsum("a,raj,raj->r", self._masses, velocities, velocities)

    def _centres(self, vectors: np.ndarray) -> np.ndarray:
        """(..., 3) averages of (..., n_atoms, 3), weighted by mass."""
        return np.einsum("a,...aj->...j", self._masses / self._masses.sum(), vectors)


class Ensemble(Replicas):
    """Replicas in one OpenMM Context.

    Each samples what a Context of its own would sample. Noise is independent for every particle, and no force acts
    between copies. OpenMM's CMMotionRemover would act between them, so there is none; the centre of mass of a copy
    diffuses instead. Forces that do not change under translation and friction that is the same for all atoms make its
    motion independent of all the rest, in the integrator's discrete steps as well, so it is removed afterwards.

    A barostat acts on the box that copies share, so it has a Context for each replica; it puts molecules back into the
    box, and positions() are then as they are.

    Args:
        potential, topology, settings, starts, replicas: as in Replicas.
        extend: adds forces of its own to the System, before there is a Context.

    Raises:
        FfptError: as create_system.
    """

    def __init__(
        self,
        potential: Potential,
        topology: Topology,
        settings: MDSettings,
        starts: Sequence[Atoms],
        replicas: Sequence[int],
        extend: Callable[[openmm.System], None] | None = None,
    ) -> None:
        import openmm

        super().__init__(potential, topology, settings, starts, replicas)
        self._extend = extend
        self._moved = MovedSystem(potential, topology, settings, len(self.replicas))
        system = self._moved.system
        if extend is not None:
            extend(system)
            self._moved.set_apart(system)
        self._integrator = self._integrator_for(system)
        platform = openmm.Platform.getPlatformByName(settings.platform)
        # OpenMM's own threads only where they have work; PyTorch's are set by the caller.
        on_cpu = {"Threads": str(torch.get_num_threads()), "DeterministicForces": "true"}
        properties = {"CPU": on_cpu, "CUDA": {"Precision": "mixed"}}
        self._context = openmm.Context(system, self._integrator, platform, properties.get(settings.platform, {}))
        if self._box is not None:
            self._context.setPeriodicBoxVectors(*self._box)

    def _integrator_for(self, system: openmm.System) -> openmm.Integrator:
        """The integrator; a barostat goes into the System."""
        import openmm

        settings, seed = self._settings, self._settings.noise_seed(self.replicas)
        if settings.pressure is not None:
            barostat = openmm.MonteCarloBarostat(settings.pressure, settings.temperature)
            barostat.setRandomNumberSeed(seed)
            system.addForce(barostat)
        if settings.friction == 0:
            return openmm.VerletIntegrator(settings.timestep / PICOSECOND)
        integrator = openmm.LangevinMiddleIntegrator(
            settings.temperature, settings.friction, settings.timestep / PICOSECOND
        )
        integrator.setRandomNumberSeed(seed)
        return integrator

    def begin(self) -> None:
        """See Replicas."""
        super().begin()
        if self._settings.friction == 0:
            self._place(self._start, self._velocities() - self._half_step())

    @property
    def box(self) -> np.ndarray | None:
        """(3, 3) box vectors, nm, or None."""
        if self._box is None or self._settings.pressure is None:
            return self._box
        return np.array(self._context.getState().getPeriodicBoxVectors(asNumpy=True)._value)

    @property
    def step(self) -> int:
        """Steps done."""
        return int(self._context.getStepCount())

    def advance(self, steps: int) -> None:
        """See Replicas."""
        self._integrator.step(steps)

    def positions(self) -> np.ndarray:
        """See Replicas; with a barostat, as they are."""
        return self._raw_positions() if self._settings.pressure is not None else super().positions()

    def kinetic_energies(self) -> np.ndarray:
        """See Replicas."""
        velocities = self._velocities()
        return self._kinetic(velocities + self._half_step() if self._settings.friction == 0 else velocities)

    def potential_energies(self) -> np.ndarray:
        """See Replicas."""
        return self._moved.energies(self._context, self._raw_positions().reshape(-1, 3), self.box)

    @property
    def fault(self) -> str:
        """See Replicas."""
        return self._moved.fault

    def without(self, lost: Collection[int]) -> Ensemble:
        """See Replicas: in a new Context."""
        kept = [row for row, replica in enumerate(self.replicas) if replica not in lost]
        others = Ensemble(*self._shared, [self.replicas[row] for row in kept], self._extend)
        others._place(self._raw_positions()[kept], self._velocities()[kept])
        others._context.setStepCount(self.step)
        return others

    def save(self) -> bytes:
        """See Replicas."""
        return self._context.createCheckpoint()

    def load(self, state: bytes) -> None:
        """See Replicas."""
        self._context.loadCheckpoint(state)

    def _place(self, positions: np.ndarray, velocities: np.ndarray) -> None:
        self._context.setPositions(positions.reshape(-1, 3))
        self._context.setVelocities(velocities.reshape(-1, 3))

    def _half_step(self) -> np.ndarray:
        """(n_replicas, n_atoms, 3) nm/ps: a Verlet integrator's velocities are half a step behind its positions."""
        forces = self._context.getState(forces=True).getForces(asNumpy=True)._value
        forces = forces.reshape(len(self.replicas), -1, 3)
        return 0.5 * self._settings.timestep / PICOSECOND * forces / self._masses[:, None]

    def _raw_positions(self) -> np.ndarray:
        state = self._context.getState(positions=True)
        return state.getPositions(asNumpy=True)._value.reshape(len(self.replicas), -1, 3)

    def _velocities(self) -> np.ndarray:
        state = self._context.getState(velocities=True)
        return state.getVelocities(asNumpy=True)._value.reshape(len(self.replicas), -1, 3)
