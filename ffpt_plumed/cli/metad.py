"""ffpt metad: metadynamics and other dynamics that a PLUMED input biases."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ffpt_core.base.errors import FfptError
from ffpt_core.cli.options import (
    CheckpointInterval,
    Device,
    FrameInterval,
    PotentialName,
    Seed,
    TableInterval,
    Temperature,
    Threads,
    Timestep,
)
from ffpt_core.cli.output import show
from ffpt_core.cli.spellings import became_first_argument, femtoseconds_as_picoseconds, formerly, renamed

if TYPE_CHECKING:
    from ase import Atoms

    from ffpt_core.potentials.interface import Potential
    from ffpt_openmm.md.run import MDResult
    from ffpt_plumed.reactions.inputs import MetadynamicsSettings
    from ffpt_plumed.reactions.records import Reaction


@formerly(
    became_first_argument("--model"),
    renamed("--interval", "--frame-interval", femtoseconds_as_picoseconds),
    renamed("--log-interval", "--table-interval", femtoseconds_as_picoseconds),
)
def metad(
    potential: PotentialName,
    reaction: Annotated[str | None, typer.Option(help="One of 'ffpt reactions': its input and start.")] = None,
    input: Annotated[Path | None, typer.Option(help="PLUMED input; default: that of the reaction.")] = None,
    structure: Annotated[Path | None, typer.Option(help="Start (xyz); default: that of the reaction.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder of the run; default: after reaction or input.")
    ] = None,
    guard: Annotated[
        str, typer.Option(help="What ends the run: contacts, or species: molecules too that the reaction cannot make.")
    ] = "contacts",
    bias: Annotated[
        str, typer.Option(help="What runs the input: plumed, native, openmm-plumed, or auto: plumed with a kernel.")
    ] = "auto",
    engine: Annotated[str, typer.Option(help="What integrates: openmm or ase.")] = "openmm",
    height: Annotated[float, typer.Option(help="Of the first hill of a reaction, kJ/mol.")] = 1.0,
    pace: Annotated[int, typer.Option(min=1, help="Steps between hills of a reaction.")] = 250,
    bias_factor: Annotated[float, typer.Option(help="Of a reaction's well-tempered metadynamics.")] = 50.0,
    temperature: Temperature = 300.0,
    friction: Annotated[float, typer.Option(min=0.0, help="Of the Langevin thermostat, 1/ps.")] = 10.0,
    timestep: Timestep = 0.2,
    length: Annotated[float, typer.Option(help="ps.")] = 100.0,
    seed: Seed = 0,
    minimize: Annotated[bool, typer.Option("--minimize/--no-minimize", help="Relax the geometry first.")] = False,
    frame_interval: FrameInterval = 0.01,
    table_interval: TableInterval = 0.1,
    checkpoint_interval: CheckpointInterval = 1.0,
    min_distance: Annotated[
        float | None, typer.Option(help="Closest that two atoms may come, Angstrom; default: half their radii's sum.")
    ] = None,
    backend: Annotated[str, typer.Option(help="torchforce, pythonforce or auto: the fastest that is there.")] = "auto",
    platform: Annotated[str, typer.Option(help="OpenMM platform, or auto.")] = "auto",
    threads: Threads = 1,
    device: Device = None,
) -> None:
    """Biased Langevin dynamics of one trajectory; it stops at its first unphysical frame.

    The folder has the trajectory, the table of energies, the PLUMED input, COLVAR and HILLS. The same command continues
    a run that was stopped at any moment; a greater --length extends it.

    \b
    Example:
      ffpt metad h2.pt --reaction 9 --length 1000
      ffpt metad tblite:GFN2-xTB --input plumed.dat --structure start.xyz -o run/
    """
    import torch

    from ffpt_core.base.units import PICOSECOND
    from ffpt_openmm.md.settings import MDSettings
    from ffpt_plumed.metadynamics.run import run_metad
    from ffpt_plumed.reactions.inputs import MetadynamicsSettings
    from ffpt_plumed.reactions.species import SpeciesCriterion

    settings = MDSettings(
        temperature=temperature,
        friction=friction,
        timestep=timestep,
        length=length,
        seed=seed,
        minimize=minimize,
        interval=frame_interval * PICOSECOND,
        log_interval=table_interval * PICOSECOND,
        checkpoint_interval=checkpoint_interval,
        min_distance=min_distance,
        backend=backend,
        platform=platform,
    )
    if guard not in ("contacts", "species"):
        raise FfptError(f"there is no guard {guard!r}; there are contacts, species")
    if guard == "species" and reaction is None:
        raise FfptError("which species there may be is told by a --reaction")
    hills = MetadynamicsSettings(height=height, pace=pace, bias_factor=bias_factor, temperature=temperature)
    job = _job(reaction, input, structure, hills)
    torch.set_num_threads(threads)
    result = run_metad(
        _opened(potential, job.reaction, device),
        job.script,
        job.start,
        job.folder if output is None else output,
        settings,
        engine=engine,
        bias=bias,
        source=job.source,
        inputs_from=None if input is None else input.parent,
        guard=SpeciesCriterion.from_reaction(job.reaction) if guard == "species" and job.reaction else None,
        progress=True,
    )
    _show(result)


def _opened(name: str, reaction: Reaction | None, device: str | None) -> Potential:
    """The potential; one that counts electrons gets the multiplicity of the reaction, unless its name has another."""
    from ffpt_core.potentials.calculator_potential import CalculatorPotential
    from ffpt_core.potentials.sources import open_potential

    opened = open_potential(name, device)
    counts_electrons = isinstance(opened, CalculatorPotential) and opened.electrons is not None
    if reaction is None or not counts_electrons or "multiplicity" in name:
        return opened
    return open_potential(name, device, multiplicity=reaction.multiplicity)


@dataclass(frozen=True)
class _Job:
    """What is asked for: PLUMED input, where it comes from, start, default folder, and the reaction if it is one."""

    script: str
    source: str
    start: Atoms
    folder: Path
    reaction: Reaction | None


def _job(number: str | None, input: Path | None, structure: Path | None, hills: MetadynamicsSettings) -> _Job:
    from ffpt_core.structure.read import read_geometry
    from ffpt_plumed.reactions.inputs import plumed_input
    from ffpt_plumed.reactions.records import reaction as reaction_of

    if number is None and (input is None or structure is None):
        raise FfptError("say what to run: --reaction NUMBER, or --input FILE and --structure FILE")
    reaction = None if number is None else reaction_of(number)
    start = None if structure is None else read_geometry(structure)
    if reaction is not None and start is None:
        from ffpt_plumed.reactions.structures import starting_structure

        start = starting_structure(reaction)
    if reaction is not None and start is not None and tuple(start.symbols) != reaction.symbols:
        raise FfptError(
            f"reaction {reaction.number} is of the atoms {' '.join(reaction.symbols)} in this order, "
            f"{structure} has {' '.join(start.symbols)}"
        )
    if input is not None:
        script, source, folder = _read(input), str(input), Path(input.stem)
    else:
        assert reaction is not None  # else there is an input
        script = plumed_input(reaction, hills)
        source, folder = f"reaction {reaction.number}", Path(f"reaction-{reaction.number}")
    assert start is not None  # of the reaction, else given
    return _Job(script, source, start, folder, reaction)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise FfptError(f"cannot read the PLUMED input {path}: {getattr(error, 'strerror', None) or error}") from error


def _show(result: MDResult) -> None:
    from ffpt_core.base.files import read_json

    record = read_json(result.folder / "run.json")["bias"]
    outcome = result.outcomes[0]
    speed = "" if outcome.steps_per_second is None else f", {outcome.steps_per_second:,.0f} steps/s"
    lines = [f"{result.folder}: {outcome.status} at {outcome.time_ps:g} ps{speed}; {record['source']}"]
    if outcome.reason:
        lines.append(f"stopped: {outcome.reason} (failure-0.xyz)")
    rows = {}
    for name in record["outputs"]:
        path = result.folder / name
        if path.is_file():
            rows[name] = sum(not line.startswith("#") for line in path.read_text().splitlines())
    lines += [f"{name}: {count} lines" for name, count in rows.items()]
    show({"folder": result.folder, **dataclasses.asdict(outcome), "lines": rows}, *lines)
