"""``ffpt analyze``: stability, h(r), temperature and energy of MD runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

if TYPE_CHECKING:
    import numpy as np

    from ffpt_core.analysis.stability import Survival
    from ffpt_core.analysis.trajectories import Replica

analyze = typer.Typer(no_args_is_help=True, help="Analyse MD runs: stability, distances h(r), temperature and energy.")

Frames: TypeAlias = "list[np.ndarray]"
Runs = Annotated[
    list[str],
    typer.Argument(help="Folders of ffpt md, or trajectory files; LABEL=PATH names them, and pools equal labels."),
]
Topology = Annotated[Path | None, typer.Option(help="PDB file with the atoms of trajectory files.")]
Interval = Annotated[float | None, typer.Option(help="ps between frames, where a trajectory file does not say.")]
Skip = Annotated[float, typer.Option(help="ps at the start of each replica to leave out.")]
Output = Annotated[Path, typer.Option("--output", "-o", help="Folder for the results.")]


@analyze.command()
def stability(
    runs: Runs,
    reference: Annotated[
        Path | None, typer.Option(help="Equilibrium geometry (.xyz); default: that of the run, or the topology's.")
    ] = None,
    topology: Topology = None,
    frame_interval: Interval = None,
    max_stretch: Annotated[float, typer.Option(help="A bond may differ so much from equilibrium, in Angstrom.")] = 0.5,
    min_distance: Annotated[
        float | None, typer.Option(help="Different molecules may come so close, in Angstrom (water: 1.2).")
    ] = None,
    output: Output = Path("analysis"),
) -> None:
    """Time to failure of each replica, and Kaplan-Meier survival curves.

    A trajectory fails when a bond differs by more than 0.5 Angstrom from its
    equilibrium length (Fu et al., TMLR 2023), when two atoms collide, or when
    coordinates are not finite. Writes stability.json and stability.png.

    \b
    Example:
      ffpt analyze stability "from scratch=md/scratch" md/tuned -o analysis/
    """
    from ffpt_core.analysis.stability import compare, plot_survival, replica_failure, survival
    from ffpt_core.analysis.style import save_figure
    from ffpt_core.analysis.trajectories import criterion_for
    from ffpt_core.cli.arguments import read_geometry
    from ffpt_core.files import write_json

    curves: dict[str, Survival] = {}
    rules = {}
    for label, replicas in _replicas(runs, topology, lambda one: one.has_frames or one.status == "failed").items():
        source = reference or replicas[0].reference
        geometry = None if source is None else read_geometry(source)
        criterion = criterion_for(replicas[0].topology, geometry, max_stretch=max_stretch, min_distance=min_distance)
        curves[label] = survival([replica_failure(one, criterion, frame_interval) for one in replicas])
        rules[label] = criterion.to_dict()
    labels = list(curves)
    pairs = [(first, second) for index, first in enumerate(labels) for second in labels[index + 1 :]]
    record = {
        "criterion": rules,
        "survival": {label: curve.to_dict() for label, curve in curves.items()},
        "log_rank_p": {f"{first} / {second}": compare(curves[first], curves[second]) for first, second in pairs},
    }
    write_json(output / "stability.json", record)
    save_figure(plot_survival(curves), output / "stability.png")
    _show(
        ("run", "failed", "first failure (ps)", "watched (ps)"),
        [
            (label, f"{curve.n_failed} of {curve.n_replicas}", _first_failure(curve), f"{curve.watched:.1f}")
            for label, curve in curves.items()
        ],
    )


@analyze.command("h-of-r")
def h_of_r(
    runs: Runs,
    reference: Annotated[str, typer.Option(help="Data set (.xyz, .npz), run folder or trajectory; or LABEL=that.")],
    topology: Topology = None,
    frame_interval: Interval = None,
    skip: Skip = 0.0,
    output: Output = Path("analysis"),
) -> None:
    """Distances h(r) against reference frames, with their integral error.

    Frames from the first unphysical one on are left out, as Fu et al. (TMLR
    2023) do. Writes h-of-r.json and h-of-r.png. The verb "distances" does the
    same.

    \b
    Example:
      ffpt analyze h-of-r md/tuned --reference test.xyz --skip 5 -o analysis/
    """
    from ffpt_core.analysis.structure import distance_distribution, distribution_error, plot_distances
    from ffpt_core.analysis.style import save_figure
    from ffpt_core.cli.arguments import labelled
    from ffpt_core.errors import FfptError
    from ffpt_core.files import write_json
    from ffpt_core.progress import console

    name, source = labelled(reference)
    name = f"{name} (reference)"
    frames, cells = _reference_frames(source, topology, frame_interval)
    truth = distance_distribution(frames, cells=cells)
    found = {name: truth}
    for label, replicas in _replicas(runs, topology, lambda one: one.has_frames or one.status == "failed").items():
        frames, cells = _physical_frames(replicas, frame_interval, skip)
        if not frames:
            console.print(f"left out: {label} has no physical frame after {skip:g} ps")
            continue
        found[label] = distance_distribution(frames, truth.edges, cells)
    if len(found) == 1:
        raise FfptError(f"the runs have no physical frame after {skip:g} ps")
    errors = {label: distribution_error(one, truth) for label, one in found.items() if label != name}
    record = {
        "reference": name,
        "edges_angstrom": truth.edges,
        "distributions": {
            label: {"n_frames": one.n_frames, "outside": one.outside, "density": one.density, "error": one.error}
            for label, one in found.items()
        },
        "errors": {label: error.to_dict() for label, error in errors.items()},
    }
    write_json(output / "h-of-r.json", record)
    save_figure(plot_distances(found, name, errors), output / "h-of-r.png")
    _show(
        ("run", "frames", "MAE of h(r)", "floor"),
        [
            (label, str(found[label].n_frames), f"{error.mae:.4f} ± {error.error:.4f}", f"{error.floor:.4f}")
            for label, error in errors.items()
        ],
    )


analyze.command("distances", hidden=True, help="Another name for h-of-r.")(h_of_r)


@analyze.command()
def energy(runs: Runs, topology: Topology = None, skip: Skip = 0.0, output: Output = Path("analysis")) -> None:
    """Mean temperature with its error, and drift of the total energy.

    Takes folders of ffpt md, or tables of OpenMM's StateDataReporter (.csv)
    with --topology. The drift, in meV/atom/ps, measures the integration in a
    run without thermostat only. Writes energy.json and energy.png.

    \b
    Example:
      ffpt analyze energy md/nve32 md/nve64 -o analysis/
    """
    from ffpt_core.analysis.style import save_figure
    from ffpt_core.analysis.thermodynamics import Thermodynamics, plot_thermodynamics, thermodynamics
    from ffpt_core.analysis.trajectories import count_atoms, read_state
    from ffpt_core.errors import FfptError
    from ffpt_core.files import write_json
    from ffpt_core.progress import console

    found: dict[str, list[Thermodynamics]] = {}
    left_out: list[FfptError] = []
    has_table = "table of energies (state-K.csv)"
    for label, replicas in _replicas(runs, topology, lambda one: one.state is not None, has_table).items():
        for one in replicas:
            if one.state is None:
                continue
            try:
                table, n_atoms = read_state(one.state), count_atoms(one.topology)
                run = thermodynamics(table, n_atoms, one.temperature, skip, one.name)
            except FfptError as error:  # a replica that failed at once; the others have something to say
                left_out.append(error)
                console.print(f"left out: {error}")
            else:
                found.setdefault(label, []).append(run)
    if not found:
        raise left_out[0]
    write_json(output / "energy.json", {label: [run.to_dict() for run in group] for label, group in found.items()})
    save_figure(plot_thermodynamics(found), output / "energy.png")
    _show(
        ("replica", "temperature (K)", "target (K)", "drift (meV/atom/ps)"),
        [
            (
                f"{label}: {run.name}",
                f"{run.temperature:.1f} ± {run.temperature_error:.1f}",
                "-" if run.target is None else f"{run.target:g}",
                f"{run.drift:.4f} ± {run.drift_error:.4f}",
            )
            for label, group in found.items()
            for run in group
        ],
    )


def _replicas(
    arguments: Sequence[str], topology: Path | None, has_data: Callable[[Replica], bool], what: str = "frames yet"
) -> dict[str, list[Replica]]:
    """The replicas behind the arguments, by label; run folders hold several, equal labels are pooled.

    Those without data (they wait for their turn, perhaps) are left out, which is said.
    """
    from ffpt_core.analysis.trajectories import replicas_at
    from ffpt_core.cli.arguments import labelled
    from ffpt_core.errors import FfptError
    from ffpt_core.progress import console

    found: dict[str, list[Replica]] = {}
    for argument in arguments:
        label, path = labelled(argument)
        replicas = replicas_at(path, topology)
        begun = [one for one in replicas if has_data(one)]
        if not begun:
            raise FfptError(f"{path} has no {what}")
        if len(begun) < len(replicas):
            console.print(f"{path}: {len(replicas) - len(begun)} of {len(replicas)} replicas have no {what}")
        found.setdefault(label, []).extend(begun)
    return found


def _reference_frames(source: str, topology: Path | None, frame_interval: float | None) -> tuple[Frames, Frames | None]:
    """Positions in Angstrom, and cells, of a data set, a run or a trajectory."""
    from ffpt_core.analysis.structure import dataset_frames
    from ffpt_core.analysis.trajectories import TRAJECTORIES, is_run, replicas_at
    from ffpt_core.datasets import read
    from ffpt_core.errors import FfptError

    if not is_run(source) and Path(source).suffix not in TRAJECTORIES:
        positions, cells = dataset_frames(read(source))
        return [positions], None if cells is None else [cells]
    replicas = [one for one in replicas_at(source, topology) if one.has_frames]
    if not replicas:
        raise FfptError(f"{source} has no frames yet")
    return _physical_frames(replicas, frame_interval, 0.0)


def _physical_frames(
    replicas: Sequence[Replica], frame_interval: float | None, skip: float
) -> tuple[Frames, Frames | None]:
    """Positions in Angstrom, and cells, of each replica after skip ps and before its first unphysical frame."""
    from ffpt_core.analysis.trajectories import criterion_for
    from ffpt_core.cli.arguments import read_geometry

    source = replicas[0].reference
    criterion = criterion_for(replicas[0].topology, None if source is None else read_geometry(source))
    frames: Frames = []
    cells: Frames = []
    for one in replicas:
        if not one.has_frames:
            continue  # failed before its first
        trajectory = one.load(frame_interval)
        box = None if trajectory.unitcell_vectors is None else 10.0 * trajectory.unitcell_vectors
        failure = criterion.check(10.0 * trajectory.xyz, box)
        end = len(trajectory) if failure is None else failure.frame
        kept = slice(int((trajectory.time < skip).sum()), end)
        if kept.start < kept.stop:
            frames.append(10.0 * trajectory.xyz[kept])
            cells += [] if box is None else [box[kept]]
    return frames, cells or None


def _first_failure(curve: Survival) -> str:
    failed = [failure for failure in curve.failures if not failure.censored]
    if not failed:
        return "-"
    first = min(failed, key=lambda failure: failure.time)
    return f"{first.time:.2f}, {first.reason}"


def _show(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.table import Table

    from ffpt_core.progress import console

    table = Table(*columns)
    for row in rows:
        table.add_row(*row)
    console.print(table)
