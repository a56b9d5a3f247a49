"""Whole optimiser steps, and validation, as CUDA graphs: the host chooses frames and rates, and launches.

Launched one by one, the thousand kernels of a step take ten times as long as they run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from ffpt_core.potentials.network_potential import Potential
from ffpt_core.training.configuration import TrainingConfiguration
from ffpt_core.training.graphs import Recording
from ffpt_core.training.loss import loss_terms
from ffpt_core.training.resident import Capacity, PaddedBatch, ResidentFrames

STEPS = 50
"""Steps that are sent to the device at once; then the host looks at the loss."""


def errors_of(potential: Potential, batch: PaddedBatch) -> tuple[Tensor, Tensor]:
    """(slots,) energy errors, eV, and (atoms, 3) force errors, eV/Angstrom; zeros for padding and missing labels."""
    energies, forces = potential(*batch[:6])
    energies = energies[:-1]
    return (
        energies - (energies.detach() if batch.energies is None else batch.energies),
        forces - (forces.detach() if batch.forces is None else batch.forces),
    )


class _Replayed:
    """Batches of resident frames one after the other, by one recording for each capacity.

    Args:
        potential: what is evaluated, on its device.
        configuration: the run.
        frames: where batches come from.
        pool: of torch.cuda.graph_pool_handle, or None without a GPU.
    """

    def __init__(
        self, potential: Potential, configuration: TrainingConfiguration, frames: ResidentFrames, pool: Any
    ) -> None:
        self._potential = potential
        self._configuration = configuration
        self._frames = frames
        self._pool = pool
        self._recordings: dict[Capacity, Recording] = {}
        device = frames.device
        self._slots = torch.full((STEPS, frames.batch_size + 1), frames.padding, device=device)
        self._at = torch.zeros(1, dtype=torch.int64, device=device)  # the row of slots that comes next

    @property
    def recorded(self) -> bool:
        """Whether all so far was replayed from graphs."""
        return all(recording.recorded for recording in self._recordings.values())

    def _batch(self, capacity: Capacity) -> PaddedBatch:
        """The next batch."""
        return self._frames.gather(self._slots.index_select(0, self._at)[0], capacity)

    def _start(self, frames: np.ndarray) -> list[Capacity]:
        """Send the numbers of the frames of at most STEPS batches. Returns the capacity of each batch."""
        slots = self._frames.slots(frames)
        send(slots, self._slots)
        self._at.zero_()
        return [self._frames.capacity(row) for row in slots]

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
        potential, configuration, frames, pool: as _Replayed; the potential is what is trained.
        optimizer: Adam over the network's weights; its rate is left alone, steps have their own.
        averages: of the weights, moved after every step by configuration.ema; may be empty.
    """

    def __init__(
        self,
        potential: Potential,
        configuration: TrainingConfiguration,
        frames: ResidentFrames,
        pool: Any,
        optimizer: torch.optim.Adam,
        averages: list[Tensor],
    ) -> None:
        super().__init__(potential, configuration, frames, pool)
        self._optimizer = optimizer
        self._weights: list[Tensor] = list(potential.network.parameters())
        self._averages = averages
        self._rates = torch.zeros(STEPS, device=frames.device)
        self._rate = torch.zeros((), device=frames.device)
        self.loss_sum = torch.zeros((), dtype=torch.float64, device=frames.device)
        """Sum of the losses of all steps since it was last set to zero."""
        for weight in self._weights:
            if not optimizer.state[weight]:  # made during a recording, it would be made anew by every replay
                optimizer.state[weight] = {
                    "step": torch.zeros((), device=frames.device),
                    "exp_avg": torch.zeros_like(weight),
                    "exp_avg_sq": torch.zeros_like(weight),
                }

    def state(self) -> list[Tensor]:
        """Weights, their averages, the state of Adam, the sum of losses."""
        of_adam = [part for weight in self._weights for part in self._optimizer.state[weight].values()]
        return [*self._weights, *of_adam, *self._averages, self.loss_sum]

    def run(self, frames: np.ndarray, rates: Sequence[float], first: bool = False) -> None:
        """Launch at most STEPS steps, without waiting for them.

        Args:
            frames: (n,) frame numbers, divided into batches in their order.
            rates: learning rate of each step.
            first: whether the first of these steps is the first of all, with which the averages begin.
        """
        sizes = self._start(frames)
        send(np.asarray(rates, dtype=np.float32), self._rates)
        for step, size in enumerate(sizes):
            self._replay(size)
            if first and step == 0 and self._averages:
                with torch.no_grad():
                    torch._foreach_copy_(self._averages, self._weights)

    def step(self, capacity: Capacity) -> None:
        """One step of the optimiser, with the next rate."""
        configuration = self._configuration
        loss = self.loss(self._batch(capacity))
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if configuration.gradient_clip is not None:
            torch.nn.utils.clip_grad_norm_(self._weights, configuration.gradient_clip)
        self._rate.copy_(self._rates.index_select(0, self._at)[0])
        self._adam()
        self._optimizer.zero_grad(set_to_none=True)  # gradients of a recording are its own
        if self._averages:
            assert configuration.ema is not None
            get_ema_multi_avg_fn(configuration.ema)(self._averages, self._weights, 0)
        self.loss_sum += loss.detach()
        self._at += 1

    def loss(self, batch: PaddedBatch) -> Tensor:
        """The weighted loss of the frames of a batch."""
        weights = self._configuration.loss
        energy, force = loss_terms(weights, *errors_of(self._potential, batch))
        return weights.energy_weight * energy / batch.frame_share + weights.force_weight * force / batch.atom_share

    def _adam(self) -> None:
        """With the rate on the device, where replays find it; elsewhere the optimizer keeps a plain number."""
        group = self._optimizer.param_groups[0]
        kept = {name: group[name] for name in ("lr", "capturable")}
        group.update(lr=self._rate, capturable=self._rate.is_cuda)
        try:
            self._optimizer.step()
        finally:
            group.update(kept)


class ReplayedValidation(_Replayed):
    """Sums of errors and of their losses over frames.

    Args:
        potential, configuration, frames, pool: as _Replayed; the weights are read at every run.
    """

    def __init__(
        self, potential: Potential, configuration: TrainingConfiguration, frames: ResidentFrames, pool: Any
    ) -> None:
        super().__init__(potential, configuration, frames, pool)
        names = ("energy_mae", "energy_loss", "force_mae", "force_loss")
        self.sums = {name: torch.zeros((), dtype=torch.float64, device=frames.device) for name in names}
        """Over all frames, or their atoms, since they were last set to zero; as PotentialModule names them."""

    def run(self, frames: np.ndarray) -> None:
        """Launch the evaluation of at most STEPS batches, (n,) frame numbers, without waiting for it."""
        for size in self._start(frames):
            self._replay(size)

    def state(self) -> list[Tensor]:
        """The sums."""
        return list(self.sums.values())

    def step(self, capacity: Capacity) -> None:
        """Add the errors of a batch."""
        with torch.no_grad():
            energy, force = errors_of(self._potential, self._batch(capacity))
        terms = dict(
            zip(("energy_loss", "force_loss"), loss_terms(self._configuration.loss, energy, force), strict=True)
        )
        terms |= {"energy_mae": energy.abs().mean(), "force_mae": force.abs().mean()}
        for name, mean in terms.items():
            self.sums[name] += mean * len(energy if name.startswith("energy") else force)
        self._at += 1


def send(values: np.ndarray, buffer: Tensor) -> None:
    """Copy to the first rows of a tensor on the device, without waiting for the copy."""
    source = torch.from_numpy(values)
    if buffer.is_cuda:
        source = source.pin_memory()
    buffer[: len(values)].copy_(source, non_blocking=True)
