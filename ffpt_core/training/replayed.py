"""Whole optimiser steps, and validation, as CUDA graphs: the host chooses frames and rates, and launches.

Launched one by one, the thousand kernels of a step take ten times as long as they run.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ffpt_core.potentials.backends import FrameEvaluation
from ffpt_core.training.batches import FrameBatches, chunks
from ffpt_core.training.configuration import LossConfiguration, TrainingConfiguration
from ffpt_core.training.graphs import Recording
from ffpt_core.training.loss import ErrorSums, weighted_loss
from ffpt_core.training.resident import Capacity, PaddedBatch, ResidentFrames
from ffpt_core.training.step import Learner
from ffpt_core.training.steps import AT_ONCE_ON_GPU

_EVALUATED_AT_ONCE = 4
"""Batches of training in one of validation, which keeps nothing for gradients."""

_SHARE_OF_DEVICE = 0.5
"""Of the free memory of a GPU, for frames that stay there; the rest is for steps."""

_log = logging.getLogger(__name__)


def fits(device: torch.device, train: FrameBatches, validation: FrameBatches) -> bool:
    """Whether a run can keep its frames on the device and replay its steps there."""
    if device.type != "cuda":
        return False
    needed = ResidentFrames.n_bytes(train) + ResidentFrames.n_bytes(validation)
    free, _ = torch.cuda.mem_get_info()
    if needed > _SHARE_OF_DEVICE * free:
        _log.warning(
            "the frames and their pairs (%.1f GB) would take more than half of what is free on the GPU (%.1f GB): "
            "batches are made on the CPU, and steps are slower",
            needed / 1e9,
            free / 1e9,
        )
        return False
    return True


class ReplayedSteps:
    """Steps with all frames on the device and work as CUDA graphs (see ffpt_core.training.steps.Steps).

    Args:
        learner: what learns; weights and the state of its optimiser must be what they begin with.
        configuration: the run.
        train: frames to train on.
        validation: frames to validate on.
    """

    at_once = AT_ONCE_ON_GPU

    def __init__(
        self, learner: Learner, configuration: TrainingConfiguration, train: FrameBatches, validation: FrameBatches
    ) -> None:
        size, potential = configuration.batch_size, learner.potential
        resident, validated = (
            ResidentFrames(frames, potential.shifts.cpu().numpy(), potential.cutoff, at_once, learner.device)
            for frames, at_once in ((train, size), (validation, _EVALUATED_AT_ONCE * size))
        )
        pool = torch.cuda.graph_pool_handle() if learner.device.type == "cuda" else None
        self._training = ReplayedTraining(learner, configuration.loss, resident, pool)
        self._validation = ReplayedValidation(learner.evaluate_learned, configuration.loss, validated, pool)
        self._validation_frames = validation.dataset
        self.loss_sum = self._training.loss_sum

    def train(self, frames: np.ndarray, rates: Sequence[float]) -> None:
        """As Steps.train."""
        self._training.run(frames, rates)

    def validate(self) -> dict[str, float]:
        """As Steps.validate."""
        return self._validation.means(self._validation_frames.n_atoms)


def errors_of(evaluate: FrameEvaluation, batch: PaddedBatch) -> tuple[Tensor, Tensor]:
    """(slots,) energy errors, eV, and (atoms, 3) force errors, eV/Angstrom; zeros for padding and missing labels."""
    energies, forces = evaluate(*batch[:6])
    energies = energies[:-1]
    return (
        energies - (energies.detach() if batch.energies is None else batch.energies),
        forces - (forces.detach() if batch.forces is None else batch.forces),
    )


class _Replayed:
    """Batches of resident frames one after the other, by one recording for each capacity.

    Args:
        frames: where batches come from.
        pool: of torch.cuda.graph_pool_handle, or None without a GPU.

    Attributes:
        frames: as given.
    """

    def __init__(self, frames: ResidentFrames, pool: Any) -> None:
        self.frames = frames
        self._pool = pool
        self._recordings: dict[Capacity, Recording] = {}
        device = frames.device
        self._slots = torch.full((AT_ONCE_ON_GPU, frames.batch_size + 1), frames.padding, device=device)
        self._at = torch.zeros(1, dtype=torch.int64, device=device)  # the row of slots that comes next

    @property
    def recorded(self) -> bool:
        """Whether all so far was replayed from graphs."""
        return all(recording.recorded for recording in self._recordings.values())

    @property
    def recordings(self) -> int:
        """How many capacities have been met, each of which has a recording of its own."""
        return len(self._recordings)

    def _batch(self, capacity: Capacity) -> PaddedBatch:
        """The next batch."""
        return self.frames.gather(self._slots.index_select(0, self._at)[0], capacity)

    def begin(self, frames: np.ndarray) -> list[Capacity]:
        """Send the numbers of the frames of at most AT_ONCE_ON_GPU batches. Returns the capacity of each batch."""
        slots = self.frames.slots(frames)
        send(slots, self._slots)
        self._at.zero_()
        return [self.frames.capacity(row) for row in slots]

    def step(self, capacity: Capacity) -> None:
        """What is recorded: the next batch, which must fit the capacity, and then _at."""
        raise NotImplementedError

    def state(self) -> list[Tensor]:
        """All that step changes and that outlasts it, but _at."""
        raise NotImplementedError

    def _replay(self, capacity: Capacity) -> None:
        """A step; recorded when the first batch of its capacity is at hand."""
        if capacity not in self._recordings:
            state = [*self.state(), self._at]
            self._recordings[capacity] = Recording(lambda: self.step(capacity), state, self._pool)
        self._recordings[capacity]()


class ReplayedTraining(_Replayed):
    """Optimiser steps: batch, errors, loss, gradients, clipping, Adam, averaged weights.

    Args:
        learner: what learns; the rate of its optimiser is left alone, steps have their own.
        configuration: of the loss.
        frames, pool: as _Replayed.
    """

    def __init__(self, learner: Learner, configuration: LossConfiguration, frames: ResidentFrames, pool: Any) -> None:
        super().__init__(frames, pool)
        self._learner = learner
        self._configuration = configuration
        self._rates = torch.zeros(AT_ONCE_ON_GPU, device=frames.device)
        self._rate = torch.zeros((), device=frames.device)
        self.loss_sum = torch.zeros((), dtype=torch.float64, device=frames.device)
        """Sum of the losses of all steps since it was last set to zero."""
        for weight in learner.weights:
            if not learner.optimizer.state[weight]:  # made during a recording, it would be made anew by every replay
                learner.optimizer.state[weight] = {
                    "step": torch.zeros((), device=frames.device),
                    "exp_avg": torch.zeros_like(weight),
                    "exp_avg_sq": torch.zeros_like(weight),
                }

    def state(self) -> list[Tensor]:
        """Weights, their averages, the state of Adam, the sum of losses."""
        learner = self._learner
        of_adam = [part for weight in learner.weights for part in learner.optimizer.state[weight].values()]
        return [*learner.weights, *of_adam, *learner.averages, self.loss_sum]

    def run(self, frames: np.ndarray, rates: Sequence[float]) -> None:
        """Launch at most AT_ONCE_ON_GPU steps, without waiting for them.

        Args:
            frames: (n,) frame numbers, divided into batches in their order.
            rates: learning rate of each step.
        """
        sizes = self.begin(frames)
        send(np.asarray(rates, dtype=np.float32), self._rates)
        for size in sizes:
            self._replay(size)

    def step(self, capacity: Capacity) -> None:
        """One step of the optimiser, with the next rate."""
        loss = self.loss(self._batch(capacity))
        self._rate.copy_(self._rates.index_select(0, self._at)[0])
        self._learner.step(loss, self._rate)
        self.loss_sum += loss.detach()
        self._at += 1

    def loss(self, batch: PaddedBatch) -> Tensor:
        """The weighted loss of the frames of a batch."""
        errors = errors_of(self._learner.evaluate, batch)
        return weighted_loss(self._configuration, *errors, batch.frame_share, batch.atom_share)


class ReplayedValidation(_Replayed):
    """Errors and their losses over frames.

    Args:
        evaluate: what is evaluated; the weights are read at every run.
        configuration: of the loss.
        frames, pool: as _Replayed.
    """

    def __init__(
        self, evaluate: FrameEvaluation, configuration: LossConfiguration, frames: ResidentFrames, pool: Any
    ) -> None:
        super().__init__(frames, pool)
        self._evaluate = evaluate
        self._sums = ErrorSums(configuration, frames.device)

    def means(self, n_atoms: np.ndarray) -> dict[str, float]:
        """Over all frames, which have (n_frames,) so many atoms; names as ErrorSums has them."""
        self._sums.reset()
        for part in chunks(np.arange(len(n_atoms)), AT_ONCE_ON_GPU * self.frames.batch_size):
            for size in self.begin(part):
                self._replay(size)
        return self._sums.means(len(n_atoms), int(n_atoms.sum()))

    def state(self) -> list[Tensor]:
        """The sums."""
        return list(self._sums.sums.values())

    def step(self, capacity: Capacity) -> None:
        """Add the errors of a batch."""
        with torch.no_grad():
            self._sums.add(*errors_of(self._evaluate, self._batch(capacity)))
        self._at += 1


def send(values: np.ndarray, buffer: Tensor) -> None:
    """Copy to the first rows of a tensor on the device, without waiting for the copy."""
    source = torch.from_numpy(values)
    if buffer.is_cuda:
        source = source.pin_memory()
    buffer[: len(values)].copy_(source, non_blocking=True)
