"""ffpt md: molecular dynamics."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ffpt_core.base.errors import FfptError
from ffpt_core.cli.options import (
    CheckpointInterval,
    Device,
    FrameInterval,
    Jobs,
    PotentialName,
    Seed,
    TableInterval,
    Temperature,
    Threads,
    Timestep,
)
from ffpt_core.cli.output import show
from ffpt_core.cli.spellings import femtoseconds_as_picoseconds, formerly, renamed

if TYPE_CHECKING:
    from ase import Atoms
    from openmm.app import Topology

    from ffpt_core.potentials.interface import Potential
    from ffpt_core.teachers import Teacher
    from ffpt_openmm.md.run import MDResult


@formerly(
    renamed("--interval", "--frame-interval", femtoseconds_as_picoseconds),
    renamed("--log-interval", "--table-interval", femtoseconds_as_picoseconds),
)
def md(
    potential: PotentialName,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the run.")],
    topology: Annotated[
        Path | None,
        typer.Option(
            help="PDB file with the atoms in order; CRYST1 makes it periodic. Default: of the teacher or the structure."
        ),
    ] = None,
    structure: Annotated[
        Path | None, typer.Option(help="Starting geometry (xyz); default: the teacher's, or the topology's.")
    ] = None,
    teacher: Annotated[
        str | None, typer.Option(help="Folder of a teacher, or the built-in one (aspirin): relaxes the geometry first.")
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option(help="Folder of a run: its frames are where the replicas start, with new thermal velocities."),
    ] = None,
    start_every: Annotated[float, typer.Option(help="Time between these frames, and before the first, ps.")] = 20.0,
    temperature: Temperature = 300.0,
    friction: Annotated[
        float, typer.Option(min=0.0, help="Of the Langevin thermostat, 1/ps; 0: constant energy (NVE).")
    ] = 2.0,
    pressure: Annotated[
        float | None, typer.Option(help="Of a Monte Carlo barostat, bar (NPT); default: constant volume.")
    ] = None,
    timestep: Timestep = 0.5,
    length: Annotated[float, typer.Option(help="Of each replica, ps.")] = 100.0,
    replicas: Annotated[int, typer.Option(min=1, help="Independent trajectories.")] = 1,
    seed: Seed = 0,
    minimize: Annotated[
        bool, typer.Option("--minimize/--no-minimize", help="Relax the geometry first; frames of --start never are.")
    ] = True,
    wrap: Annotated[
        bool | None,
        typer.Option(
            "--wrap/--no-wrap",
            help="Put whole molecules back into the box in the trajectory; diffusion needs it as it is. "
            "Default: with --pressure only.",
            show_default=False,
        ),
    ] = None,
    format: Annotated[str, typer.Option(help="Of the trajectory: dcd or h5.")] = "dcd",
    frame_interval: FrameInterval = 0.01,
    table_interval: TableInterval = 0.1,
    checkpoint_interval: CheckpointInterval = 1.0,
    max_stretch: Annotated[
        float, typer.Option(help="A bond this much off its reference length has left the physical range, Angstrom.")
    ] = 0.5,
    min_distance: Annotated[
        float | None, typer.Option(help="Closest that atoms of different molecules may come, Angstrom; water: 1.2.")
    ] = None,
    backend: Annotated[str, typer.Option(help="torchforce, pythonforce or auto: the fastest that is there.")] = "auto",
    platform: Annotated[str, typer.Option(help="OpenMM platform, or auto.")] = "auto",
    jobs: Jobs = None,
    threads: Threads = 1,
    device: Device = None,
) -> None:
    """Dynamics of independent replicas on any potential; each stops at its first unphysical frame.

    The same command continues a run that was stopped at any moment; a greater --length or more --replicas extend
    it. An unphysical frame is a result, not an error: it is written to failure-K.xyz, and the others go on.

    \b
    Example:
      ffpt md aspirin.pt --teacher aspirin --temperature 500 --length 100 --replicas 10 -o runs/
      ffpt md water.pt --topology water/reference/topology.pdb --temperature 300 --min-distance 1.2 -o nvt/
      ffpt md water/reference --temperature 300 --start nvt/ --friction 0 --replicas 5 -o nve/
      ffpt md tblite:GFN2-xTB --structure ethanol.xyz -o xtb/
    """
    from ffpt_core.base.units import PICOSECOND
    from ffpt_core.potentials.sources import open_potential
    from ffpt_core.structure.read import read_geometry
    from ffpt_core.teachers import load_teacher
    from ffpt_openmm.md.run import run_md
    from ffpt_openmm.md.settings import MDSettings
    from ffpt_openmm.md.starts import frames_of_run

    settings = MDSettings(
        temperature=temperature,
        friction=friction,
        pressure=pressure,
        timestep=timestep,
        length=length,
        replicas=replicas,
        seed=seed,
        minimize=minimize and start is None,
        interval=frame_interval * PICOSECOND,
        log_interval=table_interval * PICOSECOND,
        checkpoint_interval=checkpoint_interval,
        max_stretch=max_stretch,
        min_distance=min_distance,
        format=format,
        wrap=pressure is not None if wrap is None else wrap,
        backend=backend,
        platform=platform,
    )
    loaded = None if teacher is None else load_teacher(teacher)
    opened = open_potential(potential, device)
    start_here = None if structure is None else read_geometry(structure)
    atoms, geometry = _atoms(topology, loaded, opened, start_here)
    given: Atoms | list[Atoms] | None = geometry if start_here is None else start_here
    reference = None
    if start is not None:
        if structure is not None:
            raise FfptError("--start and --structure both say where to start: give one of them")
        given, reference = frames_of_run(start, start_every)
    result = run_md(
        opened, atoms, output, settings, source=potential, structure=given, reference=reference, teacher=loaded,
        jobs=jobs, threads=threads, progress=True,
    )  # fmt: skip
    _show(result)


def _atoms(
    topology: Path | None, teacher: Teacher | None, potential: Potential, structure: Atoms | None
) -> tuple[Topology, Atoms | None]:
    """The topology, and a geometry unless that of the teacher is to be relaxed."""
    from ffpt_core.structure.graph import find_bonds
    from ffpt_core.structure.read import read_topology
    from ffpt_core.teachers import Teacher
    from ffpt_openmm.forces.systems import topology_of

    if topology is not None:
        read, geometry = read_topology(topology)
        return read, geometry if teacher is None else None
    if teacher is not None:
        return teacher.topology, None
    if isinstance(potential, Teacher):
        return potential.topology, potential.atoms
    if structure is not None:
        return topology_of(structure, find_bonds(structure)), structure
    raise FfptError("give the atoms: --structure FILE, --topology FILE.pdb, or --teacher FOLDER")


def _show(result: MDResult) -> None:
    from rich.table import Table

    from ffpt_core.base.units import DAY, NANOSECOND, PICOSECOND

    nanoseconds = result.settings.timestep / PICOSECOND / NANOSECOND
    table = Table("replica", "outcome", "time (ps)", "steps/s", "ns/day", "reason")
    for index, outcome in enumerate(result.outcomes):
        speed = outcome.steps_per_second
        per_day = None if speed is None else speed * nanoseconds * DAY
        style = "green" if outcome.status == "finished" else "yellow"
        table.add_row(
            str(index),
            f"[{style}]{outcome.status}[/{style}]",
            f"{outcome.time_ps:.3f}",
            "" if speed is None else f"{speed:,.0f}",
            "" if per_day is None else f"{per_day:.2f}",
            outcome.reason,
        )
    stable = len(result.outcomes) - result.failed
    line = f"{stable} of {len(result.outcomes)} replicas stayed physical for {result.settings.length:g} ps"
    outcomes = [dataclasses.asdict(outcome) for outcome in result.outcomes]
    show({"folder": result.folder, "stable": stable, "replicas": outcomes}, table, f"{result.folder}: {line}")
