"""Runs, or continues, a study in a folder, from its frames to its page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ffpt_core import datasets
from ffpt_core.base.errors import FfptError
from ffpt_core.base.files import read_json, write_json
from ffpt_core.base.progress import console
from ffpt_core.potentials.newtonnet.cpp import load_kernel
from ffpt_core.studies.page import write_page
from ffpt_core.studies.runner import Command, named_in, run_lanes
from ffpt_core.studies.study import Frames, Step, Study
from ffpt_core.studies.words import Words


def perform(study: Study, folder: Path, quick: bool = False, seed: int = 0) -> Path:
    """Run, or continue, a study in a folder.

    Args:
        study: what to do.
        folder: of all files.
        quick: a minute's worth of everything.
        seed: of everything random.

    Returns:
        The path of report.html.

    Raises:
        FfptError: the folder holds one with other settings; a step failed, with which the same call continues.
    """
    amounts = study.amounts(quick, seed)
    _begin(folder, amounts)
    if study.frames is not None:
        _write_frames(folder, study.frames, Words(study, amounts, folder), seed)
    shown: list[str] = []
    for stage in study.stages:
        words = Words(study, amounts, folder)
        lanes = [[command for name in lane for command in commands(study, words, name)] for lane in stage]
        run_lanes(folder, lanes)
        shown += [str(command) for lane in lanes for command in lane]
    write_page(study, amounts, folder, shown)
    run_lanes(folder, [[Command("report", "Report", ("report", ".", "-o", "report.html"))]])
    return folder / "report.html"


def commands(study: Study, words: Words, name: str) -> list[Command]:
    """The commands of a step, as things are in the folder: one, one for each of something, or none."""
    step = study.steps[name]
    files = [file for one, other in study.steps.items() if one != name for file in _made(other, words)]
    if study.frames is not None:
        files += [f"{study.frames.name}-{part}.npz" for part in ("train", "test")]
    found = []
    for variables in words.each(step.each):
        if words.holds(step.when, **variables):
            arguments = words.split(step.command, **variables)
            makes = tuple(words.fill(file, **variables) for file in step.makes)
            label = "-".join((name, *map(str, variables.values())))
            found.append(
                Command(label, words.fill(step.title, **variables), arguments, named_in(arguments, files), makes)
            )
    return found


def _made(step: Step, words: Words) -> list[str]:
    return [words.fill(file, **variables) for variables in words.each(step.each) for file in step.makes]


def _begin(folder: Path, amounts: Mapping[str, Any]) -> None:
    """Make the folder of a study, or check that the one there was begun with the same settings."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "settings.json"
    now = _plain(amounts)
    if path.exists() and read_json(path) != now:
        raise FfptError(f"{folder} holds a demonstration with other settings: choose another folder, or delete it")
    write_json(path, now)
    reason = load_kernel()
    if isinstance(reason, str):
        console.print(f"training and MD run in PyTorch, two to three times slower than they could: {reason}")


def _write_frames(folder: Path, frames: Frames, words: Words, seed: int) -> None:
    """NAME-train.npz and NAME-test.npz; those there are left."""
    dataset = getattr(datasets, frames.built_in)()
    for group, label in frames.where.items():
        dataset = dataset[dataset.groups[group] == label]
    order = np.random.default_rng(seed).permutation(len(dataset))
    seen = int(words.fill(frames.seen))
    for part, chosen in (("train", order[:seen]), ("test", order[seen:])):
        path = folder / f"{frames.name}-{part}.npz"
        if not path.exists():
            dataset[np.sort(chosen)].save(path)


def _plain(value: Any) -> Any:
    """As JSON gives it back: keys are text, sequences lists."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
