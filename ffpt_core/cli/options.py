"""Options that several verbs share: each is named once, and means the same everywhere.

A potential is the first argument of every verb that takes one. Times are ps, time steps fs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

POTENTIALS = (
    "a .pt file; a teacher's folder or name; tblite:GFN2-xTB, pyscf:PBE/def2-svp, ase:module.Class?key=value, "
    "openmm-ml:NAME."
)
"""What names a potential, for help texts: ffpt_core.potentials.sources has the table."""


def _complete_potential(incomplete: str) -> list[str]:
    """Names and files for the shell's tab key."""
    from ffpt_core.teachers.builtin import BUILT_IN

    schemes = ("tblite:GFN2-xTB", "tblite:GFN1-xTB", "pyscf:", "ase:", "openmm-ml:", "teacher:")
    folder = Path(incomplete) if incomplete.endswith("/") else Path(incomplete).parent
    try:
        there = [path for path in folder.iterdir() if path.suffix == ".pt" or path.is_dir()]
    except OSError:
        there = []
    files = [f"{path}/" if path.is_dir() else str(path) for path in there]
    return [name for name in (*schemes, *BUILT_IN, *sorted(files)) if name.startswith(incomplete)]


PotentialName = Annotated[
    str, typer.Argument(metavar="POTENTIAL", help=f"The potential: {POTENTIALS}", autocompletion=_complete_potential)
]
PotentialNames = Annotated[
    list[str],
    typer.Argument(
        metavar="POTENTIAL...",
        help=f"One or more; LABEL=NAME names it in tables and pictures. NAME: {POTENTIALS}",
        autocompletion=_complete_potential,
    ),
]
Structure = Annotated[
    Path | None, typer.Option(help="Geometry: .xyz, any file that ASE reads, or a teacher's folder (its relaxed one).")
]
Reference = Annotated[str | None, typer.Option(help="A potential to trust, which results are compared with.")]
Charge = Annotated[int, typer.Option(help="Total charge, e (tblite, pyscf).")]
Multiplicity = Annotated[int, typer.Option(min=1, help="2S + 1 (tblite, pyscf).")]
Device = Annotated[
    str | None, typer.Option(help="Where a potential computes: cpu or cuda; default: a GPU where there is one.")
]
Threads = Annotated[int, typer.Option(min=1, help="CPU threads of PyTorch, for each process.")]
Jobs = Annotated[int | None, typer.Option(min=1, help="Processes at the same time; default: one for each core.")]
Seed = Annotated[int, typer.Option(min=0, help="Of all random numbers.")]
Temperature = Annotated[float, typer.Option(min=0.0, help="K.")]
Timestep = Annotated[float, typer.Option(help="fs.")]
FrameInterval = Annotated[float, typer.Option(help="Between frames of the trajectory, ps.")]
TableInterval = Annotated[float, typer.Option(help="Between rows of energies and temperature, ps.")]
CheckpointInterval = Annotated[float, typer.Option(help="Between checkpoints, ps.")]
