"""``ffpt audit``: how many unphysical geometries around a molecule a potential takes for low in energy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ffpt_core.cli.options import Charge, Device, Multiplicity, PotentialNames, Reference
from ffpt_core.cli.output import show

if TYPE_CHECKING:
    from ffpt_core.analysis.audit import Audit


def audit(
    potentials: PotentialNames,
    structure: Annotated[
        str, typer.Option(help="The molecule: a SMILES, a geometry (.xyz and whatever ASE reads), or a teacher.")
    ],
    reference: Reference = None,
    kind: Annotated[
        list[str] | None, typer.Option(help="Scans: bond, angle, dihedral, contact; repeatable. Default: all.")
    ] = None,
    charge: Charge = 0,
    multiplicity: Multiplicity = 1,
    device: Device = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of audit.json and audit.png.")] = Path("audit"),
) -> None:
    """Count the holes of potentials: unphysical geometries with a low energy, where dynamics would fall in.

    Every bond is stretched and pressed, every angle bent, every torsion turned, and atoms that are not bonded are
    pressed together; the rest of the molecule moves rigidly. The rules stand in audit.json. A reference excuses what
    is truly weak.

    \b
    Examples:
      ffpt audit aspirin.pt --structure aspirin
      ffpt audit scratch.pt tuned.pt --structure "CC(=O)Nc1ccc(O)cc1" --reference tblite:GFN2-xTB -o audit/
    """
    from ffpt_core.analysis.audit import audit_potentials, plot_audits
    from ffpt_core.analysis.audit_scans import KINDS, audit_scans
    from ffpt_core.analysis.molecule import molecule_of
    from ffpt_core.base.figures import save_figure
    from ffpt_core.base.files import write_json
    from ffpt_core.base.progress import progress_bar
    from ffpt_core.cli.arguments import labelled, labelled_once
    from ffpt_core.potentials.sources import open_charged

    specs = labelled_once([*potentials, *([reference] if reference else [])])
    opened = {label: open_charged(name, charge, multiplicity, device) for label, name in specs.items()}
    trusted = labelled(reference)[0] if reference else None
    kinds = tuple(kind) if kind else KINDS
    atoms, bonds = molecule_of(structure)
    geometries = sum(len(scan.geometries) for scan in audit_scans(atoms, kinds, bonds=bonds))
    with progress_bar("Auditing", geometries * len(opened), unit="geometries") as advance:
        audits = audit_potentials(opened, atoms, trusted, kinds, bonds=bonds, advance=advance)
    record = [one.to_dict() for one in audits]
    write_json(output / "audit.json", record)
    save_figure(plot_audits(audits), output / "audit.png")
    show(record, *_parts(audits))


def _parts(audits: Sequence[Audit]) -> list[Any]:
    """The counts, and each hole."""
    from ffpt_core.analysis.audit_table import holes_table

    holes = [f"{audit.label}: {finding.name}, {finding.hole}" for audit in audits for finding in audit.holes]
    return [holes_table([audit.to_dict() for audit in audits]), *holes]
