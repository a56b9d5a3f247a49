"""Q-Force teachers: the eight species of hydrogen combustion, with Morse bonds.

    teacher = ffpt_core.teachers.qforce.species_teachers.species_teacher("HO2")

Energies are relative to free atoms: a molecule at its minimum has minus the sum of its Morse depths, but for what
dihedral terms add there (-5.05 kJ/mol in H2O2). Force fields that Q-Force wrote for other molecules:
``ffpt_core.teachers.qforce.files``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms

from ffpt_core.base.errors import FfptError
from ffpt_core.base.units import NANOMETRE
from ffpt_core.teachers.provenance import versions
from ffpt_core.teachers.qforce.species import SPECIES, Species
from ffpt_core.teachers.relaxation import relaxed
from ffpt_core.teachers.systems import assign_force_groups, import_openmm
from ffpt_core.teachers.teacher import Teacher
from ffpt_core.teachers.topology import build_topology

if TYPE_CHECKING:
    import openmm

LEVEL = "Q-Force"

MORSE = "D*(1-exp(-b*(r-r0)))^2-D; b=sqrt(k/(2*D))"
"""Bond energy below that of the free atoms, parameters r0 (nm), k (kJ/mol/nm^2), D (kJ/mol)."""

_SOURCE = "Table 1 of Yuan and Head-Gordon, arXiv 2509.14205 (2025)"


def empty_system(symbols: Sequence[str]) -> openmm.System:
    """A System of free particles with the masses of their elements."""
    mm = import_openmm()
    system = mm.System()
    for symbol in symbols:
        system.addParticle(mm.app.Element.getBySymbol(symbol).mass)
    return system


def _add_forces(system: openmm.System, species: Species) -> None:
    mm = import_openmm()
    if species.bonds:
        bonds = mm.CustomBondForce(MORSE)
        for parameter in ("r0", "k", "D"):
            bonds.addPerBondParameter(parameter)
        for bond in species.bonds:
            bonds.addBond(*bond.atoms, (bond.r0, bond.k, bond.depth))
        system.addForce(bonds)
    if species.angles:
        angles = mm.HarmonicAngleForce()
        for angle in species.angles:
            angles.addAngle(*angle.atoms, angle.theta0, angle.k)
        system.addForce(angles)
    if species.dihedrals:
        dihedrals = mm.PeriodicTorsionForce()
        for term in species.dihedrals:
            dihedrals.addTorsion(*term.atoms, term.n, term.phase, term.k)
        system.addForce(dihedrals)


def _start(species: Species) -> np.ndarray:
    """(n_atoms, 3) Angstrom near the minimum: the lengths and angles of the terms, twisted by a dihedral."""
    lengths = {bond.atoms: NANOMETRE * bond.r0 for bond in species.bonds}
    positions = np.zeros((len(species.symbols), 3))
    if len(positions) > 1:
        positions[1] = lengths[0, 1], 0.0, 0.0
    if len(positions) > 2:
        theta = species.angles[0].theta0
        positions[2] = lengths[0, 2] * np.array([np.cos(theta), np.sin(theta), 0.0])
    if len(positions) > 3:  # the dihedral terms of H2O2 have their minimum at 114.8 degrees
        theta, phi = species.angles[1].theta0, np.radians(114.8)
        direction = np.array([-np.cos(theta), np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi)])
        positions[3] = positions[1] + lengths[1, 3] * direction
    return positions


def species_teacher(name: str) -> Teacher:
    """The teacher of H, O, H2, O2, OH, H2O, HO2 or H2O2.

    Args:
        name: the formula.

    Raises:
        FfptError: another name, or OpenMM is not installed.
    """
    if name not in SPECIES:
        raise FfptError(f"no Q-Force species {name!r}; there are {', '.join(SPECIES)}")
    species = SPECIES[name]
    system = empty_system(species.symbols)
    _add_forces(system, species)
    assign_force_groups(system)
    topology = build_topology(species.symbols, [bond.atoms for bond in species.bonds])
    record: dict[str, Any] = {
        "name": name,
        "multiplicity": species.multiplicity,
        "parameters": _SOURCE,
        "energy_zero": "free atoms",
        "versions": versions(("openmm",)),
        "units": {"system.xml": "OpenMM: nm, kJ/mol, amu", "relaxed.xyz": "Angstrom"},
    }
    start = _start(species)
    return relaxed(Teacher(system, topology, Atoms(species.symbols, start), LEVEL, record), start[None])
