"""OpenMM Systems of topologies: bare ones for the force of a potential, and those that a potential has itself."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from ase import Atoms

from ffpt_core.base.errors import FfptError
from ffpt_core.base.units import NANOMETRE

if TYPE_CHECKING:
    import openmm
    from openmm.app import Topology


@runtime_checkable
class HasSystem(Protocol):
    """A potential whose forces are OpenMM's own, such as a teacher: dynamics take them, and call nothing back."""

    def openmm_system(self, topology: Topology) -> openmm.System:
        """A new System of the atoms of a topology, without constraints, centre-of-mass remover, thermostat, barostat.

        Raises:
            FfptError: as the potential's check.
        """


def numbers_of(topology: Topology, indices: list[int] | None = None) -> list[int]:
    """Atomic numbers of atoms of a topology, of all of them where no indices are given.

    Raises:
        FfptError: an atom without an element, or no atoms.
    """
    listed = list(topology.atoms())
    chosen = listed if indices is None else [listed[index] for index in indices]
    bare = next((atom for atom in chosen if atom.element is None), None)
    if bare is not None:
        raise FfptError(f"atom {bare.index} ({bare.name} of {bare.residue.name}) of the topology has no element")
    if not chosen:
        raise FfptError("the topology has no atoms")
    return [atom.element.atomic_number for atom in chosen]


def bare_system(topology: Topology, forces: Iterable[openmm.Force], replicas: int = 1) -> openmm.System:
    """A System of copies of a topology, with their masses and these forces; periodic where one of them is."""
    import openmm

    system = openmm.System()
    for _ in range(replicas):
        for atom in topology.atoms():
            system.addParticle(atom.element.mass)
    for force in forces:
        system.addForce(force)
    if system.usesPeriodicBoundaryConditions():
        system.setDefaultPeriodicBoxVectors(*topology.getPeriodicBoxVectors())
    return system


def topology_of(atoms: Atoms, bonds: Iterable[tuple[int, int]] = ()) -> Topology:
    """The topology of a structure in its order: one residue MOL, atoms C1, C2, ..., its box where it is periodic.

    Args:
        atoms: Angstrom.
        bonds: pairs of indices, such as those of ffpt_core.structure.graph.find_bonds.

    Raises:
        FfptError: a cell that is periodic along some of its vectors only.
    """
    from openmm import unit

    from ffpt_core.teachers.topology import build_topology

    topology = build_topology(list(atoms.symbols), [(int(first), int(second)) for first, second in bonds])
    if atoms.pbc.any():
        if not atoms.pbc.all():
            raise FfptError("a box is periodic along all its vectors here, or along none")
        topology.setPeriodicBoxVectors(np.array(atoms.cell) / NANOMETRE * unit.nanometer)
    return topology
