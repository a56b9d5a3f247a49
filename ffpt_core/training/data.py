"""The frames of a run: read, divided, and joined with those that fine-tuning goes on training on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ffpt_core.base.errors import FfptError
from ffpt_core.datasets import Dataset, Split, random_split, read, shift_energies
from ffpt_core.potentials.network_potential import NetworkPotential, load
from ffpt_core.training.configuration import TrainingConfiguration


@dataclass(frozen=True)
class Frames:
    """The divided data of a run, and what it rehearses."""

    train: Dataset
    validation: Dataset
    test: Dataset | None
    rehearsed: Dataset | None = None


def read_frames(configuration: TrainingConfiguration) -> Frames:
    """Read and divide the data, and check that every label with a weight is there.

    Raises:
        FfptError: as ffpt_core.datasets.read; too few frames; a weighted label that is missing.
    """
    data = configuration.data

    def read_one(path: Path) -> Dataset:
        dataset = read(path, data)
        for label, weight in (("energies", "energy_weight"), ("forces", "force_weight")):
            if getattr(configuration.loss, weight) > 0 and getattr(dataset, label) is None:
                raise FfptError(f"{path} holds no {label}, but loss.{weight} is {getattr(configuration.loss, weight)}")
        return dataset

    whole = read_one(data.train)
    if data.split is not None:
        split = Split.load(data.split)
        split.check(whole)
    else:
        n_validation = 0 if data.validation else data.n_validation
        n_train = data.n_train or len(whole) - n_validation
        split = random_split(whole, n_train, n_validation, n_test=0, seed=configuration.seed)
    validation = read_one(data.validation) if data.validation else whole[split.validation]
    if not len(validation):
        raise FfptError("no validation frames: set data.n_validation, data.validation or data.split")
    test = read_one(data.test) if data.test else (whole[split.test] if len(split.test) else None)
    return Frames(whole[split.train], validation, test, _rehearsed(configuration, read_one))


def _rehearsed(configuration: TrainingConfiguration, read_one: Callable[[Path], Dataset]) -> Dataset | None:
    """Some frames of the level of theory that the run starts from, by seed."""
    data = configuration.data
    if data.rehearse is None:
        return None
    if configuration.start is None:
        raise FfptError("data.rehearse is for fine-tuning: give the potential to start from")
    frames = read_one(data.rehearse)
    if len(frames) < data.n_rehearse:
        raise FfptError(f"{data.rehearse} holds {len(frames)} frames, not the {data.n_rehearse} of data.n_rehearse")
    return frames[np.random.default_rng(configuration.seed).permutation(len(frames))[: data.n_rehearse]]


def rehearsing(configuration: TrainingConfiguration, frames: Frames, potential: NetworkPotential) -> Dataset:
    """What an epoch trains on: the training frames, and those that are rehearsed.

    Where the shifts of the potential moved with the level of theory, rehearsed energies move with them, so that what
    the potential knows about them stays true.

    Args:
        configuration: of the run.
        frames: its data.
        potential: before the first step, as starting_potential gives it.
    """
    rehearsed = frames.rehearsed
    if rehearsed is None or configuration.start is None:
        return frames.train
    potential.check(rehearsed.numbers)
    if rehearsed.energies is not None:
        moved = potential.shifts - load(configuration.start, device="cpu").shifts
        by_element = {element: float(moved[element]) for element in rehearsed.elements}
        energies = rehearsed.energies + shift_energies(rehearsed, by_element)
        rehearsed = dataclasses.replace(rehearsed, energies=energies)
    return Dataset.concatenate([frames.train, rehearsed], level=frames.train.level)
