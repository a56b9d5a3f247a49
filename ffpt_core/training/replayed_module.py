"""The Lightning module of a GPU: many optimiser steps in one of Lightning's."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ffpt_core.potentials.network_potential import Potential
from ffpt_core.training.batches import FrameBatches
from ffpt_core.training.configuration import TrainingConfiguration
from ffpt_core.training.module import PotentialModule
from ffpt_core.training.replay import STEPS, ReplayedTraining, ReplayedValidation
from ffpt_core.training.resident import ResidentFrames

_EVALUATED_AT_ONCE = 4
"""Batches of training in one of validation, which keeps nothing for gradients."""


class ReplayedModule(PotentialModule):
    """PotentialModule with all frames on the device, steps as CUDA graphs, and frame numbers as Lightning's batches.

    Args:
        potential, configuration, total_steps: as PotentialModule.
        train: frames to train on.
        validation: frames to validate on.
    """

    def __init__(
        self,
        potential: Potential,
        configuration: TrainingConfiguration,
        total_steps: int,
        train: FrameBatches,
        validation: FrameBatches,
    ) -> None:
        super().__init__(potential, configuration, total_steps, "torch")
        self.automatic_optimization = False
        self._frames = train, validation

    @property
    def frames_at_once(self) -> tuple[int, int]:
        """How many frame numbers the batches of Lightning hold, at most: of training and of validation."""
        in_steps = STEPS * self.configuration.batch_size
        return in_steps, _EVALUATED_AT_ONCE * in_steps

    def on_train_start(self) -> None:
        """The first moment when weights and the state of the optimiser are all on the device."""
        size = self.configuration.batch_size
        train, validation = (
            ResidentFrames(frames, self.potential.shifts.cpu().numpy(), self.potential.cutoff, at_once, self.device)
            for frames, at_once in zip(self._frames, (size, _EVALUATED_AT_ONCE * size), strict=True)
        )
        pool = torch.cuda.graph_pool_handle() if self.device.type == "cuda" else None
        averages: list[torch.Tensor] = list(self._averages)
        self._training_steps = ReplayedTraining(
            self.potential, self.configuration, train, pool, self._optimizer, averages
        )
        self._validation_steps = ReplayedValidation(self.current_potential(), self.configuration, validation, pool)

    def training_step(self, batch: np.ndarray, batch_index: int) -> None:  # type: ignore[override]
        """As many steps as the frame numbers make batches; then a look at the loss."""
        first = self.current_epoch * self.steps_per_epoch + batch_index * STEPS
        n_steps = -(-len(batch) // self.configuration.batch_size)
        rates = []
        for self._step in range(first, first + n_steps):
            rates.append(self._set_rate())
        self._training_steps.run(batch, rates, first == 0)
        self._counts["train_loss"] += n_steps
        self._check_loss()

    def transfer_batch_to_device(self, batch: np.ndarray, *_: Any) -> np.ndarray:  # type: ignore[override]
        """Frame numbers stay on the host, where they choose the graph."""
        return batch

    def on_train_epoch_start(self) -> None:
        self._training_steps.loss_sum.zero_()
        self._sums, self._counts = {"train_loss": self._training_steps.loss_sum}, {"train_loss": 0}

    def on_train_batch_start(self, *_: Any) -> None:
        """Each step has its rate."""

    def on_train_batch_end(self, *_: Any) -> None:
        """Averages are part of a step."""

    def on_validation_epoch_start(self) -> None:
        for name, total in self._validation_steps.sums.items():
            self._sums[name], self._counts[name] = total.zero_(), 0

    def validation_step(self, batch: np.ndarray, batch_index: int) -> None:  # type: ignore[override]
        self._validation_steps.run(batch)
        n_atoms = int(self._frames[1].dataset.n_atoms[batch].sum())
        for name in self._validation_steps.sums:
            self._counts[name] += len(batch) if name.startswith("energy") else n_atoms
