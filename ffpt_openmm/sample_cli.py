"""ffpt sample: independent frames of dynamics, for labels and training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ffpt_core.base.errors import FfptError
from ffpt_core.cli.options import Device, Jobs, PotentialName, Seed, Timestep
from ffpt_core.cli.output import show


def sample(
    potential: PotentialName,
    output: Annotated[Path, typer.Option("--output", "-o", help="Data set to write, .npz; the runs lie beside it.")],
    structure: Annotated[
        Path | None, typer.Option(help="Where the replicas start, with its cell; default: that of a teacher.")
    ] = None,
    temperature: Annotated[str, typer.Option(help="K; several with commas.")] = "300",
    frames: Annotated[int, typer.Option(min=1, help="Independent frames wanted at each temperature.")] = 200,
    frame_interval: Annotated[
        float, typer.Option(help="Between frames, of which independent ones are taken, ps.")
    ] = 0.1,
    equilibration: Annotated[float, typer.Option(min=0.0, help="Of each replica, ps: not counted.")] = 5.0,
    replicas: Annotated[int, typer.Option(min=1, help="Independent trajectories at each temperature.")] = 4,
    friction: Annotated[float, typer.Option(help="Of the Langevin thermostat, 1/ps.")] = 2.0,
    timestep: Timestep = 0.5,
    label: Annotated[
        str | None, typer.Option(help="Another potential, whose labels the frames get; default: the same.")
    ] = None,
    max_stretch: Annotated[
        float, typer.Option(help="A bond this much off its length at the start has left the physical range, Angstrom.")
    ] = 0.5,
    min_distance: Annotated[
        float | None, typer.Option(help="Closest that atoms of different molecules may come, Angstrom; water: 1.2.")
    ] = None,
    seed: Seed = 0,
    jobs: Jobs = None,
    device: Device = None,
) -> None:
    """Sample dynamics of any potential at one temperature or several, as a data set for `ffpt train`.

    Frames are as far apart as they are independent by the autocorrelation of the potential energy; runs become up to
    five times as long as planned for it. Only frames before a replica's first unphysical one count. The data set has
    labels, and the groups temperature and replica.

    Stopped or killed, the same command goes on, and more --frames or --replicas extend what is there.

    \b
    Example:
      ffpt sample tblite:GFN2-xTB --structure ethanol.xyz --temperature 300,600 --frames 200 -o ethanol.npz
      ffpt sample aspirin --temperature 500 --frames 1000 --label pyscf:PBE/def2-svp -o aspirin.npz
    """
    from ffpt_core.base.workers import available_cores
    from ffpt_core.potentials.sources import open_potential
    from ffpt_core.structure.read import read_geometry
    from ffpt_core.teachers import Teacher
    from ffpt_openmm.md.sample import SampleSettings
    from ffpt_openmm.md.sample import sample as run

    try:
        temperatures = tuple(float(value) for value in temperature.split(","))
    except ValueError as error:
        raise FfptError(f"--temperature {temperature}: write numbers, such as 300,600") from error
    settings = SampleSettings(
        temperatures,
        frames=frames,
        interval=frame_interval,
        equilibration=equilibration,
        replicas=replicas,
        friction=friction,
        timestep=timestep,
        seed=seed,
        max_stretch=max_stretch,
        min_distance=min_distance,
    )
    opened, topology = open_potential(potential, device), None
    if structure is not None:
        atoms = read_geometry(structure)
    elif isinstance(opened, Teacher):
        atoms, topology = opened.atoms, opened.topology
    else:
        raise FfptError("where do the replicas start? Give --structure FILE")
    dataset, sampled = run(
        opened,
        atoms,
        output,
        settings,
        topology=topology,
        label_with=label,
        jobs=jobs or available_cores(),
        progress=True,
    )
    lines = [
        f"{one.temperature:g} K: {len(one.frames)} independent frames of {one.simulated:g} ps, one each "
        f"{one.inefficiency * settings.interval:.2g} ps"
        for one in sampled
    ]
    record = [
        {"temperature_k": one.temperature, "frames": len(one.frames), "simulated_ps": one.simulated,
         "inefficiency": one.inefficiency}
        for one in sampled
    ]  # fmt: skip
    total = f"{output}: {len(dataset):,} frames labelled with {dataset.level}"
    show({"output": output, "frames": len(dataset), "level": dataset.level, "temperatures": record}, *lines, total)
