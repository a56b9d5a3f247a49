"""ffpt reactions: the 19 reactions, and inputs to start from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ffpt_core.cli.output import show

if TYPE_CHECKING:
    from ffpt_plumed.reactions.records import Reaction


def reactions(
    number: Annotated[str | None, typer.Argument(help="One of them, such as 9 or 12b; default: list all.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for its plumed.dat and start.xyz.")
    ] = None,
    side: Annotated[
        str | None, typer.Option("--from", help="Start from reactants or products; default: from the one molecule.")
    ] = None,
) -> None:
    """List the reactions of hydrogen combustion, or write one's PLUMED input and starting structure.

    \b
    Examples:
      ffpt reactions
      ffpt reactions 9 -o reaction-9/
    """
    from ffpt_core.base.errors import FfptError
    from ffpt_plumed.reactions.records import reaction

    if number is None:
        if output is not None or side is not None:
            raise FfptError("--output and --from need the number of one reaction")
        _list()
        return
    chosen = reaction(number)
    sides = {None: chosen.start, "reactants": chosen.reactants, "products": chosen.products}
    if side not in sides:
        raise FfptError(f"--from {side}: reactants or products")
    lines = _description(chosen)
    if output is not None:
        from ffpt_core.base.files import atomic_path, atomic_write
        from ffpt_plumed.reactions.inputs import plumed_input
        from ffpt_plumed.reactions.structures import starting_structure

        output.mkdir(parents=True, exist_ok=True)
        with atomic_write(output / "plumed.dat") as stream:
            stream.write(plumed_input(chosen))
        with atomic_path(output / "start.xyz") as path:
            starting_structure(chosen, sides[side]).write(path, format="extxyz")
        lines.append(f"wrote {output / 'plumed.dat'} and {output / 'start.xyz'}")
    show({"number": chosen.number, "equation": chosen.equation}, *lines)


def _list() -> None:
    from rich.table import Table

    from ffpt_plumed.reactions.records import REACTIONS

    table = Table(
        "no.", "equation", "2S+1", "atoms", "CVs: pairs @ Å", "barrier", "energy", title="kJ/mol along the path"
    )
    for found in REACTIONS.values():
        variables = "; ".join(
            f"{' '.join(f'{i + 1}-{j + 1}' for i, j in variable.pairs)} @ {variable.mu:g}"
            for variable in found.variables
        )
        barrier = "none" if found.barrier is None else f"{found.barrier:.1f}"
        table.add_row(
            found.number, found.equation, str(found.multiplicity), " ".join(found.symbols), variables, barrier,
            f"{found.energy:.1f}",
        )  # fmt: skip
    record = [
        {"number": one.number, "equation": one.equation, "multiplicity": one.multiplicity, "atoms": one.symbols,
         "barrier_kj_per_mol": one.barrier, "energy_kj_per_mol": one.energy}
        for one in REACTIONS.values()
    ]  # fmt: skip
    show(record, table)


def _description(reaction: Reaction) -> list[str]:
    """Its molecules, a line for each side."""
    lines = []
    for name, state in (("reactants", reaction.reactants), ("products", reaction.products)):
        molecules = [f"{part.species} (atoms {', '.join(str(i + 1) for i in part.atoms)})" for part in state]
        lines.append(f"{name}: {' + '.join(molecules)}")
    return lines
