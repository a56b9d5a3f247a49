"""``ffpt info``: what a potential, a data set or a run is, and what it is good for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ffpt_core.base.errors import FfptError
from ffpt_core.cli.options import POTENTIALS
from ffpt_core.cli.output import show
from ffpt_core.cli.summaries import summary_table

if TYPE_CHECKING:
    from ffpt_core.base.results import Cell, Table
    from ffpt_core.potentials.interface import Potential

_MOST_MOLECULES = 12
"""Molecules that are named one by one."""


def info(
    what: Annotated[
        str,
        typer.Argument(metavar="WHAT", help=f"A data set, a run folder, an export, or a potential: {POTENTIALS}"),
    ],
) -> None:
    """Say what something is: elements, molecules, level of theory, errors, and what it is good for.

    \b
    Examples:
      ffpt info aspirin.pt
      ffpt info frames.npz
      ffpt info runs/ --json
    """
    path = Path(what)
    if (path / "run.json").is_file():
        show(*_run(path))
    elif path.is_file() and path.suffix != ".pt":
        _show_data(path)
    elif path.is_file() and _is_export(path):
        show(*_export(path))
    else:
        from ffpt_core import open_potential

        show(*_potential(what, open_potential(what, device="cpu")))


def _show_data(path: Path) -> None:
    from ffpt_core.cli.notes import notes
    from ffpt_core.datasets import read, summary

    with notes():
        overview = summary(read(path))
    show({"kind": "data set", "file": str(path), **overview.to_dict()}, summary_table(overview, str(path)))


def _is_export(path: Path) -> bool:
    from ffpt_core.export.torchscript import is_export

    return is_export(path)


def _lines(title: str, rows: list[tuple[str, Cell]]) -> Table:
    from ffpt_core.base.results import Table

    return Table(columns=[title, ""], rows=[[name, value] for name, value in rows if value not in (None, "")])


def _elements(numbers: Any) -> str:
    from ffpt_core.potentials.interface import element_name

    return "any" if numbers is None else " ".join(element_name(z) for z in sorted(numbers))


def _export(path: Path) -> tuple[dict[str, Any], Table]:
    from ffpt_core.export.torchscript import read_record

    record = read_record(path)
    rows: list[tuple[str, Cell]] = [
        ("kind", f"export for {record['engine']}: compiled, for exactly these {len(record['numbers'])} atoms"),
        ("elements", _elements(record["elements"])),
        ("in a box", "yes" if record["periodic"] else "no: an isolated molecule"),
        *_of_training(record["metadata"]),
    ]
    return {"kind": "export", "file": str(path), **record}, _lines(str(path), rows)


def _potential(name: str, potential: Potential) -> tuple[dict[str, Any], Table]:
    record = potential.record()
    metadata = record.get("metadata", {})
    rows: list[tuple[str, Cell]] = [
        ("kind", _kind(record)),
        ("elements", _elements(potential.elements)),
        ("level of theory", potential.level or "not known"),
        ("network", _network(record)),
        ("pressure", "yes" if potential.gives_virial else "no: it gives no virial"),
        *_of_training(metadata),
        ("good for", _good_for(record, metadata)),
        ("fingerprint", record["fingerprint"][:16]),
    ]
    elements = None if potential.elements is None else sorted(potential.elements)
    return {"kind": "potential", "name": name, **record, "elements": elements}, _lines(name, rows)


def _kind(record: dict[str, Any]) -> str:
    if "network" in record:
        return "potential of a trained network"
    return f"potential named {record['source']}" if "source" in record else "teacher: a classical force field"


def _network(record: dict[str, Any]) -> str | None:
    if "network" not in record:
        return None
    sizes = ", ".join(f"{name} {value}" for name, value in record["network"].items())
    return f"{record['network_kind']}, cutoff {record['cutoff']:g} Å, {sizes}, {record['precision']}"


def _of_training(metadata: dict[str, Any]) -> list[tuple[str, Cell]]:
    """What a trained potential says of its training: molecules, frames, errors."""
    data = metadata.get("data") or {}
    rows: list[tuple[str, Cell]] = []
    molecules = metadata.get("molecules") or {}
    if molecules:
        named = [f"{formula} ({count:,})" for formula, count in list(molecules.items())[:_MOST_MOLECULES]]
        more = len(molecules) - len(named)
        rows.append(("trained on", ", ".join(named) + (f" and {more} more" if more > 0 else "")))
    frames = {name: part["frames"] for name, part in data.items() if part}
    if frames:
        rows.append(("frames", ", ".join(f"{count:,} {name}" for name, count in frames.items())))
    for name, errors in (metadata.get("errors") or {}).items():
        if errors:
            rows.append((f"{name} errors", _errors(errors)))
    return rows


def _errors(errors: dict[str, Any]) -> str:
    from ffpt_core.base.results import milli

    parts = []
    if errors.get("energy_mae") is not None:
        parts.append(f"energy MAE {milli(errors['energy_mae'])} meV")
    if errors.get("force_mae") is not None:
        parts.append(f"force MAE {milli(errors['force_mae'])} meV/Å")
    return ", ".join(parts) + f" ({errors['frames']:,} frames)"


def _good_for(record: dict[str, Any], metadata: dict[str, Any]) -> str:
    if "network" not in record:
        return "what its level of theory is good for" if "source" in record else "its own molecule, near its own bonds"
    molecules = metadata.get("molecules")
    if not molecules:
        return "not known: its record names no molecules"
    what = "the molecules above" if len(molecules) > 1 else next(iter(molecules))
    start = (metadata.get("training") or {}).get("start")
    far = "pre-trained, so it should hold away from its data" if start else "wild away from its data"
    return f"{what} at the level above; {far}: ffpt audit counts its holes"


def _run(folder: Path) -> tuple[dict[str, Any], Table]:
    """A run of ffpt md, metad or sample."""
    from ffpt_core.base.files import read_json

    record = read_json(folder / "run.json")
    if not isinstance(record, dict) or "replicas" not in record:
        raise FfptError(f"{folder / 'run.json'} is not the record of a run of ffpt")
    settings, replicas = record["settings"], record["replicas"]
    failed = [one for one in replicas if one["status"] == "failed"]
    longest = max((one["time_ps"] for one in replicas), default=0.0)
    bias = record.get("bias") or {}
    rows: list[tuple[str, Cell]] = [
        ("kind", "biased dynamics" if bias else "molecular dynamics"),
        ("potential", f"{record['potential'].get('source', '')} {record['potential'].get('level') or ''}".strip()),
        ("bias", bias.get("source")),
        ("temperature", f"{settings['temperature']:g} K"),
        ("replicas", f"{len(replicas)}: {len(failed)} failed"),
        ("length", f"{longest:g} of {settings['length']:g} ps, time step {settings['timestep']:g} fs"),
        ("first failure", failed[0]["reason"] if failed else None),
        ("good for", f"ffpt analyze stability {folder}" + ("" if not bias else f", ffpt analyze fes {folder}")),
    ]
    return {"kind": "run", "folder": str(folder), **record}, _lines(str(folder), rows)
