"""GAFF-2.11 teachers: an RDKit molecule becomes an OpenMM System with AM1-BCC or Gasteiger charges."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import quoteattr

import numpy as np

from ffpt_core.base.errors import FfptError
from ffpt_core.teachers.gaff.atom_types import Typed, assign_types
from ffpt_core.teachers.gaff.gaps import fill_gaps
from ffpt_core.teachers.gaff.impropers import Improper, improper_torsions
from ffpt_core.teachers.gaff.parameters import (
    LEVEL,
    Entry,
    atom_types,
    covered,
    gaff_ffxml,
    read_frcmod,
    to_ffxml,
)
from ffpt_core.teachers.gaff.provenance import gaff_record
from ffpt_core.teachers.relaxation import relaxed
from ffpt_core.teachers.systems import assign_force_groups, import_openmm
from ffpt_core.teachers.teacher import Teacher
from ffpt_core.teachers.topology import build_topology

if TYPE_CHECKING:
    import openmm
    from openmm.app import Topology
    from rdkit.Chem import Mol


def _template(topology: Topology, types: Sequence[str], charges: np.ndarray) -> str:
    """The residue template of a topology, as an OpenMM force field file."""
    atoms = "".join(
        f'<Atom name={quoteattr(atom.name)} type={quoteattr(kind)} charge="{float(charge)!r}"/>'
        for atom, kind, charge in zip(topology.atoms(), types, charges, strict=True)
    )
    bonds = "".join(
        f"<Bond atomName1={quoteattr(first.name)} atomName2={quoteattr(second.name)}/>"
        for first, second in topology.bonds()
    )
    return f'<ForceField><Residues><Residue name="MOL">{atoms}{bonds}</Residue></Residues></ForceField>'


def _neighbours(topology: Topology) -> list[list[int]]:
    """Bonded atoms of every atom."""
    neighbours: list[list[int]] = [[] for _ in range(topology.getNumAtoms())]
    for first, second in topology.bonds():
        neighbours[first.index].append(second.index)
        neighbours[second.index].append(first.index)
    return neighbours


def _check_bonded(neighbours: list[list[int]], types: Sequence[str], added: Sequence[Entry]) -> None:
    """OpenMM leaves out a bond or an angle without parameters and says nothing; refuse instead."""
    terms: set[tuple[str, tuple[int, ...]]] = {
        ("bond", (i, j)) for i, near in enumerate(neighbours) for j in near if i < j
    }
    terms |= {("angle", (i, j, k)) for j, near in enumerate(neighbours) for i in near for k in near if i < k}
    extra = {(entry.kind, order) for entry in added for order in (entry.classes, entry.classes[::-1])}
    for kind, atoms in sorted(terms):
        classes = tuple(types[atom] for atom in atoms)
        if not covered(kind, classes) and (kind, classes) not in extra:
            raise FfptError(f"GAFF-2.11 has no parameter for the {kind} {'-'.join(classes)} of atoms {atoms}")


def _add_impropers(system: openmm.System, impropers: Sequence[Improper]) -> None:
    mm = import_openmm()
    torsions = [force for force in system.getForces() if isinstance(force, mm.PeriodicTorsionForce)]
    for improper in impropers:
        torsions[0].addTorsion(*improper.atoms, improper.periodicity, improper.phase, improper.k)


def build_system(topology: Topology, typed: Typed) -> tuple[openmm.System, list[Entry]]:
    """The GAFF-2.11 System of a molecule in vacuum: no cutoff, no constraints, one force group per term.

    Args:
        topology: of one residue MOL, see build_topology.
        typed: types, charges and parmchk2's text for its atoms.

    Returns:
        The System and the entries of the frcmod that filled gaps of GAFF-2.11.

    Raises:
        FfptError: an atom type that GAFF-2.11 does not have, or a bond or angle without parameters.
    """
    mm = import_openmm()
    unknown = sorted(set(typed.types) - atom_types())
    if unknown:
        raise FfptError(f"GAFF-2.11 has no atom type {', '.join(unknown)}")
    added = fill_gaps(read_frcmod(typed.frcmod))
    neighbours = _neighbours(topology)
    _check_bonded(neighbours, typed.types, added)
    texts = (gaff_ffxml(), to_ffxml(added), _template(topology, typed.types, typed.charges))
    files: list[Any] = [io.StringIO(text) for text in texts]
    system = mm.app.ForceField(*files).createSystem(
        topology, nonbondedMethod=mm.app.NoCutoff, constraints=None, rigidWater=False, removeCMMotion=False
    )
    _add_impropers(system, improper_torsions(neighbours, typed.types, added))
    assign_force_groups(system)
    return system, added


def gaff_teacher(
    molecule: Mol, charge_method: str = "am1-bcc", name: str = "", conformers: int = 20, seed: int = 0
) -> Teacher:
    """A GAFF-2.11 teacher of any neutral or charged organic molecule that GAFF has types for.

    Charges are computed for one conformer: the first of the molecule where it has one, else the one of
    lowest MMFF energy among ``conformers`` embedded ones. The relaxed structure is the lowest minimum of the
    teacher itself that L-BFGS reaches from the molecule's own conformer or, without one, from all embedded ones.

    Args:
        molecule: RDKit molecule with explicit hydrogens; its atom order is kept. See
            ``ffpt_core.teachers.gaff.molecules`` for SMILES, SDF, MOL2 and PDB.
        charge_method: "am1-bcc" or "gasteiger".
        name: for the record; the SMILES when empty.
        conformers: how many conformers to embed.
        seed: of the embedding.

    Raises:
        FfptError: no conformer, no parameters, radicals, more than one molecule; see assign_types.
    """
    from ase import Atoms

    from ffpt_core.teachers.gaff.molecules import check_molecule, conformer_positions, embedded

    check_molecule(molecule)
    molecule = embedded(molecule, conformers, seed)
    typed = assign_types(molecule, charge_method)
    symbols = [atom.GetSymbol() for atom in molecule.GetAtoms()]
    topology = build_topology(symbols, [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in molecule.GetBonds()])
    system, added = build_system(topology, typed)
    record = gaff_record(molecule, typed, added, name=name, conformers=conformers, seed=seed)
    start = Teacher(system, topology, Atoms(symbols, conformer_positions(molecule)[0]), LEVEL, record)
    return relaxed(start, conformer_positions(molecule))
