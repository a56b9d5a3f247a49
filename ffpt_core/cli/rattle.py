"""ffpt rattle: pre-training data from a teacher."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from ffpt_core.errors import FfptError
from ffpt_core.files import write_json
from ffpt_core.progress import console


def rattle(
    teacher: Annotated[str, typer.Argument(help="Folder written by ffpt teacher, or the built-in: aspirin.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Data set to write, .npz.")],
    frames: Annotated[int, typer.Option(min=1, help="Number of frames.")] = 100_000,
    sigma: Annotated[float, typer.Option(min=0.0, help="Standard deviation of the noise, Angstrom.")] = 0.2,
    sigma_min: Annotated[
        float | None,
        typer.Option(min=0.0, help="Each frame draws its own sigma between this and --sigma; default: all have it."),
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(help="Rattle frames of MD of the teacher at this temperature (K), not its relaxed geometry."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the noise.")] = 0,
    compare: Annotated[
        Path | None, typer.Option(help="Frames to compare with; without it a short run of the teacher at 500 K.")
    ] = None,
    precision: Annotated[str, typer.Option(help="float64, or float32 for half the size on disk.")] = "float64",
) -> None:
    """Rattle the relaxed molecule, or frames of its dynamics, and label the frames with its teacher.

    Writes the data set, and beside it a .json and a .png: energy per vibrational degree of freedom with the
    effective temperature, and pair distances and bond lengths beside those of MD frames.

    \b
    Examples:
      ffpt rattle aspirin/ -o aspirin-gaff.npz --frames 100000 --sigma 0.2 --seed 0
      ffpt rattle aspirin/ -o aspirin-gaff.npz --temperature 800 --sigma-min 0 --sigma 0.2
    """
    from ffpt_core.analysis.style import save_figure
    from ffpt_core.sampling import rattle_and_label
    from ffpt_core.sampling_plots import plot_sampling
    from ffpt_core.teachers import load_teacher

    if output.suffix != ".npz":
        raise FfptError(f"the data set is written as .npz, not as {output.name}")
    loaded = load_teacher(teacher)
    start, cpu_start = time.perf_counter(), time.process_time()
    dataset = rattle_and_label(loaded, frames, sigma, seed, sigma_min, temperature)
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    # Noise does not compress: packing would take longer than labelling.
    dataset.save(output, compressed=False, precision=precision)
    energies, distributions = _distributions(loaded, dataset, compare, seed)
    write_json(
        output.with_suffix(".json"),
        {
            "teacher": teacher,
            "level": loaded.level,
            "frames": frames,
            "sigma_A": sigma,
            "sigma_min_A": sigma_min,
            "temperature_K": temperature,
            "seed": seed,
            "seconds": seconds,
            "cpu_seconds": cpu_seconds,
            "frames_per_second": frames / seconds,
            "fingerprint": dataset.fingerprint,
            "energies": energies.to_dict(),
            "distances": {label: values.to_dict() for label, values in distributions.items()},
        },
    )
    save_figure(plot_sampling(energies, distributions), output.with_suffix(".png"))
    console.print(
        f"{output}: {frames:,} frames labelled with {loaded.level} in {seconds:.1f} s ({frames / seconds:,.0f}/s); "
        f"effective temperature {energies.mean_temperature:,.0f} K by the mean, "
        f"{energies.median_temperature:,.0f} K by the median"
    )


def _distributions(loaded: Any, dataset: Any, compare: Path | None, seed: int) -> tuple[Any, dict[str, Any]]:
    """Energies of dataset, and distances of dataset and of the frames to compare with, by label."""
    from ffpt_core.datasets import read
    from ffpt_core.sampling import distance_distribution, energy_distribution, vibrational_degrees_of_freedom
    from ffpt_core.teachers.dynamics import teacher_frames

    if compare is None:
        label, other = f"MD of {loaded.level}, 500 K", teacher_frames(loaded, seed=seed)
    else:
        label, other = compare.stem, read(compare)
    shape = (-1, len(loaded.numbers), 3)
    if other.numbers.size % shape[1] or (other.numbers.reshape(shape[:2]) != loaded.numbers).any():
        raise FfptError(f"{compare} holds other atoms than the teacher, or in another order")
    minimum = float(loaded.energies_and_forces(loaded.atoms.positions[None])[0][0])
    n_vib = vibrational_degrees_of_freedom(loaded.atoms.positions)
    distributions = {
        name: distance_distribution(frames.positions.reshape(shape), loaded.bonds)
        for name, frames in (("rattled", dataset), (label, other))
    }
    return energy_distribution(dataset.energies, minimum, n_vib), distributions
