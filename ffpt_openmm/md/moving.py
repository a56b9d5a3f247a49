"""What moves the atoms of a run, in OpenMM: the System of a potential, and the energy of each replica."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms

from ffpt_core.base.errors import FfptError
from ffpt_core.potentials.interface import ISOLATED, Evaluator, Periodicity, Potential, Prediction
from ffpt_openmm.forces.backends import choose_backend, choose_platform_of
from ffpt_openmm.forces.create import create_system
from ffpt_openmm.forces.pythonforce import PotentialFunction
from ffpt_openmm.forces.systems import bare_system, numbers_of
from ffpt_openmm.md.settings import MDSettings

if TYPE_CHECKING:
    import openmm
    from openmm.app import Topology


class WatchedPotential(Potential):
    """A potential whose failures end a trajectory as any unphysical frame does: with numbers that are not finite.

    Args:
        potential: what may fail, such as a calculation whose SCF does not converge.

    Attributes:
        fault: why it failed last, "" where it did not.
    """

    def __init__(self, potential: Potential) -> None:
        self.potential = potential
        self.level, self.elements = potential.level, potential.elements
        self.on_gpu, self.batches = potential.on_gpu, potential.batches
        self.fault = ""

    @property
    def gives_virial(self) -> bool:  # type: ignore[override]  # a calculator may have to be made to say
        """That of the potential."""
        return self.potential.gives_virial

    def check(
        self, numbers: Sequence[int] | np.ndarray, pbc: Periodicity = ISOLATED, *, needs_virial: bool = False
    ) -> None:
        """That of the potential."""
        self.potential.check(numbers, pbc, needs_virial=needs_virial)

    def evaluator(self, numbers: Sequence[int] | np.ndarray, pbc: Periodicity = ISOLATED, copies: int = 1) -> Evaluator:
        """That of the potential, watched."""
        return _WatchedEvaluator(self, self.potential.evaluator(numbers, pbc, copies), copies)

    def record(self) -> dict[str, Any]:
        """That of the potential."""
        return self.potential.record()

    def save_into(self, folder: str | os.PathLike[str]) -> None:
        """That of the potential."""
        self.potential.save_into(folder)


class _WatchedEvaluator:
    def __init__(self, watched: WatchedPotential, evaluator: Evaluator, copies: int) -> None:
        self.numbers = evaluator.numbers
        self._watched, self._evaluator, self._copies = watched, evaluator, copies

    def __call__(self, positions: np.ndarray, cell: np.ndarray | None = None) -> Prediction:
        try:
            return self._evaluator(positions, cell)
        except FfptError as error:
            self._watched.fault = str(error)
            return Prediction(np.full(self._copies, np.nan), np.full(np.shape(positions), np.nan), None)


class MovedSystem:
    """The System of replicas, and the energy of each of them. One evaluator serves both.

    Args:
        potential: what moves the atoms.
        topology: the atoms of one replica.
        settings: of the dynamics; backend and platform resolved.
        replicas: how many share the System.

    Attributes:
        system: with the forces of the potential alone: without thermostat, barostat or centre-of-mass remover.

    Raises:
        FfptError: what the potential cannot do.
    """

    def __init__(self, potential: Potential, topology: Topology, settings: MDSettings, replicas: int = 1) -> None:
        self._watched = WatchedPotential(potential)
        self._numbers = numbers_of(topology)
        self._periodic = topology.getPeriodicBoxVectors() is not None
        self._replicas = replicas
        self._own = settings.backend == "openmm"
        self.system = self._made(potential, topology, settings)
        self._groups = {force.getForceGroup() for force in self.system.getForces()}
        if settings.pressure is not None and not self._own:
            self.system.addForce(_molecules_of(topology))
        self._n_forces = self.system.getNumForces()

    @property
    def fault(self) -> str:
        """Why the potential failed to give numbers, "" where it did not fail."""
        return self._watched.fault

    def set_apart(self, system: openmm.System) -> None:
        """Put forces that were added to its System where the energy of the potential does not count them."""
        for force in list(system.getForces())[self._n_forces :]:
            if force.getForceGroup() in self._groups:
                force.setForceGroup(1 + max(self._groups))

    def energies(self, context: openmm.Context, positions: np.ndarray, box: np.ndarray | None) -> np.ndarray:
        """(replicas,) kJ/mol of the potential alone.

        Args:
            context: of the System, where it is.
            positions: (replicas * n_atoms, 3) nm.
            box: (3, 3) nm, or None.
        """
        if self._own:
            return np.array([context.getState(energy=True, groups=self._groups).getPotentialEnergy()._value])
        return self._function.energies(positions, box)

    @cached_property
    def _function(self) -> PotentialFunction:
        return PotentialFunction(self._watched, self._numbers, self._periodic, self._replicas)

    def _made(self, potential: Potential, topology: Topology, settings: MDSettings) -> openmm.System:
        import openmm

        if settings.backend != "pythonforce":
            return create_system(
                potential, topology, backend=settings.backend, remove_cm_motion=False, replicas=self._replicas
            )
        force = openmm.PythonForce(self._function)
        force.setUsesPeriodicBoundaryConditions(self._periodic)
        force.setName("ffpt potential")
        return bare_system(topology, [force], self._replicas)


def resolved(potential: Potential, settings: MDSettings, atoms: Atoms) -> MDSettings:
    """Settings with the backend and the platform that "auto" comes to here, for the atoms of a replica.

    Raises:
        FfptError: a backend or a platform that is not there, or not for the potential.
    """
    platform = choose_platform_of(potential, settings.platform, len(atoms), bool(atoms.pbc.any()))
    backend = choose_backend(potential, settings.backend, platform)
    return dataclasses.replace(settings, backend=backend, platform=platform)


def _molecules_of(topology: Topology) -> openmm.Force:
    """Bonds without strength.

    A barostat moves whole molecules, which OpenMM finds by the bonds of forces. A potential has none, and a barostat
    that stretched every bond with the box would have hardly a move accepted.
    """
    import openmm

    force = openmm.HarmonicBondForce()
    for bond in topology.bonds():
        force.addBond(bond[0].index, bond[1].index, 0.0, 0.0)
    force.setUsesPeriodicBoundaryConditions(True)
    force.setName("molecules for the barostat")
    return force
