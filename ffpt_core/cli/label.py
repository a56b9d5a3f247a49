"""ffpt label: energies and forces for frames from any calculator."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Annotated

import typer

from ffpt_core.base.errors import FfptError
from ffpt_core.base.progress import console
from ffpt_core.cli.notes import notes
from ffpt_core.cli.options import Charge, Jobs, Multiplicity, PotentialName
from ffpt_core.cli.output import show
from ffpt_core.cli.reading import EnergyUnit, First, Last, LengthUnit, Stride, Topology, reading
from ffpt_core.cli.spellings import became_first_argument, formerly


@formerly(became_first_argument("--calculator"))
def label(
    potential: PotentialName,
    frames: Annotated[
        Path,
        typer.Argument(help="Data set, run folder or trajectory; labels in it are not looked at."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Data set to write, .npz.")],
    charge: Charge = 0,
    multiplicity: Multiplicity = 1,
    jobs: Jobs = None,
    skip_failed: Annotated[bool, typer.Option("--skip-failed", help="Leave out frames that fail.")] = False,
    length_unit: LengthUnit = None,
    energy_unit: EnergyUnit = None,
    topology: Topology = None,
    first: First = 0,
    last: Last = None,
    stride: Stride = 1,
) -> None:
    """Label frames with any potential, in parallel.

    Stopped or killed, the same command goes on where it was (finished frames lie in OUTPUT.parts until the
    end) and writes what an unbroken run would have written. A .json beside the data set says how it was made.

    Every process has one thread; with --jobs 1 set OMP_NUM_THREADS for more.

    \b
    Examples:
      ffpt label tblite:GFN2-xTB frames.xyz -o gfn2.npz --jobs 2
      ffpt label tblite:GFN2-xTB run/ -o gfn2.npz --first 100 --stride 50
    """
    # Small molecules gain nothing from threads, and on a busy machine threads that wait for each other lose
    # orders of magnitude. The libraries of tblite and pyscf read this when they are loaded, below.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from ffpt_core.base.files import read_json
    from ffpt_core.base.runs import Parts
    from ffpt_core.base.workers import available_cores
    from ffpt_core.datasets import DatasetWarning, read
    from ffpt_core.sampling.labelling import Job
    from ffpt_core.sampling.labelling import label as run

    if output.suffix != ".npz":
        raise FfptError(f"the data set is written as .npz, not as {output.name}")
    parts = Parts(output)
    continued = parts.begun
    options = reading(
        length_unit=length_unit, energy_unit=energy_unit, topology=topology, first=first, last=last, stride=stride
    )
    with notes():
        # The reader says that there are no labels; that is why they are made here.
        warnings.filterwarnings("ignore", message=".*no (energies|forces) found", category=DatasetWarning)
        data = read(frames, options)
    work = Job(data, potential, charge, multiplicity, skip_failed)
    if continued:
        console.print(f"continuing with what is in {parts.folder}", highlight=False)
    labelled = run(work, output, jobs=jobs or available_cores())
    failed = read_json(output.with_suffix(".json"))["failed"]
    note = f"; {len(failed)} of {len(data)} failed and were left out" if failed else ""
    show(
        {"output": output, "frames": len(labelled), "level": labelled.level, "failed": failed},
        f"{output}: {len(labelled):,} frames labelled with {labelled.level}{note}",
    )
