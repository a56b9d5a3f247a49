"""Replicas in one OpenMM Context: dynamics of many copies of one system that do not see each other."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from ase import Atoms

from ffpt_core.units import NANOMETRE
from ffpt_openmm.models import Model
from ffpt_openmm.settings import MDSettings

if TYPE_CHECKING:
    import openmm
    from openmm.app import Topology

BOLTZMANN = 8.31446261815324e-3
"""kJ/mol/K (exact since 2019)."""


class Ensemble:
    """Replicas that advance together.

    Each samples what a Context of its own would sample. Noise is independent for every particle, and no force acts
    between copies. OpenMM's CMMotionRemover would act between them, so there is none; the centre of mass of a copy
    diffuses instead. Forces that do not change under translation and friction that is the same for all atoms make its
    motion independent of all the rest, in the integrator's discrete steps as well, so it is removed afterwards:
    positions() and kinetic_energies() are those about the centre of mass, as if it had been held all the time.

    A barostat acts on the box that copies share, so it has a Context for each replica; it puts molecules back into the
    box, and positions() are then as they are.

    Units are OpenMM's. Arrays have a row for each replica.

    Args:
        model: what moves the atoms.
        topology: the atoms of one copy.
        settings: of the dynamics; backend and platform resolved.
        starts: the geometry (Angstrom) that each replica of the run starts from, or one for all, with their box.
        replicas: which replicas of the run these are: they decide on velocities and noise.

    Raises:
        FfptError: as create_system.
    """

    def __init__(
        self, model: Model, topology: Topology, settings: MDSettings, starts: Sequence[Atoms], replicas: Sequence[int]
    ) -> None:
        import openmm

        self.replicas = tuple(replicas)
        self._shared = (model, topology, settings, starts)
        self._settings = settings
        self._masses = np.array([atom.element.mass._value for atom in topology.atoms()])
        mine = [starts[0 if len(starts) == 1 else replica] for replica in self.replicas]
        self._start = np.array([atoms.positions for atoms in mine]) / NANOMETRE
        self._centre = self._centres(self._start)
        periodic = topology.getPeriodicBoxVectors() is not None
        # The PDB file of a run has the box too, but rounded.
        self._box = np.array(mine[0].cell) / NANOMETRE if periodic else None
        self._evaluate = model.evaluation(mine[0], len(self.replicas))
        system = model.system(topology, settings, len(self.replicas))
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
            return openmm.VerletIntegrator(settings.timestep / 1000)
        integrator = openmm.LangevinMiddleIntegrator(settings.temperature, settings.friction, settings.timestep / 1000)
        integrator.setRandomNumberSeed(seed)
        return integrator

    def begin(self) -> None:
        """Put every replica at its start, with thermal velocities of its own."""
        settings = self._settings
        width = np.sqrt(BOLTZMANN * settings.temperature / self._masses)[:, None]  # nm/ps
        shape = self._start.shape[1:]
        noise = [settings.velocity_noise(replica).standard_normal(shape) for replica in self.replicas]
        velocities = width * np.array(noise)
        self._place(self._start, velocities)
        if settings.friction == 0:
            self._place(self._start, velocities - self._half_step())

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
        """Integrate.

        Raises:
            openmm.OpenMMException: from OpenMM, at the step that it could not do.
        """
        self._integrator.step(steps)

    def positions(self) -> np.ndarray:
        """(n_replicas, n_atoms, 3) nm; without a barostat, the centre of mass of each copy where it started."""
        positions = self._raw_positions()
        if self._settings.pressure is not None:
            return positions
        return positions - (self._centres(positions) - self._centre)[:, None]

    def kinetic_energies(self) -> np.ndarray:
        """(n_replicas,) kJ/mol, without the motion of the centre of mass."""
        velocities = self._velocities()
        if self._settings.friction == 0:
            velocities += self._half_step()
        velocities -= self._centres(velocities)[:, None]
        return 0.5 * np.einsum("a,raj,raj->r", self._masses, velocities, velocities)

    def temperatures(self, kinetic_energies: np.ndarray) -> np.ndarray:
        """(n_replicas,) K, of 3 n_atoms - 3 degrees of freedom."""
        return 2 * kinetic_energies / (3 * max(1, len(self._masses) - 1) * BOLTZMANN)

    def potential_energies(self) -> np.ndarray:
        """(n_replicas,) kJ/mol: OpenMM knows the sum of copies only, so that takes an evaluation of the potential."""
        if self._evaluate is None:
            return np.array([self._context.getState(energy=True).getPotentialEnergy()._value])
        return self._evaluate(self._raw_positions().reshape(-1, 3), self.box)[0]

    def hold_centres(self) -> None:
        """Bring the centres of mass back to where they started, at rest: far from the origin digits are lost."""
        velocities = self._velocities()
        self._place(self.positions(), velocities - self._centres(velocities)[:, None])

    def without(self, lost: Collection[int]) -> Ensemble:
        """The same replicas but for some, at the same step, in a new Context with noise of its own."""
        kept = [row for row, replica in enumerate(self.replicas) if replica not in lost]
        others = Ensemble(*self._shared, [self.replicas[row] for row in kept])
        others._place(self._raw_positions()[kept], self._velocities()[kept])
        others._context.setStepCount(self.step)
        return others

    def save(self) -> bytes:
        """All of the state, random numbers included, for load."""
        return self._context.createCheckpoint()

    def load(self, state: bytes) -> None:
        """Go back to a state.

        Raises:
            openmm.OpenMMException: it is of another platform or OpenMM, or damaged.
        """
        self._context.loadCheckpoint(state)

    def _place(self, positions: np.ndarray, velocities: np.ndarray) -> None:
        self._context.setPositions(positions.reshape(-1, 3))
        self._context.setVelocities(velocities.reshape(-1, 3))

    def _half_step(self) -> np.ndarray:
        """(n_replicas, n_atoms, 3) nm/ps: a Verlet integrator's velocities are half a step behind its positions."""
        forces = self._context.getState(forces=True).getForces(asNumpy=True)._value
        forces = forces.reshape(len(self.replicas), -1, 3)
        return 0.5 * self._settings.timestep / 1000 * forces / self._masses[:, None]

    def _centres(self, vectors: np.ndarray) -> np.ndarray:
        """(..., 3) averages of (..., n_atoms, 3), weighted by mass."""
        return np.einsum("a,...aj->...j", self._masses / self._masses.sum(), vectors)

    def _raw_positions(self) -> np.ndarray:
        state = self._context.getState(positions=True)
        return state.getPositions(asNumpy=True)._value.reshape(len(self.replicas), -1, 3)

    def _velocities(self) -> np.ndarray:
        state = self._context.getState(velocities=True)
        return state.getVelocities(asNumpy=True)._value.reshape(len(self.replicas), -1, 3)
