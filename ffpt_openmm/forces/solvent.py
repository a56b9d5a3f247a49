"""A molecule in a box of water, all of it classical: what a mixed ML/MM system starts from."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ffpt_core.base.errors import FfptError
from ffpt_core.base.units import NANOMETRE
from ffpt_core.structure.periodic import nearest_image

if TYPE_CHECKING:
    import openmm
    from openmm.app import Topology

    from ffpt_core.teachers import Teacher

_CONTACT = 0.26
"""nm; water molecules with an atom closer to the solute are left out (Packmol's and Modeller's order of size)."""


@dataclass(frozen=True, eq=False)
class Solvated:
    """A solute in rigid TIP3P water.

    Args:
        system: OpenMM System of all atoms, periodic, with particle-mesh Ewald.
        topology: its atoms; the solute comes first.
        positions: (n_atoms, 3) nm.
        solute: indices of the solute's atoms.
    """

    system: openmm.System
    topology: Topology
    positions: np.ndarray
    solute: list[int]


def solvate(teacher: Teacher, box: float = 2.5) -> Solvated:
    """Put a teacher's relaxed molecule in the middle of a cubic box of TIP3P water.

    Args:
        teacher: the solute, with the parameters of its teacher.
        box: edge in nm.

    Raises:
        FfptError: the box is not 0.6 nm larger than the molecule, or the teacher has no plain nonbonded force.
    """
    import openmm
    from openmm import app, unit

    solute = teacher.atoms.positions / NANOMETRE
    if box < np.ptp(solute, axis=0).max() + 0.6:
        raise FfptError(f"a box of {box} nm is too small for a molecule of {np.ptp(solute, axis=0).max():.2f} nm")
    solute = solute - solute.mean(axis=0) + box / 2
    force_field = app.ForceField("amber14/tip3p.xml")
    water = app.Modeller(app.Topology(), np.zeros((0, 3)) * unit.nanometer)
    water.addSolvent(force_field, model="tip3p", boxSize=openmm.Vec3(box, box, box) * unit.nanometer, neutralize=False)
    positions = np.array(water.positions.value_in_unit(unit.nanometer))
    residues = [(residue, [atom.index for atom in residue.atoms()]) for residue in water.topology.residues()]
    water.delete([residue for residue, atoms in residues if _distance(positions[atoms], solute, box) < _CONTACT])

    both = app.Modeller(teacher.topology, solute * unit.nanometer)
    both.add(water.topology, water.positions)
    both.topology.setPeriodicBoxVectors(np.eye(3) * box * unit.nanometer)
    parameters = force_field.createSystem(
        water.topology, nonbondedMethod=app.PME, nonbondedCutoff=min(0.9, 0.49 * box), rigidWater=True
    )
    system = _append_rigid(teacher.system, parameters)
    system.setDefaultPeriodicBoxVectors(*(np.eye(3) * box))
    everywhere = np.array(both.positions.value_in_unit(unit.nanometer))
    return Solvated(system, both.topology, everywhere, list(range(len(teacher.atoms))))


def _distance(molecule: np.ndarray, solute: np.ndarray, box: float) -> float:
    vectors = molecule[:, None] - solute[None]
    return float(np.linalg.norm(nearest_image(vectors, box * np.eye(3)), axis=-1).min())


def _append_rigid(solute: openmm.System, solvent: openmm.System) -> openmm.System:
    """Solute and rigid solvent in one System; nonbonded parameters combine by the Lorentz-Berthelot rules of both."""
    import openmm

    system = copy.deepcopy(solute)
    first = system.getNumParticles()
    for index in range(solvent.getNumParticles()):
        system.addParticle(solvent.getParticleMass(index))
    for index in range(solvent.getNumConstraints()):
        one, other, length = solvent.getConstraintParameters(index)
        system.addConstraint(first + one, first + other, length)
    target = next((force for force in system.getForces() if isinstance(force, openmm.NonbondedForce)), None)
    if target is None:
        raise FfptError("the teacher of the solute has no NonbondedForce: it cannot interact with water")
    source = next(force for force in solvent.getForces() if isinstance(force, openmm.NonbondedForce))
    for index in range(source.getNumParticles()):
        target.addParticle(*source.getParticleParameters(index))
    for index in range(source.getNumExceptions()):
        one, other, *parameters = source.getExceptionParameters(index)
        target.addException(first + one, first + other, *parameters)
    target.setNonbondedMethod(source.getNonbondedMethod())
    target.setCutoffDistance(source.getCutoffDistance())
    target.setEwaldErrorTolerance(source.getEwaldErrorTolerance())
    target.setUseDispersionCorrection(source.getUseDispersionCorrection())
    system.addForce(openmm.CMMotionRemover())
    return system
