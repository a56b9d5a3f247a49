"""Teachers from what Q-Force wrote for a molecule: its OpenMM System or its GROMACS topology.

Q-Force (github.com/selimsami/qforce) writes for OpenMM a serialised System NAME_qforce.xml with gas.pdb, and for
GROMACS gas.top with NAME_qforce.itp and gas.gro. OpenMM reads both; what remains is to refuse terms that a teacher
does not have, to know the elements and bonds, and to put the zero of energy where it belongs.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from ase import Atoms
from ase.data import atomic_masses

from ffpt_core.base.errors import FfptError
from ffpt_core.teachers.provenance import versions
from ffpt_core.teachers.qforce.species_teachers import LEVEL, MORSE
from ffpt_core.teachers.relaxation import relaxed
from ffpt_core.teachers.systems import assign_force_groups, import_openmm
from ffpt_core.teachers.teacher import Teacher
from ffpt_core.teachers.topology import build_topology

if TYPE_CHECKING:
    import openmm

_MORSE_PARAMETERS = ("r0", "k", "D")
_MORSE_OF_QFORCE = "D*(1-exp(-b*(r-r0)))^2;b=sqrt(k/(2*D))"
_MASS_TOLERANCE = 0.1  # amu


Bonds = list[tuple[int, int]]


def _read_system(path: Path) -> tuple[openmm.System, Bonds]:
    """The System of a file, and the pairs that its bond forces join."""
    mm = import_openmm()
    try:
        system = mm.XmlSerializer.deserialize(path.read_text())
    except OSError as error:
        raise FfptError(f"cannot read {path}: {error.strerror or error}") from error
    except (mm.OpenMMException, ValueError) as error:
        raise FfptError(f"{path} is not a System that OpenMM reads: {' '.join(str(error).split())}") from error
    if not isinstance(system, mm.System):
        raise FfptError(f"{path} holds a {type(system).__name__}, not a System")
    return system, _bonds(system)


def _read_gromacs(path: Path) -> tuple[openmm.System, Bonds]:
    """The System of a topology, and its bonds: among its bond forces there are Urey-Bradley terms too."""
    mm = import_openmm()
    try:
        topology = mm.app.GromacsTopFile(str(path))
        system = topology.createSystem(nonbondedMethod=mm.app.NoCutoff, constraints=None, removeCMMotion=False)
        return system, sorted((first.index, second.index) for first, second in topology.topology.bonds())
    except OSError as error:
        raise FfptError(f"cannot read {path}: {error.strerror or error}") from error
    except (mm.OpenMMException, ValueError, KeyError, IndexError) as error:
        raise FfptError(f"{path} has something that OpenMM does not read: {' '.join(str(error).split())}") from error


def _structure(path: Path, geometry: Path | None) -> Path:
    """The geometry that belongs to a force field file."""
    if geometry is not None:
        return geometry
    beside = path.with_name("gas.pdb" if path.suffix == ".xml" else "gas.gro")
    if not beside.is_file():
        raise FfptError(f"{path} needs a geometry: no {beside.name} beside it, so give --geometry FILE")
    return beside


def _symbols(system: openmm.System, atoms: Atoms) -> tuple[str, ...]:
    """Elements from the masses of the System, in which nothing is left to the names of atoms.

    Raises:
        FfptError: another number of atoms in the geometry, other elements there, or a mass of no element.
    """
    masses = np.array([system.getParticleMass(index)._value for index in range(system.getNumParticles())])
    if len(masses) != len(atoms):
        raise FfptError(
            f"the force field has {len(masses)} particles (Drude particles?), the geometry {len(atoms)} atoms"
        )
    nearest = np.abs(atomic_masses[None, 1:] - masses[:, None]).argmin(axis=1) + 1
    for index, (mass, number) in enumerate(zip(masses, nearest, strict=True)):
        if abs(atomic_masses[number] - mass) > _MASS_TOLERANCE:
            raise FfptError(f"atom {index} has a mass of {mass:g} amu, which is that of no element")
        if number != atoms.numbers[index]:
            raise FfptError(f"atom {index} is {atoms[index].symbol} in the geometry, but its mass is {mass:g} amu")
    return tuple(atoms.symbols)


def _bonds(system: openmm.System) -> Bonds:
    """Pairs that a bond force joins."""
    mm = import_openmm()
    pairs = set()
    for force in system.getForces():
        if isinstance(force, (mm.HarmonicBondForce, mm.CustomBondForce)):
            for index in range(force.getNumBonds()):
                first, second = force.getBondParameters(index)[:2]
                pairs.add((min(first, second), max(first, second)))
    return sorted(pairs)


def _free_atoms(system: openmm.System) -> bool:
    """Move the zero of Morse bonds from their minimum to the free atoms; False where a bond is not Morse.

    Q-Force writes D (1 - exp(-b (r - r0)))^2, which is D for atoms far apart.
    """
    mm = import_openmm()
    bonds = [force for force in system.getForces() if isinstance(force, (mm.HarmonicBondForce, mm.CustomBondForce))]
    bonds = [force for force in bonds if force.getNumBonds()]
    for force in bonds:
        if not isinstance(force, mm.CustomBondForce):
            return False
        names = tuple(force.getPerBondParameterName(index) for index in range(force.getNumPerBondParameters()))
        if names != _MORSE_PARAMETERS or "".join(force.getEnergyFunction().split()) != _MORSE_OF_QFORCE:
            return False
    for force in bonds:
        force.setEnergyFunction(MORSE)
    return bool(bonds)


def _check_forces(system: openmm.System, path: Path) -> None:
    """Refuse what would make a teacher something else than a flexible molecule in vacuum."""
    mm = import_openmm()
    if system.getNumConstraints():
        raise FfptError(f"{path} has constraints; a teacher is flexible")
    for force in system.getForces():
        if isinstance(force, (mm.NonbondedForce, mm.CustomNonbondedForce)) and force.getNonbondedMethod() != 0:
            raise FfptError(f"{path}: its {force.getName()} has a cutoff; a teacher is one molecule in vacuum")
    try:
        assign_force_groups(system)
    except FfptError as error:
        raise FfptError(f"{path}: {error}") from error


def read_qforce(path: Path, geometry: Path | None = None, name: str = "") -> Teacher:
    """A teacher from a force field of Q-Force, or any other in these formats.

    Where all bonds are Morse, energies are relative to free atoms; else to the minimum of each term, as in the file,
    which the record of the teacher says ("energy_zero").

    Args:
        path: NAME_qforce.xml (OpenMM System) or gas.top (GROMACS, with the files that it includes).
        geometry: any structure file that ASE reads, atoms in the order of the force field; gas.pdb or gas.gro beside
            path when None.
        name: for the record; the name of the file when empty.

    Raises:
        FfptError: a file that is missing or damaged, a term that a teacher does not have (by name), constraints,
            cutoffs, virtual or Drude particles, or a geometry of other atoms.
    """
    import ase.io
    from ase.io.formats import UnknownFileTypeError

    readers = {".xml": _read_system, ".top": _read_gromacs}
    if path.suffix not in readers:
        raise FfptError(f"{path}: Q-Force teachers are read from .xml (OpenMM) and .top (GROMACS)")
    system, bonds = readers[path.suffix](path)
    source = _structure(path, geometry)
    try:
        atoms = cast("Atoms", ase.io.read(source, index=0))  # one index gives one Atoms
    except (OSError, UnknownFileTypeError, ValueError, KeyError, IndexError) as error:
        raise FfptError(f"cannot read {source} as a geometry: {error}") from error
    symbols = _symbols(system, atoms)
    _check_forces(system, path)
    record: dict[str, Any] = {
        "name": name or path.stem.removesuffix("_qforce"),
        "parameters": f"read from {path.name}",
        "energy_zero": "free atoms" if _free_atoms(system) else "minimum of each term",
        "versions": versions(("openmm",)),
        "units": {"system.xml": "OpenMM: nm, kJ/mol, amu, e", "relaxed.xyz": "Angstrom"},
    }
    topology = build_topology(symbols, bonds)
    start = Teacher(system, topology, Atoms(symbols, atoms.positions), LEVEL, record)
    return relaxed(start, np.asarray(atoms.positions)[None])
