"""``ffpt analyze rdf``: radial distribution functions, and their difference from a reference."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ffpt_core.base.errors import FfptError
from ffpt_core.cli.output import show
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

    from ffpt_core.analysis.rdf import RadialDistribution


def rdf(
    runs: Runs,
    reference: Annotated[
        str | None,
        typer.Option(help="Data set (.xyz, .npz), run folder, trajectory or rdf.json; or LABEL=that."),
    ] = None,
    pairs: Annotated[str | None, typer.Option(help="Such as O-O,O-H; default: all elements with one another.")] = None,
    r_max: Annotated[float | None, typer.Option(help="Angstrom; default: half the smallest box.")] = None,
    bin_width: Annotated[float, typer.Option(help="Angstrom.")] = 0.03,
    all_pairs: Annotated[bool, typer.Option("--all-pairs", help="Count pairs within molecules too.")] = False,
    topology: Topology = None,
    frame_interval: Interval = None,
    box: Box = None,
    skip: Skip = 0.0,
    output: Output = Path("analysis"),
) -> None:
    """Radial distribution functions g(r) of liquids, with errors.

    Pairs within a molecule are left out. Against a reference, the error is
    the mean over r of |g(r) - g_ref(r)|; times the longest distance it
    is the integral of Fu et al. (TMLR 2023). Frames from the first unphysical
    one on are left out. Writes rdf.json, which --reference reads, and rdf.png.

    \b
    Example:
      ffpt analyze rdf tuned=md/ --reference water.npz --skip 5 -o analysis/
    """
    from ffpt_core.analysis.liquids import half_width
    from ffpt_core.analysis.rdf import RDF, bin_edges, radial_distributions, rdf_error
    from ffpt_core.analysis.rdf_plot import plot_rdfs
    from ffpt_core.analysis.registry import write_analysis
    from ffpt_core.analysis.runs import has_begun, physical_by_label
    from ffpt_core.base.progress import progress_bar
    from ffpt_core.cli.arguments import labelled

    loaded = physical_by_label(replicas_by_label(runs, topology, has_begun, box=box), frame_interval, skip, timed=False)
    name, found = None, {}
    edges = None
    if reference is not None:
        name, source = labelled(reference)
        name = f"{name} (reference)"
        if source.endswith(".json"):
            found[name] = read_rdfs(source)
            edges = next(iter(found[name].values())).edges
        else:
            loaded = {name: reference_trajectories(source, topology, frame_interval, box)} | loaded
    if edges is None:
        widest = min(half_width(one) for group in loaded.values() for one in group)
        edges = bin_edges(widest if r_max is None else r_max, bin_width)
    names = None if pairs is None else pairs.split(",")
    with progress_bar("g(r)", sum(len(one) for group in loaded.values() for one in group)) as advance:
        for label, group in loaded.items():
            found[label] = radial_distributions(group, edges, names, intramolecular=all_pairs, advance=advance)
    errors = {}
    if name is not None:
        shared = {label: [pair for pair in found[name] if pair in one] for label, one in found.items()}
        errors = {
            label: {pair: rdf_error(one[pair], found[name][pair]) for pair in shared[label]}
            for label, one in found.items()
            if label != name
        }
    record = {
        "reference": name,
        "distributions": {label: {pair: g.to_dict() for pair, g in one.items()} for label, one in found.items()},
        "errors": {label: {pair: e.to_dict() for pair, e in one.items()} for label, one in errors.items()},
    }
    show(record, write_analysis(RDF, record, {"rdf.png": plot_rdfs(found, name, errors)}, output))


def reference_trajectories(
    source: str, topology: Path | None, frame_interval: float | None, box: str | None
) -> list[mdtraj.Trajectory]:
    """Frames of a data set, a run or a trajectory; their times do not matter."""
    from ffpt_core.analysis.liquids import dataset_trajectory
    from ffpt_core.analysis.runs import is_data_set, physical_trajectories
    from ffpt_core.datasets import read

    if is_data_set(source):
        return [dataset_trajectory(read(source))]
    trajectories = physical_trajectories(with_frames(source, topology, box), frame_interval, timed=False)
    if not trajectories:
        raise FfptError(f"the reference {source} has no physical frame")
    return trajectories


def read_rdfs(path: str) -> dict[str, RadialDistribution]:
    """The one set of g(r) in an rdf.json, or that of its reference."""
    from ffpt_core.analysis.rdf import RadialDistribution
    from ffpt_core.base.files import read_json

    record = read_json(path)
    distributions = record.get("distributions") if isinstance(record, dict) else None
    if not isinstance(distributions, dict) or not distributions:
        raise FfptError(f"{path} is no rdf.json of ffpt analyze rdf")
    label = record.get("reference") or next(iter(distributions))
    if label not in distributions or (record.get("reference") is None and len(distributions) > 1):
        raise FfptError(f"{path} holds g(r) of several runs, and none of them is the reference: write one by itself")
    try:
        return {pair: RadialDistribution.from_dict(one) for pair, one in distributions[label].items()}
    except (FfptError, AttributeError) as error:
        raise FfptError(f"{path}: {error}") from error
