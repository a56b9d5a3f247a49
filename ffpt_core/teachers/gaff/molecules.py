"""RDKit molecules from SMILES, SDF, MOL2 and PDB, with explicit hydrogens and 3D structures."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ffpt_core.base.errors import FfptError

if TYPE_CHECKING:
    from rdkit.Chem import Mol


def import_rdkit() -> Any:
    """RDKit's Chem module, its messages switched off (errors of ours say what is wrong).

    Raises:
        FfptError: RDKit is not installed.
    """
    try:
        from rdkit import Chem, rdBase
        from rdkit.Chem import AllChem  # noqa: F401  # makes Chem.AllChem reachable
    except ImportError as error:
        raise FfptError(f'molecules are read with RDKit ({error}): pip install "ffpt[gaff]"') from error
    rdBase.DisableLog("rdApp.*")
    return Chem


def _ordered_by_map(chem: Any, molecule: Mol) -> Mol:
    """Atoms in the order of their map numbers where every atom, hydrogens included, has its own."""
    numbers = [atom.GetAtomMapNum() for atom in molecule.GetAtoms()]
    if sorted(numbers) == list(range(1, len(numbers) + 1)):
        molecule = chem.RenumberAtoms(molecule, [int(index) for index in np.argsort(numbers)])
    for atom in molecule.GetAtoms():
        atom.SetAtomMapNum(0)
    return molecule


def from_smiles(smiles: str) -> Mol:
    """A molecule from SMILES; hydrogens are added.

    Where all atoms, hydrogens included, carry map numbers 1 to n, they are the atom order.

    Raises:
        FfptError: not a valid SMILES.
    """
    chem = import_rdkit()
    parameters = chem.SmilesParserParams()
    parameters.removeHs = False
    molecule = chem.MolFromSmiles(smiles, parameters)
    if molecule is None or molecule.GetNumAtoms() == 0:
        raise FfptError(f"{smiles!r} is not a valid SMILES")
    return _ordered_by_map(chem, chem.AddHs(molecule))


def from_file(path: str | os.PathLike[str], charge: int | None = None, smiles: str | None = None) -> Mol:
    """A molecule with coordinates from an SDF/MOL, MOL2 or PDB file; its atom order is kept.

    PDB files carry no bond orders: they are perceived from the geometry and ``charge``, or taken from
    ``smiles``. All hydrogens must be there: they are never guessed into a given structure.

    Args:
        path: a file ending in .sdf, .mol, .mol2 or .pdb; the first molecule in it is read.
        charge: formal charge, e; needed for PDB files of ions without smiles.
        smiles: template for the bond orders of a PDB file.

    Raises:
        FfptError: unknown ending, unreadable file, missing hydrogens, or bonds that do not fit charge
            or smiles.
    """
    chem = import_rdkit()
    path = Path(path)
    try:
        text = path.read_text()
    except OSError as error:
        raise FfptError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise FfptError(f"{path} is not a text file") from error
    suffix = path.suffix.lower()
    if suffix in (".sdf", ".mol"):
        molecule = chem.MolFromMolBlock(text, removeHs=False)
    elif suffix == ".mol2":
        molecule = chem.MolFromMol2Block(text, removeHs=False)
    elif suffix == ".pdb":
        molecule = _from_pdb(chem, path, text, 0 if charge is None else charge, smiles)
    else:
        raise FfptError(f"{path}: molecules are read from .sdf, .mol, .mol2 and .pdb files, or from SMILES")
    if molecule is None or molecule.GetNumAtoms() == 0:
        hint = " (MOL2 files need SYBYL atom types such as C.3, not GAFF's)" if suffix == ".mol2" else ""
        raise FfptError(f"{path}: RDKit finds no valid molecule in it{hint}")
    if any(atom.GetNumImplicitHs() for atom in molecule.GetAtoms()):
        raise FfptError(f"{path}: hydrogens are missing; add them first, or give a SMILES")
    found = chem.GetFormalCharge(molecule)
    if charge is not None and found != charge:
        raise FfptError(f"{path}: its formal charge is {found}, not {charge}")
    return molecule


def _from_pdb(chem: Any, path: Path, text: str, charge: int, smiles: str | None) -> Mol | None:
    """A PDB file with bond orders from a SMILES template or perceived from the geometry."""
    from rdkit.Chem import AllChem, rdDetermineBonds

    molecule = chem.MolFromPDBBlock(text, removeHs=False, sanitize=False, proximityBonding=smiles is not None)
    if molecule is None:
        return None
    try:
        if smiles is None:
            bare = chem.RWMol(molecule)
            for bond in list(bare.GetBonds()):
                bare.RemoveBond(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx())
            molecule = bare.GetMol()
            rdDetermineBonds.DetermineBonds(molecule, charge=charge, embedChiral=False)
        else:
            template = from_smiles(smiles)
            molecule = AllChem.AssignBondOrdersFromTemplate(template, molecule)
        chem.SanitizeMol(molecule)
    except (ValueError, RuntimeError, chem.MolSanitizeException) as error:
        how = f"the SMILES {smiles}" if smiles else f"a formal charge of {charge} (give --charge or --smiles)"
        raise FfptError(f"{path}: its bonds do not fit {how}: {str(error).strip().splitlines()[0]}") from error
    return molecule


def formal_charge(molecule: Mol) -> int:
    """Formal charge of a molecule, e."""
    return int(import_rdkit().GetFormalCharge(molecule))


def check_molecule(molecule: Mol) -> None:
    """Refuse what GAFF cannot describe.

    Raises:
        FfptError: more than one molecule, radical electrons, or implicit hydrogens.
    """
    chem = import_rdkit()
    pieces = len(chem.GetMolFrags(molecule))
    if pieces != 1:
        raise FfptError(f"a teacher is for one molecule; this input has {pieces}")
    for atom in molecule.GetAtoms():
        if atom.GetNumRadicalElectrons():
            raise FfptError(f"atom {atom.GetIdx()} ({atom.GetSymbol()}) is a radical; GAFF has closed shells only")
        if atom.GetNumImplicitHs():
            raise FfptError(f"atom {atom.GetIdx()} ({atom.GetSymbol()}) has implicit hydrogens; make them explicit")


def embedded(molecule: Mol, conformers: int, seed: int) -> Mol:
    """A copy with conformers, the best first: its own where it has one, else ETKDG ones by MMFF or UFF energy.

    Raises:
        FfptError: RDKit finds no 3D structure.
    """
    import_rdkit()
    from rdkit.Chem import Mol, rdDistGeom, rdForceFieldHelpers

    if molecule.GetNumConformers() and molecule.GetConformer().Is3D():
        return molecule
    molecule = Mol(molecule)
    parameters = rdDistGeom.ETKDGv3()
    parameters.randomSeed = seed  # type: ignore[assignment]  # RDKit's stubs are wrong
    if not len(rdDistGeom.EmbedMultipleConfs(molecule, conformers, parameters)):
        parameters.useRandomCoords = True  # type: ignore[assignment]
        if not len(rdDistGeom.EmbedMultipleConfs(molecule, conformers, parameters)):
            raise FfptError("RDKit finds no 3D structure for this molecule; give one as SDF or MOL2")
    if rdForceFieldHelpers.MMFFHasAllMoleculeParams(molecule):
        found = rdForceFieldHelpers.MMFFOptimizeMoleculeConfs(molecule, maxIters=2000)
    elif rdForceFieldHelpers.UFFHasAllMoleculeParams(molecule):
        found = rdForceFieldHelpers.UFFOptimizeMoleculeConfs(molecule, maxIters=2000)
    else:
        return molecule
    order = np.argsort([energy for _, energy in found], kind="stable")
    ordered = Mol(molecule, confId=-1)
    ordered.RemoveAllConformers()
    for index in order:
        ordered.AddConformer(molecule.GetConformer(int(index)), assignId=True)
    return ordered


def conformer_positions(molecule: Mol) -> np.ndarray:
    """(n_conformers, n_atoms, 3) positions of the conformers, Angstrom."""
    return np.array([conformer.GetPositions() for conformer in molecule.GetConformers()])
