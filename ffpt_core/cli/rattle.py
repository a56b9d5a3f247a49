"""ffpt rattle: pre-training data from a teacher."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from ffpt_core.base.errors import FfptError
from ffpt_core.base.progress import console
from ffpt_core.cli.output import show


def rattle(
    teachers: Annotated[
        list[str],
        typer.Argument(
            help="Folders written by ffpt teacher, folders of those, or built-in names (aspirin, H2O, ...)."
        ),
    ],
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
    weight: Annotated[
        list[str] | None,
        typer.Option(help="NAME=W: share of a molecule, of several; default: its vibrations. Repeatable."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the noise.")] = 0,
    compare: Annotated[
        Path | None, typer.Option(help="Frames to compare with; without it a short run of the teacher at 500 K.")
    ] = None,
    precision: Annotated[str, typer.Option(help="float64, or float32 for half the size on disk.")] = "float64",
) -> None:
    """Rattle relaxed molecules, or frames of their dynamics, and label the frames with their teachers.

    Frames of several teachers go into one data set whose group "species" names them.

    Writes the data set, and beside it a .json and a .png: energy per vibrational degree of freedom with the
    effective temperature, and pair distances and bond lengths beside those of MD frames (of one teacher).

    \b
    Examples:
      ffpt rattle aspirin/ -o aspirin-gaff.npz --frames 100000 --sigma 0.2 --seed 0
      ffpt rattle aspirin/ -o aspirin-gaff.npz --temperature 800 --sigma-min 0 --sigma 0.2
      ffpt rattle H O H2 O2 OH H2O HO2 H2O2 -o combustion-qforce.npz --weight H=1 --weight H2O2=8
    """
    from ffpt_core.base.figures import save_figure
    from ffpt_core.base.files import write_json
    from ffpt_core.sampling.mixtures import rattle_mixture
    from ffpt_core.sampling.rattle import rattle_and_label
    from ffpt_core.teachers import load_teachers

    if output.suffix != ".npz":
        raise FfptError(f"the data set is written as .npz, not as {output.name}")
    loaded = load_teachers(teachers)
    if all(len(one.atoms) == 1 for one in loaded.values()):
        raise FfptError("atoms alone have nothing to rattle: give molecules with them")
    weights = _weights(weight, loaded)
    start, cpu_start = time.perf_counter(), time.process_time()
    if len(loaded) == 1:
        (only,) = loaded.values()
        dataset = rattle_and_label(only, frames, sigma, seed, sigma_min, temperature)
    else:
        dataset = rattle_mixture(loaded, frames, weights, sigma, seed, sigma_min, temperature)
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    # Noise does not compress: packing would take longer than labelling.
    dataset.save(output, compressed=False, precision=precision)
    statistics, figure = _one(only, dataset, compare, seed) if len(loaded) == 1 else _several(loaded, dataset, compare)
    record = {
        "teacher": teachers[0] if len(teachers) == 1 else teachers,
        "level": dataset.level,
        "frames": frames,
        "sigma_A": sigma,
        "sigma_min_A": sigma_min,
        "temperature_K": temperature,
        "seed": seed,
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "frames_per_second": frames / seconds,
        "fingerprint": dataset.fingerprint,
        **statistics,
    }
    write_json(output.with_suffix(".json"), record)
    save_figure(figure, output.with_suffix(".png"))
    show(
        record,
        f"{output}: {frames:,} frames labelled with {dataset.level} in {seconds:.1f} s ({frames / seconds:,.0f}/s)",
    )


def _weights(given: list[str] | None, loaded: dict[str, Any]) -> dict[str, float] | None:
    """The weights of all teachers from NAME=W; those that are not named keep their default."""
    from ffpt_core.sampling.mixtures import default_weights

    if not given:
        return None
    weights = default_weights(loaded)
    for text in given:
        name, _, value = text.partition("=")
        if name not in weights:
            raise FfptError(f"--weight {text}: the teachers are {', '.join(weights)}")
        try:
            weights[name] = float(value)
        except ValueError as error:
            raise FfptError(f"--weight {text}: write NAME=NUMBER") from error
    return weights


def _one(loaded: Any, dataset: Any, compare: Path | None, seed: int) -> tuple[dict[str, Any], Any]:
    """Statistics and picture of the frames of one teacher."""
    from ffpt_core.sampling.plots import plot_sampling

    energies, distributions = _distributions(loaded, dataset, compare, seed)
    console.print(
        f"effective temperature {energies.mean_temperature:,.0f} K by the mean, "
        f"{energies.median_temperature:,.0f} K by the median"
    )
    distances = {label: values.to_dict() for label, values in distributions.items()}
    return {"energies": energies.to_dict(), "distances": distances}, plot_sampling(energies, distributions)


def _several(loaded: dict[str, Any], dataset: Any, compare: Path | None) -> tuple[dict[str, Any], Any]:
    """Statistics and picture of the frames of several teachers, by name; atoms have none."""
    from ffpt_core.sampling.mixtures import GROUP
    from ffpt_core.sampling.plots import plot_mixture
    from ffpt_core.sampling.rattle import energy_distribution, molecule_distances, vibrational_degrees_of_freedom

    if compare is not None:
        raise FfptError("--compare goes with the frames of one teacher")
    energies, distances = {}, {}
    for name, teacher in loaded.items():
        n_vib = vibrational_degrees_of_freedom(teacher.atoms.positions)
        if n_vib:
            part = dataset[dataset.groups[GROUP] == name]
            minimum = float(teacher.energies_and_forces(teacher.atoms.positions[None])[0][0])
            energies[name] = energy_distribution(part.energies, minimum, n_vib)
            distances[name] = molecule_distances(part.positions.reshape(len(part), -1, 3), teacher.bonds)
    counts = {name: int((dataset.groups[GROUP] == name).sum()) for name in loaded}
    record = {
        "frames_of": counts,
        "energies": {name: values.to_dict() for name, values in energies.items()},
        "distances": {name: values.to_dict() for name, values in distances.items()},
    }
    return record, plot_mixture(energies, distances)


def _distributions(loaded: Any, dataset: Any, compare: Path | None, seed: int) -> tuple[Any, dict[str, Any]]:
    """Energies of dataset, and distances of dataset and of the frames to compare with, by label."""
    from ffpt_core.datasets import read
    from ffpt_core.sampling.rattle import energy_distribution, molecule_distances, vibrational_degrees_of_freedom
    from ffpt_core.sampling.trajectory import teacher_frames

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
        name: molecule_distances(frames.positions.reshape(shape), loaded.bonds)
        for name, frames in (("rattled", dataset), (label, other))
    }
    return energy_distribution(dataset.energies, minimum, n_vib), distributions
