"""What the verbs of ``ffpt analyze`` share: their arguments, the runs behind them, tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ffpt_core.base.errors import FfptError

if TYPE_CHECKING:
    from ffpt_core.datasets.run_folders import Replica

Runs = Annotated[
    list[str],
    typer.Argument(help="Folders of ffpt md, or trajectory files; LABEL=PATH names them, and pools equal labels."),
]
Topology = Annotated[Path | None, typer.Option(help="PDB file with the atoms of trajectory files.")]
Interval = Annotated[float | None, typer.Option(help="ps between frames, where a trajectory file does not say.")]
Box = Annotated[
    str | None, typer.Option(help="Edges in Angstrom, one or three (12.43), of trajectories that hold no cell.")
]
Skip = Annotated[float, typer.Option(help="ps at the start of each replica to leave out.")]
Output = Annotated[Path, typer.Option("--output", "-o", help="Folder for the results.")]


def replicas_by_label(
    arguments: Sequence[str],
    topology: Path | None,
    has_data: Callable[[Replica], bool],
    what: str = "frames yet",
    box: str | None = None,
) -> dict[str, list[Replica]]:
    """The replicas behind the arguments, by label; run folders hold several, equal labels are pooled.

    Those without data (they wait for their turn, perhaps) are left out, which is said.
    """
    from ffpt_core.base.progress import console
    from ffpt_core.cli.arguments import labelled

    found: dict[str, list[Replica]] = {}
    for argument in arguments:
        label, path = labelled(argument)
        replicas = _replicas_at(path, topology, box)
        begun = [one for one in replicas if has_data(one)]
        if not begun:
            raise FfptError(f"{path} has no {what}")
        if len(begun) < len(replicas):
            console.print(f"{path}: {len(replicas) - len(begun)} of {len(replicas)} replicas have no {what}")
        found.setdefault(label, []).extend(begun)
    return found


def with_frames(source: str, topology: Path | None, box: str | None = None) -> list[Replica]:
    """The replicas of a run folder or trajectory that have frames.

    Raises:
        FfptError: none has.
    """
    replicas = [one for one in _replicas_at(source, topology, box) if one.has_frames]
    if not replicas:
        raise FfptError(f"{source} has no frames yet")
    return replicas


def _replicas_at(path: str, topology: Path | None, box: str | None) -> list[Replica]:
    from ffpt_core.datasets.run_folders import replicas_at

    try:
        edges = None if box is None else tuple(float(edge) for edge in box.split(","))
    except ValueError:
        raise FfptError(f"--box {box}: write one edge or three in Angstrom, such as 12.43 or 12.4,12.4,18.6") from None
    return [replace(one, box=edges) for one in replicas_at(path, topology)]
