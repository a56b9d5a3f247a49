"""ffpt teacher: a classical force field of one molecule."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from ffpt_core.base.errors import FfptError
from ffpt_core.base.progress import console
from ffpt_core.cli.output import show

if TYPE_CHECKING:
    from ffpt_core.teachers import Teacher


def teacher(
    source: Annotated[
        Optional[str], typer.Argument(help="A built-in molecule (aspirin, H2O, ...), or an SDF, MOL, MOL2 or PDB file.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write.")] = Path("teacher"),
    water: Annotated[
        Optional[str], typer.Option(help="One flexible water molecule instead: tip3p, or spcfw.", show_default=False)
    ] = None,
    smiles: Annotated[
        Optional[str], typer.Option(help="The molecule as SMILES; with a PDB file, the template of its bonds.")
    ] = None,
    qforce: Annotated[
        Optional[str],
        typer.Option(
            help="A Q-Force teacher: a species (H2O), all eight (all), or Q-Force's own NAME_qforce.xml, gas.top."
        ),
    ] = None,
    geometry: Annotated[
        Optional[Path], typer.Option(help="With --qforce FILE: structure; default: gas.pdb or gas.gro beside it.")
    ] = None,
    charge: Annotated[Optional[int], typer.Option(help="Formal charge, e; for PDB files of ions.")] = None,
    charge_method: Annotated[str, typer.Option(help="Partial charges: am1-bcc or gasteiger.")] = "am1-bcc",
    name: Annotated[str, typer.Option(help="Name for the record; default: the SMILES.")] = "",
    conformers: Annotated[int, typer.Option(min=1, help="Conformers to relax when there are no coordinates.")] = 20,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the conformers.")] = 0,
) -> None:
    """Make a teacher (GAFF-2.11, Q-Force, flexible water): OpenMM System, topology and relaxed geometry in a folder.

    A SMILES whose atoms (hydrogens too) all carry map numbers keeps their order; files keep theirs.

    \b
    Examples:
      ffpt teacher --smiles "CC(=O)Oc1ccccc1C(=O)O" -o aspirin/
      ffpt teacher aspirin -o aspirin/
      ffpt teacher --qforce all -o teachers/
      ffpt teacher --qforce ethanol_qforce.xml -o ethanol/
      ffpt teacher --water tip3p -o water/
    """
    from ffpt_core.teachers import built_in, built_in_names
    from ffpt_core.teachers.water import water_teacher

    if (qforce, water).count(None) < 2 and (source, smiles, qforce, water).count(None) < 3:
        raise FfptError("--qforce and --water bring their own molecule: give no other")
    if qforce is not None:
        _write_qforce(qforce, geometry, name, output)
        return
    if water is not None:
        made = water_teacher(water)
    elif source in built_in_names() and smiles is None:
        made = built_in(str(source))
    else:
        made = _gaff(source, smiles, charge, charge_method, name, conformers, seed)
    _write(made, output)


def _write(made: Teacher, output: Path) -> None:
    """Save a teacher and say what it is."""
    made.save(output)
    if made.provenance.get("warning"):
        console.print(f"warning: {made.provenance['warning']}", style="bold yellow", highlight=False, soft_wrap=True)
    formula = made.atoms.get_chemical_formula()
    charges = f" with {made.provenance['charge_method']} charges" if "charge_method" in made.provenance else ""
    show(
        {"output": output, "formula": formula, "level": made.level, **made.provenance},
        f"{output}: {made.provenance['name']} ({formula}), {made.level}{charges}; "
        "system.xml, topology.pdb, relaxed.xyz, teacher.json",
    )


def _write_qforce(what: str, geometry: Path | None, name: str, output: Path) -> None:
    """Teachers of one species, of all (a folder each), or of a file that Q-Force wrote."""
    from ffpt_core.teachers.qforce.files import read_qforce
    from ffpt_core.teachers.qforce.species import SPECIES
    from ffpt_core.teachers.qforce.species_teachers import species_teacher

    if what == "all":
        for species in SPECIES:
            _write(species_teacher(species), output / species)
    elif what in SPECIES:
        _write(species_teacher(what), output)
    elif Path(what).suffix:
        _write(read_qforce(Path(what), geometry, name), output)
    else:
        raise FfptError(f"--qforce {what}: a species ({', '.join(SPECIES)}), all, or a file of Q-Force (.xml, .top)")


def _gaff(
    source: str | None,
    smiles: str | None,
    charge: int | None,
    charge_method: str,
    name: str,
    conformers: int,
    seed: int,
) -> Teacher:
    from ffpt_core.teachers.gaff.build import gaff_teacher
    from ffpt_core.teachers.gaff.molecules import formal_charge, from_file, from_smiles

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
