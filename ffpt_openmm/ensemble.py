"""Replicas in one OpenMM Context: Langevin dynamics of many copies of one system that do not see each other."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from ase import Atoms

from ffpt_core import Potential
from ffpt_core.units import NANOMETRE
from ffpt_openmm.force import create_system
from ffpt_openmm.pythonforce import evaluation
from ffpt_openmm.settings import MDSettings

if TYPE_CHECKING:
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

    Units are OpenMM's. Arrays have a row for each replica.

    Args:
        potential: what moves the atoms.
        topology: the atoms of one copy.
        settings: of the dynamics; backend and platform resolved.
        start: the geometry (Angstrom) from which all replicas start, and their box.
        replicas: which replicas of the run these are: they decide on velocities and noise.

    Raises:
        FfptError: as create_system.
    """

    def __init__(
        self, potential: Potential, topology: Topology, settings: MDSettings, start: Atoms, replicas: Sequence[int]
    ) -> None:
        import openmm

        self.replicas = tuple(replicas)
        self._shared = (potential, topology, settings, start)
        self._masses = np.array([atom.element.mass._value for atom in topology.atoms()])
        self._start = start.positions / NANOMETRE
        self._centre = self._centres(self._start)
        periodic = topology.getPeriodicBoxVectors() is not None
        # The PDB file of a run has the box too, but rounded.
        self.box = np.array(start.cell) / NANOMETRE if periodic else None
        self._evaluate = evaluation(potential, start.numbers.tolist(), periodic, replicas=len(self.replicas))
        self._integrator = openmm.LangevinMiddleIntegrator(
            settings.temperature, settings.friction, settings.timestep / 1000
        )
        self._integrator.setRandomNumberSeed(settings.noise_seed(self.replicas))
        system = create_system(
            potential, topology, backend=settings.backend, remove_cm_motion=False, replicas=len(self.replicas)
        )
        platform = openmm.Platform.getPlatformByName(settings.platform)
        # OpenMM's own threads only where they have work; PyTorch's are set by the caller.
        properties = {"CPU": {"Threads": str(torch.get_num_threads())}, "CUDA": {"Precision": "mixed"}}
        self._context = openmm.Context(system, self._integrator, platform, properties.get(settings.platform, {}))
        if self.box is not None:
            self._context.setPeriodicBoxVectors(*self.box)

    def begin(self) -> None:
        """Put every replica at the start, with thermal velocities of its own."""
        _, _, settings, _ = self._shared
        width = np.sqrt(BOLTZMANN * settings.temperature / self._masses)[:, None]  # nm/ps
        noise = [settings.velocity_noise(replica).standard_normal(self._start.shape) for replica in self.replicas]
        self._place(np.broadcast_to(self._start, (len(noise), *self._start.shape)), width * np.array(noise))

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
        """(n_replicas, n_atoms, 3) nm, the centre of mass of each copy where it started."""
        positions = self._raw_positions()
        return positions - (self._centres(positions) - self._centre)[:, None]

    def kinetic_energies(self) -> np.ndarray:
        """(n_replicas,) kJ/mol, without the motion of the centre of mass."""
        velocities = self._velocities()
        velocities -= self._centres(velocities)[:, None]
        return 0.5 * np.einsum("a,raj,raj->r", self._masses, velocities, velocities)

    def temperatures(self, kinetic_energies: np.ndarray) -> np.ndarray:
        """(n_replicas,) K, of 3 n_atoms - 3 degrees of freedom."""
        return 2 * kinetic_energies / (3 * max(1, len(self._masses) - 1) * BOLTZMANN)

    def potential_energies(self) -> np.ndarray:
        """(n_replicas,) kJ/mol: OpenMM knows their sum only, so this is an evaluation of the potential."""
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

    def _centres(self, vectors: np.ndarray) -> np.ndarray:
        """(..., 3) averages of (..., n_atoms, 3), weighted by mass."""
        return np.einsum("a,...aj->...j", self._masses / self._masses.sum(), vectors)

    def _raw_positions(self) -> np.ndarray:
        state = self._context.getState(positions=True)
        return state.getPositions(asNumpy=True)._value.reshape(len(self.replicas), -1, 3)

    def _velocities(self) -> np.ndarray:
        state = self._context.getState(velocities=True)
        return state.getVelocities(asNumpy=True)._value.reshape(len(self.replicas), -1, 3)
