"""Tables of audits: how many scans have a hole, and what single geometries cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ffpt_core.base.results import Cell, Result, Table, decimals

_COLUMNS = {"bond": "Bonds", "angle": "Angles", "dihedral": "Torsions", "contact": "Contacts"}

_LOWEST = "Lowest cost (eV)"


def holes_table(audits: Sequence[Mapping[str, Any]], caption: str = "") -> Table:
    """How many scans of each potential have a hole, from the audit.json of ``ffpt scan``."""
    # Files of before hold bonds and angles only; what nobody scanned has no column but for those two.
    kinds = [
        kind
        for kind in _COLUMNS
        if kind in ("bond", "angle") or any(audit["counts"].get(kind, {}).get("scans") for audit in audits)
    ]
    rows: list[list[Cell]] = []
    for audit in audits:
        row: list[Cell] = [audit["label"]]
        for kind in kinds:
            counts = audit["counts"][kind]
            lowest = [one["lowest"] for one in audit["findings"] if one["kind"] == kind and one["lowest"] is not None]
            row += [f"{counts['holes']} of {counts['scans']}" if counts["scans"] else None]
            row += [decimals(min(lowest)) if lowest else None]
        rows.append(row)
    columns = ["Potential", *(heading for kind in kinds for heading in (f"{_COLUMNS[kind]} with a hole", _LOWEST))]
    return Table(columns=columns, rows=rows, caption=caption or _holes_caption(audits, kinds))


def _holes_caption(audits: Sequence[Mapping[str, Any]], kinds: Sequence[str]) -> str:
    rules = audits[0]["rules"]
    text = (
        f"A bond has a hole when it costs less than {rules['bond_energy']:g} eV to stretch it by "
        f"{rules['stretch']:g} Å or more, or less than {rules['compressed_energy']:g} eV to compress it by "
        f"{rules['compression']:g} Å or more. "
        f"An angle has one when it costs less than {rules['closed_energy']:g} eV to close it to {rules['closed']:g} "
        f"degrees or less, or less than {rules['opened_energy']:g} eV to open it to {rules['opened']:g} or more. "
        "Either has one when its energy has a second minimum below these bounds. "
    )
    if "dihedral" in kinds:
        text += (
            f"A torsion has one when it gains more than {rules['pit']:g} eV, or costs more than {rules['wall']:g} eV "
            "with no atoms near each other. "
        )
    if "contact" in kinds:
        text += (
            f"Atoms that are not bonded have one when it costs less than {rules['pressed_energy']:g} eV to press them "
            f"to {rules['pressed']:g} of the sum of their covalent radii, or when they attract each other there. "
        )
    return text + "Scans are rigid. The lowest cost is that of all geometries beyond these limits."


def costs_table(audits: Sequence[Mapping[str, Any]], name: str, caption: str = "") -> Table:
    """Energies of one bond or angle at the lengths or angles of an audit.

    Args:
        audits: content of audit.json.
        name: of the scan: "bond C4-H18".
        caption: of the table.
    """
    rows: list[list[Cell]] = []
    points: list[str] = []
    for audit in audits:
        finding = next(one for one in audit["findings"] if one["name"] == name)
        points = list(finding["energies"])
        rows.append([audit["label"], *(decimals(energy) for energy in finding["energies"].values())])
    unit = "Å" if name.startswith("bond") else "degrees"
    columns = ["Potential", *(f"{float(point):g}\N{NO-BREAK SPACE}{unit} (eV)" for point in points)]
    return Table(
        columns=columns, rows=rows, caption=caption or f"Energy of the {name.replace('-', '–')}, others rigid."
    )


AUDIT = Result(
    title="Scans and holes",
    file="audit.json",
    table=holes_table,
    pictures=(
        ("scans.png", "Rigid scans, energies relative to the start geometry (dotted line)."),
        ("audit.png", "Lowest energy of each scan where it is unphysical; a cross is a hole."),
        ("all-bonds.png", "Rigid scans of all bonds."),
        ("all-angles.png", "Rigid scans of angles."),
        ("all-dihedrals.png", "Rigid scans of torsions."),
        ("all-contacts.png", "Atoms that are not bonded, pressed together."),
    ),
    stage="errors",
)
"""Of ``ffpt audit`` and ``ffpt scan``: the holes of a potential around one molecule."""
