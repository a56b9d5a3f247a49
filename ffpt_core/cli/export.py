"""ffpt export: a file that a simulation engine loads without ffpt."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, cast

import typer

from ffpt_core.base.errors import FfptError


def export(
    model: Annotated[Path, typer.Argument(help="Potential file.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write.")],
    topology: Annotated[Path | None, typer.Option(help="PDB file with the atoms of the simulation, in order.")] = None,
    molecule: Annotated[
        Path | None, typer.Option(help="Structure file (xyz and whatever ASE reads) with these atoms, instead.")
    ] = None,
    engine: Annotated[str, typer.Option(help="Engine to write for: openmm.")] = "openmm",
    periodic: Annotated[
        bool | None, typer.Option("--periodic/--isolated", help="In a box, or isolated; default: as the structure is.")
    ] = None,
    outputs_forces: Annotated[
        bool, typer.Option("--outputs-forces", help="For scripts that call TorchForce.setOutputsForces(True).")
    ] = False,
) -> None:
    """Write a TorchScript file that works as openmmtorch.TorchForce("force.pt") in a script without ffpt.

    Positions in nm, energy in kJ/mol. The file is for exactly the atoms of the topology, in their order. Energies
    and forces of the compiled potential are compared with the original ones first.

    \b
    Example:
      ffpt export aspirin.pt -o force.pt --engine openmm --topology aspirin/topology.pdb
    """
    import ase.io
    from ase import Atoms
    from ase.io.formats import UnknownFileTypeError

    from ffpt_core import load
    from ffpt_core.base.progress import console
    from ffpt_core.export.torchscript import ENGINES, export_torchscript

    if engine not in ENGINES:
        raise FfptError(f"there is no export for {engine!r}; there is for {', '.join(ENGINES)}")
    if (topology is None) == (molecule is None):
        raise FfptError("give the atoms: either --topology FILE.pdb or --molecule FILE.xyz")
    source, form = (molecule, None) if topology is None else (topology, "proteindatabank")
    try:
        atoms = cast(Atoms, ase.io.read(cast(Path, source), format=form))
    except (OSError, ValueError, IndexError, KeyError, UnknownFileTypeError) as error:
        raise FfptError(f"cannot read the structure {source}: {error}") from error
    in_box = bool(atoms.pbc.all()) if periodic is None else periodic
    if in_box and not atoms.pbc.all():
        raise FfptError(f"{source} has no box: a periodic export needs one")
    record = export_torchscript(
        load(model, device="cpu"),
        atoms.numbers,
        output,
        periodic=in_box,
        outputs_forces=outputs_forces,
        positions=atoms.positions,
    )
    console.print(
        f"{output}: TorchScript for OpenMM, {len(atoms)} atoms, {'periodic' if in_box else 'isolated'}, "
        f"{record['precision']}; nm and kJ/mol; equals {model} on rattled frames"
    )
