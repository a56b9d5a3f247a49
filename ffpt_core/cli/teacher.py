"""ffpt teacher: a classical force field of one molecule."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from ffpt_core.errors import FfptError
from ffpt_core.progress import console

if TYPE_CHECKING:
    from ffpt_core.teachers import Teacher


def teacher(
    source: Annotated[
        Optional[str], typer.Argument(help="A built-in molecule (aspirin), or an SDF, MOL, MOL2 or PDB file.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write.")] = Path("teacher"),
    smiles: Annotated[
        Optional[str], typer.Option(help="The molecule as SMILES; with a PDB file, the template of its bonds.")
    ] = None,
    charge: Annotated[Optional[int], typer.Option(help="Formal charge, e; for PDB files of ions.")] = None,
    charge_method: Annotated[str, typer.Option(help="Partial charges: am1-bcc or gasteiger.")] = "am1-bcc",
    name: Annotated[str, typer.Option(help="Name for the record; default: the SMILES.")] = "",
    conformers: Annotated[int, typer.Option(min=1, help="Conformers to relax when there are no coordinates.")] = 20,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the conformers.")] = 0,
) -> None:
    """Make a GAFF-2.11 teacher: OpenMM System, topology and relaxed geometry in a folder.

    A SMILES whose atoms (hydrogens too) all carry map numbers keeps their order; files keep theirs.

    \b
    Example:
      ffpt teacher --smiles "CC(=O)Oc1ccccc1C(=O)O" -o aspirin/
      ffpt teacher aspirin -o aspirin/
    """
    from ffpt_core.teachers import BUILT_IN, built_in

    if source in BUILT_IN and smiles is None:
        made = built_in(str(source))
    else:
        made = _gaff(source, smiles, charge, charge_method, name, conformers, seed)
    made.save(output)
    if made.record.get("warning"):
        console.print(f"warning: {made.record['warning']}", style="bold yellow", highlight=False, soft_wrap=True)
    formula = made.atoms.get_chemical_formula()
    console.print(
        f"{output}: {made.record['name']} ({formula}), {made.level} with {made.record['charge_method']} charges; "
        "system.xml, topology.pdb, relaxed.xyz, teacher.json",
        highlight=False,
        soft_wrap=True,
    )


def _gaff(
    source: str | None,
    smiles: str | None,
    charge: int | None,
    charge_method: str,
    name: str,
    conformers: int,
    seed: int,
) -> Teacher:
    from ffpt_core.teachers.gaff import gaff_teacher
    from ffpt_core.teachers.molecules import formal_charge, from_file, from_smiles

    if source is None:
        if smiles is None:
            raise FfptError("which molecule? Give --smiles, an SDF, MOL2 or PDB file, or the built-in name aspirin")
        molecule = from_smiles(smiles)
        if charge is not None and charge != formal_charge(molecule):
            raise FfptError(f"the formal charge of {smiles} is {formal_charge(molecule)}, not {charge}")
    else:
        if smiles is not None and not source.lower().endswith(".pdb"):
            raise FfptError(f"--smiles goes with a PDB file or alone; {source} brings its own bonds")
        molecule = from_file(source, charge=charge, smiles=smiles)
    with console.status("types and charges with antechamber, then relaxing"):
        return gaff_teacher(molecule, charge_method, name=name, conformers=conformers, seed=seed)
