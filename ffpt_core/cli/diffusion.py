"""``ffpt analyze diffusion``: self-diffusion coefficients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
    from ffpt_core.analysis.self_diffusion import Diffusion
    from ffpt_core.datasets.run_folders import Replica


def diffusion(
    runs: Runs,
    reference: Annotated[
        str | None, typer.Option(help="Run folder or trajectory to compare with; or LABEL=it.")
    ] = None,
    selection: Annotated[str, typer.Option(help="Atoms to follow, in mdtraj's language.")] = "element O",
    fit_start: Annotated[float | None, typer.Option(help="First lag of the fit, ps; default: 2.")] = None,
    fit_end: Annotated[
        float | None, typer.Option(help="Last lag, ps; default: 20, or a quarter of the shortest trajectory.")
    ] = None,
    viscosity: Annotated[
        float | None, typer.Option(help="mPa s: adds the correction of Yeh and Hummer for cubic boxes.")
    ] = None,
    temperature: Annotated[
        float | None, typer.Option(help="K, for that correction; default: that of the thermostat of the run.")
    ] = None,
    unwrapped: Annotated[bool, typer.Option("--unwrapped", help="Take the coordinates as they are.")] = False,
    topology: Topology = None,
    frame_interval: Interval = None,
    box: Box = None,
    skip: Skip = 0.0,
    output: Output = Path("analysis"),
) -> None:
    """Self-diffusion coefficients from mean square displacements.

    Displacements of the selected atoms, from unwrapped coordinates without
    the drift of the centre of mass, over all time origins; D is a sixth of
    the slope of a line through the window of the fit. Equal labels are
    pooled. Runs without a thermostat are what D is measured in: friction
    slows it. Frames from the first unphysical one on are left out. Writes
    diffusion.json and diffusion.png.

    \b
    Example:
      ffpt analyze diffusion tuned=nve/ --reference spcfw.dcd \\
          --topology water.pdb --fit-start 2 --fit-end 20 -o analysis/
    """
    from ffpt_core.analysis import self_diffusion as analysis
    from ffpt_core.analysis.diffusion_plot import plot_diffusion
    from ffpt_core.analysis.registry import write_analysis
    from ffpt_core.analysis.runs import has_begun, physical_by_label
    from ffpt_core.base.progress import progress_bar
    from ffpt_core.cli.arguments import labelled

    name = None
    groups = replicas_by_label(runs, topology, has_begun, box=box)
    if reference is not None:
        name, source = labelled(reference)
        name = f"{name} (reference)"
        groups = {name: with_frames(source, topology, box)} | groups
    loaded = physical_by_label(groups, frame_interval, skip)
    fit = (fit_start, fit_end)
    found = {}
    with progress_bar("Displacements", sum(len(one) for group in loaded.values() for one in group)) as advance:
        for label, group in loaded.items():
            found[label] = analysis.diffusion(
                group, selection, fit, is_unwrapped=unwrapped, name=label, advance=advance
            )  # fmt: skip
    kelvin: dict[str, float] = {}
    corrections: dict[str, float] = {}
    if viscosity is not None:
        kelvin = {label: temperature or _temperature(label, groups[label]) for label in found}
        corrections = {label: analysis.finite_size(one, kelvin[label], viscosity) for label, one in found.items()}
    _warn(found, name)
    ratios = {label: analysis.ratio(one, found[name]) for label, one in found.items() if name not in (None, label)}
    record = {
        "reference": name,
        "selection": selection,
        "viscosity_mpa_s": viscosity,
        "temperatures_k": kelvin,
        "diffusion": {label: _entry(one, corrections.get(label)) for label, one in found.items()},
        "ratios": {label: {"ratio": value, "error": error} for label, (value, error) in ratios.items()},
    }
    pictures = {"diffusion.png": plot_diffusion(found, name, corrections)}
    show(record, write_analysis(analysis.DIFFUSION, record, pictures, output))


def _entry(one: Diffusion, correction: float | None) -> dict[str, Any]:
    from ffpt_core.analysis.self_diffusion import PER_SECOND

    if correction is None:
        return one.to_dict()
    return one.to_dict() | {
        "finite_size_correction_1e-9_m2_per_s": PER_SECOND * correction,
        "corrected_coefficient_1e-9_m2_per_s": PER_SECOND * (one.coefficient + correction),
    }


def _temperature(label: str, replicas: Sequence[Replica]) -> float:
    known = {one.temperature for one in replicas}
    kelvin = known.pop() if len(known) == 1 else None
    if kelvin is None:
        raise FfptError(f"{label}: the correction of Yeh and Hummer needs --temperature, for the run has no thermostat")
    return kelvin


def _warn(found: Mapping[str, Diffusion], reference: str | None) -> None:
    """Say what should be looked at before the numbers are believed."""
    import numpy as np

    from ffpt_core.base.progress import console

    for label, one in found.items():
        if one.longest_step is not None and one.longest_step > 0.3:
            console.print(f"{label}: atoms move by up to {one.longest_step:.2f} of the box between frames: save more")
        if abs(one.exponent - 1.0) > 0.1:
            console.print(f"{label}: the MSD grows as t^{one.exponent:.2f} in the window of the fit, not as t")
        if one.n_segments < 4:
            console.print(f"{label}: {one.n_segments} segments of twice the fit: a rough error, mostly that of atoms")
        truth = None if reference is None else found[reference].edges
        if truth is not None and one.edges is not None and not np.allclose(one.edges, truth, rtol=0.01):
            console.print(f"{label}: its box is not that of the reference, and D depends on the box")
