"""What all demonstrations share: the three potentials that are compared, their data, start and end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from ffpt_core.base.errors import FfptError
from ffpt_core.base.files import read_json, write_json
from ffpt_core.base.progress import console
from ffpt_core.datasets import Dataset
from ffpt_core.potentials.newtonnet.cpp import load_kernel
from ffpt_core.studies.runner import Runner, step

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

S = TypeVar("S", bound="DataclassInstance")

SCRATCH, PRETRAINED, FINETUNED = "from scratch", "pre-trained", "pre-trained + fine-tuned"
RUNS = {SCRATCH: "scratch", PRETRAINED: "pretrained", FINETUNED: "finetuned"}
"""Name for the reader, and folder."""


def perform(steps: Callable[[Runner, Path, S], None], folder: Path, settings: S) -> Path:
    """Run, or continue, a demonstration in a folder.

    Args:
        steps: runs the commands of the study and writes report.json.
        folder: of all files.
        settings: of the study.

    Returns:
        The path of report.html.

    Raises:
        FfptError: the folder holds one with other settings; a step failed, with which the same call continues.
    """
    _begin(folder, settings)
    runner = Runner(folder)
    steps(runner, folder, settings)
    runner.run([step("report", "Report", "report", ".", "-o", "report.html")])
    return folder / "report.html"


def write_frames(folder: Path, level: str, frames: Dataset, n_seen: int, seed: int) -> None:
    """LEVEL-train.npz, n_seen frames to train and validate on, and LEVEL-test.npz, the rest; those there are left."""
    order = np.random.default_rng(seed).permutation(len(frames))
    for name, chosen in (("train", order[:n_seen]), ("test", order[n_seen:])):
        path = folder / f"{level}-{name}.npz"
        if not path.exists():
            frames[np.sort(chosen)].save(path)


def _begin(folder: Path, settings: DataclassInstance) -> None:
    """Make the folder of a demonstration, or check that the one there was begun with the same settings.

    Raises:
        FfptError: it was begun with others.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "settings.json"
    now = _plain(asdict(settings))
    if path.exists() and read_json(path) != now:
        raise FfptError(f"{folder} holds a demonstration with other settings: choose another folder, or delete it")
    write_json(path, now)
    reason = load_kernel()
    if isinstance(reason, str):
        console.print(f"training and MD run in PyTorch, two to three times slower than they could: {reason}")


def models(*names: str) -> list[str]:
    """NAME=FILE of potentials, as the commands that compare several take them."""
    return [f"{name}={RUNS[name]}/potential.pt" for name in names or RUNS]


def _plain(value: Any) -> Any:
    """As JSON gives it back: keys are text, sequences lists."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
