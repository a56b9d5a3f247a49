"""``ffpt data water-box``: reference data of liquid water from nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ffpt_core.cli.output import show


def water_box(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write.")],
    model: Annotated[str, typer.Option(help="Flexible water model: spcfw or tip3p.")] = "spcfw",
    molecules: Annotated[int, typer.Option(min=1, help="In the box.")] = 64,
    density: Annotated[float, typer.Option(help="g/cm3.")] = 0.997,
    cutoff: Annotated[
        float, typer.Option(help="Of Lennard-Jones and Ewald's real-space part, Angstrom: at most half the box.")
    ] = 6.0,
    temperature: Annotated[float, typer.Option(help="K.")] = 300.0,
    friction: Annotated[float, typer.Option(help="Of the Langevin thermostat, 1/ps.")] = 2.0,
    timestep: Annotated[float, typer.Option(help="fs.")] = 1.0,
    equilibration: Annotated[float, typer.Option(min=0.0, help="Before the first frame, ps.")] = 50.0,
    train: Annotated[int, typer.Option(min=0, help="Training frames.")] = 1000,
    interval: Annotated[float, typer.Option(help="Between training frames, ps.")] = 1.0,
    test: Annotated[int, typer.Option(min=0, help="Test frames, of a trajectory of their own.")] = 10_000,
    test_interval: Annotated[float, typer.Option(help="Between test frames, ps.")] = 0.1,
    seed: Annotated[int, typer.Option(min=0, help="Of orientations, velocities and noise.")] = 0,
) -> None:
    """Simulate a periodic box of flexible water and write frames with energies and forces.

    The folder gets train.npz and test.npz (molecules whole, cell included; `ffpt data convert` makes extended XYZ of
    them), water-box.json, and reference/, the model itself: `ffpt md OUTPUT/reference` runs it as it runs a potential.
    Electrostatics are particle-mesh Ewald.

    Stopped or killed, the same command goes on and writes what an unbroken run would have written.

    \b
    Example:
      ffpt data water-box -o water/
      ffpt data water-box -o water/ --train 1000 --test 2000 --seed 1
    """
    from ffpt_core.base.progress import console
    from ffpt_core.base.runs import Parts
    from ffpt_core.sampling.trajectory import Dynamics
    from ffpt_core.sampling.water_box import WaterBox, make_water_box

    settings = WaterBox(
        model=model,
        n_molecules=molecules,
        density=density,
        cutoff=cutoff,
        dynamics=Dynamics(temperature, friction, timestep),
        train=train,
        test=test,
        interval=interval,
        test_interval=test_interval,
        equilibration=equilibration,
        seed=seed,
    )
    parts = Parts(output)
    if parts.begun:
        console.print(f"continuing with what is in {parts.folder}", highlight=False)
    made = make_water_box(settings, output)
    show(
        {"reference": output / "reference", "frames": {name: len(dataset) for name, dataset in made.items()}},
        *(f"{output / name}.npz: {len(dataset):,} frames, {dataset.level}" for name, dataset in made.items()),
        f"{output / 'reference'}: the model, for ffpt md",
    )
