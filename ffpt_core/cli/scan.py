"""``ffpt scan``: what potentials say about geometries far from those they were trained on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ffpt_core.cli.options import Charge, Device, Multiplicity, PotentialNames, Reference
from ffpt_core.cli.output import show
from ffpt_core.cli.spellings import formerly, renamed

if TYPE_CHECKING:
    from ase import Atoms

    from ffpt_core.analysis.scan_energies import ScanResult
    from ffpt_core.analysis.scans import Scan


@formerly(renamed("--molecule", "--structure"))
def scan(
    potentials: PotentialNames,
    structure: Annotated[Path, typer.Option(help="Relaxed geometry: .xyz, any file ASE reads, or a teacher's folder.")],
    reference: Reference = None,
    bond: Annotated[list[str] | None, typer.Option(help="Two bonded atoms, counted from 0: 0,13. Repeatable.")] = None,
    angle: Annotated[list[str] | None, typer.Option(help="Three atoms: 14,4,15. Repeatable.")] = None,
    dihedral: Annotated[list[str] | None, typer.Option(help="Four atoms in a chain: 0,1,2,3. Repeatable.")] = None,
    contact: Annotated[list[str] | None, typer.Option(help="Two atoms that are not bonded: 3,17. Repeatable.")] = None,
    all_bonds: Annotated[bool, typer.Option("--all-bonds", hidden=True, help="Before there was ffpt audit.")] = False,
    all_angles: Annotated[bool, typer.Option("--all-angles", hidden=True, help="Before there was ffpt audit.")] = False,
    charge: Charge = 0,
    multiplicity: Multiplicity = 1,
    device: Device = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the results.")] = Path("scans"),
) -> None:
    """Energies along bonds, angles, dihedrals and contacts; ffpt audit scans all of them and counts holes.

    Each scan moves one fragment of the molecule rigidly and writes NAME.json and NAME.png.

    \b
    Example:
      ffpt scan scratch.pt "fine-tuned=tuned.pt" --structure relaxed.xyz \\
          --reference tblite:GFN2-xTB --bond 0,13 -o scans/
    """
    from ffpt_core.analysis.scan_energies import evaluate_scans
    from ffpt_core.base.errors import FfptError
    from ffpt_core.base.progress import progress_bar
    from ffpt_core.cli.arguments import labelled, labelled_once
    from ffpt_core.potentials.sources import open_charged
    from ffpt_core.structure.read import read_geometry

    atoms = read_geometry(structure)
    single = _single_scans(atoms, bond or [], angle or [], dihedral or [], contact or [])
    audited = _audited_scans(atoms, all_bonds, all_angles)
    if not single and not audited:
        raise FfptError("nothing to scan: give --bond, --angle, --dihedral or --contact; ffpt audit scans all")
    specs = labelled_once([*potentials, *([reference] if reference else [])])
    opened = {label: open_charged(spec, charge, multiplicity, device) for label, spec in specs.items()}
    trusted = labelled(reference)[0] if reference else None
    wanted = [*single, *audited]
    with progress_bar("Scanning", sum(len(one.geometries) for one in wanted) * len(opened), "geometries") as advance:
        results = evaluate_scans(wanted, opened, advance)
    _write_scans(results[: len(single)], trusted, output)
    if audited:
        _write_audits(results[len(single) :], trusted, output)


def _single_scans(
    atoms: Atoms, bonds: Sequence[str], angles: Sequence[str], dihedrals: Sequence[str], contacts: Sequence[str]
) -> list[Scan]:
    from ffpt_core.analysis.scans import scan_angle, scan_bond, scan_contact, scan_dihedral
    from ffpt_core.cli.arguments import atom_indices

    wanted: list[tuple[Callable[..., Scan], int, Sequence[str]]] = [
        (scan_bond, 2, bonds),
        (scan_angle, 3, angles),
        (scan_dihedral, 4, dihedrals),
        (scan_contact, 2, contacts),
    ]
    return [make(atoms, *atom_indices(text, count)) for make, count, texts in wanted for text in texts]


def _audited_scans(atoms: Atoms, bonds: bool, angles: bool) -> list[Scan]:
    from ffpt_core.analysis.audit_scans import audit_scans

    kinds = [kind for kind, wanted in (("bond", bonds), ("angle", angles)) if wanted]
    return audit_scans(atoms, kinds, angles="hydrogen")


def _write_scans(results: Sequence[ScanResult], reference: str | None, output: Path) -> None:
    from ffpt_core.analysis.scan_energies import plot_scans
    from ffpt_core.base.figures import save_figure
    from ffpt_core.base.files import write_json

    for result in results:
        name = "-".join([result.scan.kind, *map(str, result.scan.atoms)])
        write_json(output / f"{name}.json", result.to_dict())
        save_figure(plot_scans([result], reference), output / f"{name}.png")
    if len(results) > 1:
        save_figure(plot_scans(results, reference), output / "scans.png")


def _write_audits(results: Sequence[ScanResult], reference: str | None, output: Path) -> None:
    from ffpt_core.analysis.audit import find_holes, plot_audits
    from ffpt_core.analysis.audit_table import holes_table
    from ffpt_core.analysis.scan_energies import plot_scans
    from ffpt_core.base.figures import save_figure
    from ffpt_core.base.files import write_json

    for kind in ("bond", "angle"):
        chosen = [result for result in results if result.scan.kind == kind]
        if chosen:
            write_json(output / f"all-{kind}s.json", [result.to_dict() for result in chosen])
            save_figure(plot_scans(chosen, reference), output / f"all-{kind}s.png")
    audits = [find_holes(results, label, reference) for label in results[0].energies]
    write_json(output / "audit.json", [audit.to_dict() for audit in audits])
    save_figure(plot_audits(audits), output / "audit.png")
    holes = [f"{audit.label}: {finding.name}, {finding.hole}" for audit in audits for finding in audit.holes]
    show([audit.to_dict() for audit in audits], holes_table([audit.to_dict() for audit in audits]), *holes)
