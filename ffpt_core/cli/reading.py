"""Options of the verbs that read frames: what a file does not say itself. See ffpt_core.datasets.ReadOptions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

if TYPE_CHECKING:
    from ffpt_core.datasets import ReadOptions

EnergyUnit = Annotated[
    Optional[str], typer.Option(help="Energy unit of the file, if it does not say: eV, kcal/mol, kJ/mol, hartree.")
]
LengthUnit = Annotated[Optional[str], typer.Option(help="Length unit of the file: Angstrom, nm, bohr.")]
Level = Annotated[Optional[str], typer.Option(help="Level of theory of the labels, e.g. CCSD/cc-pVDZ.")]
EnergyKey = Annotated[Optional[str], typer.Option(help="Extended XYZ: the key of the energies.")]
ForcesKey = Annotated[Optional[str], typer.Option(help="Extended XYZ: the column of the forces.")]
Topology = Annotated[Optional[Path], typer.Option(help="PDB file with the atoms of a DCD, XTC or TRR trajectory.")]
First = Annotated[int, typer.Option(min=0, help="Frames to leave out at the start (of each replica).")]
Last = Annotated[Optional[int], typer.Option(min=1, help="Read no frames behind this one, counted from 1.")]
Stride = Annotated[int, typer.Option(min=1, help="Read one frame out of so many.")]


def reading(**options: Any) -> ReadOptions:
    """The options of a verb as one record; those that are None were not given."""
    from ffpt_core.datasets.options import options_from

    return options_from(None, {name: value for name, value in options.items() if value is not None})
