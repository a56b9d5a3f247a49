"""The one loop of training: epochs of steps, each followed by validation, best weights and a checkpoint."""

from __future__ import annotations

import csv
import io
import math
import pickle
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ffpt_core.base.errors import FfptError
from ffpt_core.base.files import atomic_write
from ffpt_core.training.batches import FrameBatches, chunks, shuffled
from ffpt_core.training.configuration import TrainingConfiguration
from ffpt_core.training.display import Watcher
from ffpt_core.training.replayed import ReplayedSteps, fits
from ffpt_core.training.step import Learner, Rates
from ffpt_core.training.steps import EagerSteps, Steps

POTENTIAL, CHECKPOINT, LOG = "potential.pt", "checkpoint.ckpt", "log.csv"

_COLUMNS = ("epoch", "seconds", "learning_rate", "train_loss", "validation_loss", "energy_mae", "force_mae")


class Loop:
    """Epochs of a run, from where the checkpoint in its folder is.

    After every epoch: potential.pt if it is the best so far, then the log, then the checkpoint. In this order a kill at
    any moment leaves a folder from which the same command continues.

    Args:
        learner: what learns, before the first step.
        configuration: the run.
        train: frames to train on.
        validation: frames to validate on.

    Attributes:
        history: a row an epoch.

    Raises:
        FfptError: the checkpoint cannot be read, or is that of another network.
    """

    def __init__(
        self, learner: Learner, configuration: TrainingConfiguration, train: FrameBatches, validation: FrameBatches
    ) -> None:
        self.history: list[dict[str, float]] = []
        self._learner = learner
        self._configuration = configuration
        self._n_frames = len(train)
        self._frames_per_epoch = configuration.frames_per_epoch or len(train)
        self._steps_per_epoch = -(-self._frames_per_epoch // configuration.batch_size)
        self._rates = Rates(configuration, learner.optimizer, self._steps_per_epoch * configuration.epochs)
        self._best_loss = math.inf
        if (configuration.output / CHECKPOINT).exists():
            self._load()
        steps = ReplayedSteps if fits(learner.device, train, validation) else EagerSteps
        self._steps: Steps = steps(learner, configuration, train, validation)

    @property
    def converged(self) -> bool:
        """Whether plateaus have brought the learning rate to its end."""
        return self._rates.ended(len(self.history) * self._steps_per_epoch)

    def run(self, watchers: Sequence[Watcher]) -> None:
        """All epochs that are left.

        Args:
            watchers: are told what is done.

        Raises:
            FfptError: a loss that is not a number; a full disk.
        """
        for watcher in watchers:
            watcher.begin(self._configuration.epochs, self._frames_per_epoch, done=len(self.history))
        while len(self.history) < self._configuration.epochs and not self.converged:
            started = time.perf_counter()
            row = {"epoch": len(self.history) + 1} | self._epoch(watchers)
            row["seconds"] = time.perf_counter() - started
            self.history.append(row)
            self._rates.end_epoch(row["validation_loss"])
            self._save(row)
            for watcher in watchers:
                watcher.epoch(row)

    def _epoch(self, watchers: Sequence[Watcher]) -> dict[str, float]:
        """One epoch of steps, and validation: a row of history."""
        configuration, steps, epoch = self._configuration, self._steps, len(self.history)
        step = epoch * self._steps_per_epoch
        steps.loss_sum.zero_()
        self._learner.potential.train()
        for frames in self._portions(epoch):
            n_steps = -(-len(frames) // configuration.batch_size)
            steps.train(frames, [self._rates.of_step(step + k) for k in range(n_steps)])
            step += n_steps
            if not torch.isfinite(steps.loss_sum):
                raise FfptError(
                    f"the loss is no longer a number (epoch {epoch + 1}, step {step}): "
                    "lower learning_rate, set gradient_clip, or look for outliers in the labels"
                )
            if step == 1:
                self._learner.begin_averages()
            for watcher in watchers:
                watcher.advance(len(frames))
        self._learner.potential.eval()
        errors = steps.validate()
        loss = configuration.loss
        return {
            "train_loss": steps.loss_sum.item() / self._steps_per_epoch,
            "energy_mae": errors["energy_mae"],
            "force_mae": errors["force_mae"],
            "validation_loss": loss.energy_weight * errors["energy_loss"] + loss.force_weight * errors["force_loss"],
            "learning_rate": self._rates.now,
        }

    def _portions(self, epoch: int) -> Iterator[np.ndarray]:
        """The frames of an epoch in portions that are trained on at once; the first step of all is one of its own."""
        size = self._configuration.batch_size
        frames = shuffled(self._n_frames, self._frames_per_epoch, self._configuration.seed, epoch)
        alone, others = np.split(frames, [size if epoch == 0 else 0])
        yield from chunks(alone, size)
        yield from chunks(others, self._steps.at_once * size)

    def _save(self, row: dict[str, float]) -> None:
        """The files of an epoch."""
        folder = self._configuration.output
        if row["validation_loss"] < self._best_loss:
            self._best_loss = row["validation_loss"]
            potential = self._learner.learned
            potential.metadata = self._learner.potential.metadata | {"epoch": row["epoch"]}
            potential.save(folder / POTENTIAL)
        with atomic_write(folder / LOG) as stream:
            writer = csv.DictWriter(stream, _COLUMNS)
            writer.writeheader()
            writer.writerows(self.history)
        state = {"history": self.history, "best_loss": self._best_loss, "plateau": self._rates.state_dict()}
        _write_checkpoint(folder / CHECKPOINT, self._learner.state_dict() | {"ffpt": state})

    def _load(self) -> None:
        """Take up the state of the last whole epoch."""
        path = self._configuration.output / CHECKPOINT
        try:
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
            self._learner.load_state_dict(checkpoint)
        except (OSError, EOFError, RuntimeError, KeyError, ValueError, pickle.UnpicklingError) as error:
            raise FfptError(f"cannot continue from {path}: {str(error).splitlines()[0]}") from error
        self.history = checkpoint["ffpt"]["history"]
        self._best_loss = checkpoint["ffpt"]["best_loss"]
        self._rates.load_state_dict(checkpoint["ffpt"]["plateau"])


def _write_checkpoint(path: Path, checkpoint: dict[str, Any]) -> None:
    """Whole or not at all. Raises FfptError when the disk is full."""
    # Through memory: of a full disk torch.save says only that it failed, as a RuntimeError.
    contents = io.BytesIO()
    torch.save(checkpoint, contents)
    with atomic_write(path, "wb") as stream:
        stream.write(contents.getbuffer())
