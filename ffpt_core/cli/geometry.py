"""``ffpt analyze geometry``: bonds and angles of water over time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ffpt_core.cli.output import show
from ffpt_core.cli.runs import Box, Interval, Output, Runs, Topology, replicas_by_label

if TYPE_CHECKING:
    import mdtraj


def geometry(
    runs: Runs,
    windows: Annotated[int, typer.Option(min=1, help="Windows of time for the distributions.")] = 50,
    topology: Topology = None,
    frame_interval: Interval = None,
    box: Box = None,
    output: Output = Path("analysis"),
) -> None:
    """O-H bonds and H-O-H angles of water over time.

    All frames with finite coordinates count, unphysical ones too. Writes
    geometry.npz (densities in windows of time), geometry.json (means and
    extremes) and geometry.png.

    \b
    Example:
      ffpt analyze geometry "from scratch=md/scratch" tuned=md/tuned -o analysis/
    """
    import numpy as np

    from ffpt_core.analysis.registry import write_analysis
    from ffpt_core.analysis.water import GEOMETRY, plot_water_geometry, water_geometry
    from ffpt_core.base.files import atomic_path

    found = {}
    for label, replicas in replicas_by_label(runs, topology, lambda one: one.has_frames, box=box).items():
        trajectories = [_finite(one.load(frame_interval)) for one in replicas if one.has_frames]
        found[label] = water_geometry([one for one in trajectories if len(one)], windows)
    arrays = {f"{label}/{name}": values for label, one in found.items() for name, values in one.arrays().items()}
    with atomic_path(output / "geometry.npz") as path:
        np.savez_compressed(path, allow_pickle=False, **arrays)
    record = {label: one.to_dict() for label, one in found.items()}
    show(record, write_analysis(GEOMETRY, record, {"geometry.png": plot_water_geometry(found)}, output))


def _finite(trajectory: mdtraj.Trajectory) -> mdtraj.Trajectory:
    """The frames before the first with coordinates that are not finite."""
    import numpy as np

    finite = np.isfinite(trajectory.xyz).all(axis=(1, 2))
    return trajectory if finite.all() else trajectory[: int(np.argmin(finite))]
