"""Steps of the optimiser, and validation, on the frames of a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ffpt_core.potentials.backends import FrameEvaluation
from ffpt_core.training.batches import Batch, FrameBatches, chunks
from ffpt_core.training.configuration import TrainingConfiguration
from ffpt_core.training.loss import ErrorSums, weighted_loss
from ffpt_core.training.step import Learner

AT_ONCE_ON_GPU = 50
"""Steps that are sent to a GPU at once; then the host looks at the loss, which makes it wait."""


class Steps(Protocol):
    """What the loop of a run calls: on batches that are made on the CPU, or by graphs that a GPU replays.

    Attributes:
        at_once: how many steps one call makes, at most; nothing in them waits for the device.
        loss_sum: () float64, the sum of the losses of all steps since it was last set to zero.
    """

    at_once: int
    loss_sum: Tensor

    def train(self, frames: np.ndarray, rates: Sequence[float]) -> None:
        """Make steps, without waiting for them.

        Args:
            frames: (n,) frame numbers, divided into batches in their order; the last one may be smaller.
            rates: learning rate of each step.
        """

    def validate(self) -> dict[str, float]:
        """Mean errors of what was learned, and their losses, over the validation frames; named as in ErrorSums."""


class EagerSteps:
    """Steps on batches that are made on the CPU.

    Args:
        learner: what learns.
        configuration: the run.
        train: frames to train on.
        validation: frames to validate on.
    """

    def __init__(
        self, learner: Learner, configuration: TrainingConfiguration, train: FrameBatches, validation: FrameBatches
    ) -> None:
        self._learner = learner
        self._loss = configuration.loss
        self._batch_size = configuration.batch_size
        self._train, self._validation = train, validation
        self.at_once = 1 if learner.device.type == "cpu" else AT_ONCE_ON_GPU
        self.loss_sum = torch.zeros((), dtype=torch.float64, device=learner.device)
        self._sums = ErrorSums(configuration.loss, learner.device)

    def train(self, frames: np.ndarray, rates: Sequence[float]) -> None:
        """As Steps.train."""
        for part, rate in zip(chunks(frames, self._batch_size), rates, strict=True):
            loss = self.loss(self._train[part].to(self._learner.device))
            self._learner.step(loss, rate)
            self.loss_sum += loss.detach()

    def loss(self, batch: Batch) -> Tensor:
        """The weighted loss of one batch."""
        return weighted_loss(self._loss, *self._errors(batch, self._learner.evaluate))

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """As Steps.validate."""
        self._sums.reset()
        dataset = self._validation.dataset
        for part in chunks(np.arange(len(dataset)), self._batch_size):
            batch = self._validation[part].to(self._learner.device)
            self._sums.add(*self._errors(batch, self._learner.evaluate_learned))
        return self._sums.means(len(dataset), len(dataset.numbers))

    def _errors(self, batch: Batch, evaluate: FrameEvaluation) -> tuple[Tensor, Tensor]:
        """(n_frames,) energy errors, eV, and (n_atoms, 3) force errors, eV/Angstrom; zeros for missing labels."""
        energies, forces = evaluate(*batch[:6])
        shifts = self._learner.potential.shift_energies(batch.numbers, batch.frames, batch.n_frames)
        labels = energies.detach() if batch.energies is None else batch.energies - shifts
        return energies - labels, forces - (forces.detach() if batch.forces is None else batch.forces)
