"""ffpt export: a file that a simulation engine loads without ffpt."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from ffpt_core.base.errors import FfptError
from ffpt_core.cli.options import PotentialName
from ffpt_core.cli.output import show
from ffpt_core.cli.spellings import formerly, renamed

if TYPE_CHECKING:
    from ffpt_core import NetworkPotential


@formerly(renamed("--molecule", "--structure"))
def export(
    potential: PotentialName,
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write.")],
    topology: Annotated[Path | None, typer.Option(help="PDB file with the atoms of the simulation, in order.")] = None,
    structure: Annotated[
        Path | None, typer.Option(help="Geometry (xyz and whatever ASE reads) with these atoms, instead.")
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

    from ffpt_core.export.torchscript import ENGINES, export_torchscript

    if engine not in ENGINES:
        raise FfptError(f"there is no export for {engine!r}; there is for {', '.join(ENGINES)}")
    if (topology is None) == (structure is None):
        raise FfptError("give the atoms: either --topology FILE.pdb or --structure FILE.xyz")
    source, form = (structure, None) if topology is None else (topology, "proteindatabank")
    try:
        atoms = cast(Atoms, ase.io.read(cast(Path, source), format=form))
    except (OSError, ValueError, IndexError, KeyError, UnknownFileTypeError) as error:
        raise FfptError(f"cannot read the structure {source}: {error}") from error
    in_box = bool(atoms.pbc.all()) if periodic is None else periodic
    if in_box and not atoms.pbc.all():
        raise FfptError(f"{source} has no box: a periodic export needs one")
    record = export_torchscript(
        _network(potential),
        atoms.numbers,
        output,
        periodic=in_box,
        outputs_forces=outputs_forces,
        positions=atoms.positions,
    )
    show(
        {"output": output, **record},
        f"{output}: TorchScript for OpenMM, {len(atoms)} atoms, {'periodic' if in_box else 'isolated'}, "
        f"{record['precision']}; nm and kJ/mol; equals {potential} on rattled frames",
    )


def _network(name: str) -> NetworkPotential:
    """The potential, which must be a network: only those can be compiled."""
    from ffpt_core import NetworkPotential, open_potential

    opened = open_potential(name, device="cpu")
    if not isinstance(opened, NetworkPotential):
        raise FfptError(f"{name} is no network: an export is a compiled network; other potentials run as PythonForce")
    return opened
