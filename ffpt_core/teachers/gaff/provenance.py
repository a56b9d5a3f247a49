"""What teacher.json says about where a GAFF teacher comes from."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ffpt_core.teachers.gaff.atom_types import Typed
from ffpt_core.teachers.gaff.parameters import Entry
from ffpt_core.teachers.provenance import versions

if TYPE_CHECKING:
    from rdkit.Chem import Mol

PACKAGES = ("openmm", "openmmforcefields", "acpype", "rdkit")


def entry_text(entry: Entry) -> str:
    """A frcmod entry as one line for people."""
    values = " ".join(f"{value:g}" for value in entry.values)
    return f"{entry.kind} {'-'.join(entry.classes)} {values} ({re.sub(' +', ' ', entry.comment)})"


def gaff_record(
    molecule: Mol, typed: Typed, added: Sequence[Entry], name: str, conformers: int, seed: int
) -> dict[str, Any]:
    """The record of a GAFF teacher; JSON values only."""
    from rdkit import Chem

    smiles = Chem.MolToSmiles(Chem.RemoveHs(molecule))
    record: dict[str, Any] = {
        "name": name or smiles,
        "smiles": smiles,
        "formal_charge": Chem.GetFormalCharge(molecule),
        "charge_method": typed.method,
        "atom_types": list(typed.types),
        "charges_e": [round(float(charge), 8) for charge in typed.charges],
        "parameters": "gaff-2.11.xml of openmmforcefields, impropers in the order of tleap; gaps filled by parmchk2",
        "added_by_parmchk2": [entry_text(entry) for entry in added],
        "conformers": conformers,
        "seed": seed,
        "versions": versions(PACKAGES),
        "units": {"system.xml": "OpenMM: nm, kJ/mol, amu, e", "relaxed.xyz": "Angstrom"},
    }
    if typed.warning:
        record["warning"] = typed.warning
    return record
