"""``ffpt data pack``: boxes of single molecules, to pre-train for a liquid."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ffpt_core.cli.notes import notes
from ffpt_core.cli.output import show
from ffpt_core.cli.summaries import summary_table


def pack(
    file: Annotated[Path, typer.Argument(help="Frames of one isolated molecule, as `ffpt rattle` writes them.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Data set to write: .npz (ours) or .xyz, .extxyz.")],
    molecules: Annotated[int, typer.Option(min=1, help="In each box.")] = 8,
    density: Annotated[float, typer.Option(help="g/cm3.")] = 1.0,
    min_distance: Annotated[float, typer.Option(min=0.0, help="Between atoms of two molecules, Angstrom.")] = 1.0,
    reach: Annotated[float, typer.Option(min=0.0, help="Where the wall between two atoms begins, Angstrom.")] = 1.5,
    stiffness: Annotated[float, typer.Option(min=0.0, help="Of it, eV/A^2: stiffness/2 (reach - d)^2.")] = 20.0,
    seed: Annotated[int, typer.Option(help="Of the order of the frames, their places and turns.")] = 0,
) -> None:
    """Pack frames of a molecule into periodic boxes, without interactions but a wall at contact.

    What a liquid's potential is pre-trained on: it learns the molecule
    whatever is around it, and that molecules do not overlap, and starts
    fine-tuning from there, not from whatever a network that has seen one
    molecule alone makes of neighbours. Places and turns are random; energies
    are sums over the molecules and the wall.

    \b
    Example:
      ffpt rattle teacher/ -o rattled.npz
      ffpt data pack rattled.npz -o packed.npz --density 0.997
    """
    from ffpt_core.datasets import read, summary, write
    from ffpt_core.sampling.packing import Wall
    from ffpt_core.sampling.packing import pack as packed

    with notes():
        frames = read(file)
    boxes = packed(frames, molecules, density, min_distance, Wall(reach, stiffness), seed)
    write(boxes, output)
    overview = summary(boxes)
    show({"file": str(output), **overview.to_dict()}, summary_table(overview, str(output)))
