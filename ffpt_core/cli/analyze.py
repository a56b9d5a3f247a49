"""``ffpt analyze``: stability, h(r), temperature and energy of MD runs; liquids are in liquid.py."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from ffpt_core.cli import liquid
from ffpt_core.cli.diffusion import diffusion
from ffpt_core.cli.geometry import geometry
from ffpt_core.cli.output import show
from ffpt_core.cli.rdf import rdf
from ffpt_core.cli.runs import (
    Box,
    Interval,
    Output,
    Runs,
    Skip,
    Topology,
    replicas_by_label,
    with_frames,
)

if TYPE_CHECKING:
    import mdtraj
    import numpy as np

analyze = typer.Typer(no_args_is_help=True, help="Analyse MD runs: stability, structure, diffusion, energy.")

Frames: TypeAlias = "list[np.ndarray]"


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
        float | None,
        typer.Option(help="Different molecules may come so close, in Angstrom; 1.2 by default for liquids."),
    ] = None,
    rdf_reference: liquid.RdfReference = None,
    window: liquid.Window = 1.0,
    max_rdf_error: liquid.MaxRdfError = 3.0,
    box: Box = None,
    output: Output = Path("analysis"),
) -> None:
    """Time to failure of each replica, and Kaplan-Meier survival curves.

    A trajectory fails when a bond differs by more than 0.5 Angstrom from its
    equilibrium length (Fu et al., TMLR 2023), when two atoms collide, or when
    coordinates are not finite. With --rdf-reference, a liquid also fails
    when g(r) of a sliding window of 1 ps is off by more than 3 Angstrom for
    any pair of elements. Writes stability.json and stability.png (and
    stability-rdf.png for liquids).

    \b
    Examples:
      ffpt analyze stability "from scratch=md/scratch" md/tuned -o analysis/
      ffpt analyze stability md/water --rdf-reference water.npz -o analysis/
    """
    from ffpt_core.analysis.liquid_stability import CONTACT
    from ffpt_core.analysis.registry import write_analysis
    from ffpt_core.analysis.runs import has_begun
    from ffpt_core.analysis.stability import STABILITY, compare, plot_survival, replica_failure, survival
    from ffpt_core.analysis.trajectories import criterion_for
    from ffpt_core.structure.read import read_geometry

    groups = replicas_by_label(runs, topology, has_begun, box=box)
    if rdf_reference is not None and min_distance is None:
        min_distance = CONTACT
    criteria = {}
    for label, replicas in groups.items():
        source = reference or replicas[0].reference
        geometry = None if source is None else read_geometry(source)
        settings = {"max_stretch": max_stretch, "min_distance": min_distance}
        criteria[label] = criterion_for(replicas[0].topology, geometry, **settings)
    record: dict[str, Any] = {"criterion": {label: criterion.to_dict() for label, criterion in criteria.items()}}
    figures, tables = {}, []
    if rdf_reference is None:
        failures = {
            label: [replica_failure(one, criteria[label], frame_interval) for one in replicas]
            for label, replicas in groups.items()
        }
    else:
        truth = liquid.drift_truth(rdf_reference, topology, frame_interval, box)
        liquids = liquid.failures(groups, criteria, truth, window, max_rdf_error, frame_interval)
        failures = {label: [one.first for one in group] for label, group in liquids.items()}
        record |= liquid.drift_record(liquids, window, max_rdf_error, rdf_reference)
        figures = liquid.drift_figures(liquids, max_rdf_error)
        tables.append(liquid.drift_table(liquids))
    curves = {label: survival(group) for label, group in failures.items()}
    labels = list(curves)
    pairs = [(first, second) for index, first in enumerate(labels) for second in labels[index + 1 :]]
    record |= {
        "survival": {label: curve.to_dict() for label, curve in curves.items()},
        "log_rank_p": {f"{first} / {second}": compare(curves[first], curves[second]) for first, second in pairs},
    }
    pictures = {"stability.png": plot_survival(curves)} | figures
    show(record, *tables, write_analysis(STABILITY, record, pictures, output))


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
    from ffpt_core.analysis.registry import write_analysis
    from ffpt_core.analysis.runs import has_begun, physical_trajectories
    from ffpt_core.analysis.structure import H_OF_R, distribution_error, plot_distances
    from ffpt_core.base.errors import FfptError
    from ffpt_core.base.progress import console
    from ffpt_core.cli.arguments import labelled
    from ffpt_core.structure.distances import distance_distribution

    name, source = labelled(reference)
    name = f"{name} (reference)"
    frames, cells = _reference_frames(source, topology, frame_interval)
    truth = distance_distribution(frames, cells=cells)
    found = {name: truth}
    for label, replicas in replicas_by_label(runs, topology, has_begun).items():
        frames, cells = _frames(physical_trajectories(replicas, frame_interval, skip))
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
    show(record, write_analysis(H_OF_R, record, {"h-of-r.png": plot_distances(found, name, errors)}, output))


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
    from ffpt_core.analysis.registry import write_analysis
    from ffpt_core.analysis.thermodynamics import ENERGY, Thermodynamics, plot_thermodynamics, thermodynamics
    from ffpt_core.analysis.trajectories import count_atoms, read_state
    from ffpt_core.base.errors import FfptError
    from ffpt_core.base.progress import console

    found: dict[str, list[Thermodynamics]] = {}
    left_out: list[FfptError] = []
    has_table = "table of energies (state-K.csv)"
    for label, replicas in replicas_by_label(runs, topology, lambda one: one.state is not None, has_table).items():
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
    record = {label: [run.to_dict() for run in group] for label, group in found.items()}
    show(record, write_analysis(ENERGY, record, {"energy.png": plot_thermodynamics(found)}, output))


def _reference_frames(source: str, topology: Path | None, frame_interval: float | None) -> tuple[Frames, Frames | None]:
    """Positions in Angstrom, and cells, of a data set, a run or a trajectory."""
    from ffpt_core.analysis.runs import is_data_set, physical_trajectories
    from ffpt_core.analysis.structure import dataset_frames
    from ffpt_core.datasets import read

    if is_data_set(source):
        positions, cells = dataset_frames(read(source))
        return [positions], None if cells is None else [cells]
    return _frames(physical_trajectories(with_frames(source, topology), frame_interval))


def _frames(trajectories: Sequence[mdtraj.Trajectory]) -> tuple[Frames, Frames | None]:
    """Positions in Angstrom, and cells, of each trajectory."""
    from ffpt_core.base.units import NANOMETRE

    cells = [NANOMETRE * one.unitcell_vectors for one in trajectories if one.unitcell_vectors is not None]
    return [NANOMETRE * one.xyz for one in trajectories], cells or None


for verb in (rdf, diffusion, geometry):
    analyze.command()(verb)
