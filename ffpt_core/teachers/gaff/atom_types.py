"""GAFF atom types and partial charges of a molecule, by the programs of AmberTools."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ffpt_core.base.errors import FfptError
from ffpt_core.teachers.gaff.ambertools import AmberTools
from ffpt_core.teachers.gaff.parameters import gaff_dat

if TYPE_CHECKING:
    from rdkit.Chem import Mol

CHARGE_METHODS: dict[str, str] = {"am1-bcc": "bcc", "gasteiger": "gas"}
"""Charge methods by name, with antechamber's word for each."""


@dataclass(frozen=True)
class Typed:
    """What GAFF needs to know about the atoms of a molecule.

    Args:
        types: (n_atoms,) GAFF atom types.
        charges: (n_atoms,) partial charges, e.
        frcmod: parmchk2's text, for parameters that GAFF-2.11 lacks.
        method: charge method, a key of CHARGE_METHODS.
        warning: why the method is not the one that was asked for, or "".
    """

    types: tuple[str, ...]
    charges: np.ndarray
    frcmod: str
    method: str
    warning: str = ""


def read_mol2_atoms(text: str) -> tuple[tuple[str, ...], np.ndarray]:
    """Atom types and (n_atoms,) partial charges (e) of a MOL2 file.

    Raises:
        FfptError: no atom section, or a line without a charge.
    """
    types: list[str] = []
    charges: list[float] = []
    inside = False
    for line in text.splitlines():
        if line.startswith("@<TRIPOS>"):
            inside = line.strip() == "@<TRIPOS>ATOM"
        elif inside and line.strip():
            words = line.split()
            try:
                types.append(words[5])
                charges.append(float(words[8]))
            except (IndexError, ValueError) as error:
                raise FfptError(f"a MOL2 atom line without type and charge: {line!r}") from error
    if not types:
        raise FfptError("the MOL2 file has no atoms")
    return tuple(types), np.array(charges)


def neutralised(charges: np.ndarray, total: int) -> np.ndarray:
    """Charges (n_atoms,), e, shifted equally so that they add up to total.

    antechamber rounds, which leaves a residue; a whole lost charge would be an error and not a residue.

    Raises:
        FfptError: the sum is off by more than 0.05 e.
    """
    residue = total - float(np.sum(charges))
    if abs(residue) > 0.05:
        raise FfptError(f"partial charges add up to {np.sum(charges):.3f} e, but the formal charge is {total}")
    return charges + residue / len(charges)


def assign_types(molecule: Mol, charge_method: str = "am1-bcc") -> Typed:
    """GAFF atom types and charges of a molecule by antechamber, missing parameters by parmchk2.

    Args:
        molecule: RDKit molecule with explicit hydrogens and a conformer, which the charges are for.
        charge_method: "am1-bcc", or "gasteiger". Where sqm cannot run, Gasteiger charges take the place
            of AM1-BCC ones and ``warning`` says so.

    Raises:
        FfptError: unknown method, a program is missing or fails.
    """
    from rdkit import Chem

    if charge_method not in CHARGE_METHODS:
        raise FfptError(f"charge method {charge_method!r} is not one of {', '.join(CHARGE_METHODS)}")
    tools = AmberTools.find()
    charge = Chem.GetFormalCharge(molecule)
    warning = ""
    with tempfile.TemporaryDirectory(prefix="ffpt-gaff-") as name:
        folder = Path(name)
        if charge_method == "am1-bcc":
            problem = tools.sqm_problem(folder)
            if problem is not None:
                charge_method = "gasteiger"
                warning = f"Gasteiger charges instead of AM1-BCC: {problem}"
        with Chem.SDWriter(str(folder / "molecule.sdf")) as writer:
            writer.write(molecule)
        typed, frcmod = folder / "typed.mol2", folder / "missing.frcmod"
        tools.antechamber(folder / "molecule.sdf", typed, charge, CHARGE_METHODS[charge_method])
        tools.parmchk2(typed, frcmod, gaff_dat())
        types, charges = read_mol2_atoms(typed.read_text())
        text = frcmod.read_text()
    if len(types) != molecule.GetNumAtoms():
        raise FfptError(f"antechamber returned {len(types)} atoms for {molecule.GetNumAtoms()}")
    return Typed(types, neutralised(charges, charge), text, charge_method, warning)
