"""One step of the optimiser: what learns, at which rate, and what the averages follow."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torch.optim.swa_utils import get_ema_multi_avg_fn

from ffpt_core.potentials.backends import AUTO, Trainer, choose_backend
from ffpt_core.potentials.network_potential import NetworkPotential
from ffpt_core.training.configuration import TrainingConfiguration


def make_trainer(backend: str, potential: NetworkPotential) -> Trainer:
    """What differentiates a potential where it is; the choice of a backend is for a CPU."""
    return choose_backend(backend if potential.device.type == "cpu" else AUTO, potential).trainer(potential)


class Learner:
    """A potential that learns: its weights, their optimiser, and the average of them that is validated and saved.

    Shifts and scales stay as they are.

    Args:
        potential: what is trained, where it is trained, in the precision of the run.
        configuration: the run.

    Attributes:
        evaluate: energies and forces of frames, differentiable in the weights; arguments are those of the potential.
        weights: what the optimiser moves.
        averages: of the weights, which follow after every step; empty where the run asks for none.
        learned: the potential that validation and saving use: the averaged one where there is one.
        evaluate_learned: its energies and forces.
    """

    def __init__(self, potential: NetworkPotential, configuration: TrainingConfiguration) -> None:
        self.potential = self.learned = potential
        self._clip = configuration.gradient_clip
        if configuration.ema is not None:
            self.learned = copy.deepcopy(potential).requires_grad_(False)
            self._average = get_ema_multi_avg_fn(configuration.ema)
        self._trainer = trainer = make_trainer(configuration.kernel, potential)
        self.evaluate, self.weights = trainer.evaluate, trainer.weights
        self.evaluate_learned = self.evaluate
        self.averages: list[nn.Parameter] = []
        if self.learned is not potential:
            averaged = make_trainer(configuration.kernel, self.learned)
            self.evaluate_learned, self.averages = averaged.evaluate, averaged.weights
        self.optimizer = torch.optim.Adam(self.weights, lr=configuration.initial_rate, fused=True)

    @property
    def device(self) -> torch.device:
        """Where it learns."""
        return self.potential.device

    def step(self, loss: Tensor, rate: float | Tensor) -> None:
        """Gradients, clipping, Adam, averages.

        Args:
            loss: of a batch, () with a graph behind it.
            rate: of this step; a tensor on a GPU, where a replayed step finds it.
        """
        loss.backward()
        if self._clip is not None:
            nn.utils.clip_grad_norm_(self.weights, self._clip)
        self._adam(rate)
        self.optimizer.zero_grad(set_to_none=True)  # gradients of a recording are its own
        if self.averages:
            self._average(self.averages, self.weights, 0)

    def _adam(self, rate: float | Tensor) -> None:
        group = self.optimizer.param_groups[0]
        if not isinstance(rate, Tensor):
            group["lr"] = rate
            self.optimizer.step()
            return
        kept = {name: group[name] for name in ("lr", "capturable")}  # elsewhere the rate is a plain number
        group.update(lr=rate, capturable=rate.is_cuda)
        try:
            self.optimizer.step()
        finally:
            group.update(kept)

    @torch.no_grad()
    def begin_averages(self) -> None:
        """Let the averages begin here: after the first step, whose weights are the first that learned anything."""
        if self.averages:
            for average, weight in zip(self.averages, self.weights, strict=True):
                average.copy_(weight)

    def state_dict(self) -> dict[str, Any]:
        """Weights, averages, and the optimiser's state as that of single parameters, whatever computes."""
        weights = {f"potential.{name}": value for name, value in self.potential.state_dict().items()}
        if self.averages:
            weights |= {f"averaged.{name}": value for name, value in self.learned.network.state_dict().items()}
        return {"state_dict": weights, "optimizer_states": [self._trainer.divided(self.optimizer.state_dict())]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of state_dict."""
        weights = state["state_dict"]
        self.potential.load_state_dict(_within("potential.", weights))
        if self.averages:
            self.learned.network.load_state_dict(_within("averaged.", weights))
        self.optimizer.load_state_dict(self._trainer.joined(state["optimizer_states"][0]))


def _within(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """What of a state has names that begin with the prefix, without it."""
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


class Rates:
    """The learning rate of every step.

    Warm-up and cosine are functions of the step alone, so there is nothing to save; between plateaus the optimiser
    holds its rate.

    Args:
        configuration: the run.
        optimizer: whose rate is set.
        total_steps: of the whole run (for the cosine).
    """

    def __init__(
        self, configuration: TrainingConfiguration, optimizer: torch.optim.Optimizer, total_steps: int
    ) -> None:
        self._schedule = schedule = configuration.schedule
        self._first = configuration.initial_rate
        self._optimizer = optimizer
        self._total_steps = total_steps
        self._plateau: ReduceLROnPlateau | None = None
        if schedule.kind == "plateau":
            self._plateau = ReduceLROnPlateau(optimizer, factor=schedule.factor, patience=schedule.patience)

    @property
    def now(self) -> float:
        """That of the optimiser."""
        return float(self._optimizer.param_groups[0]["lr"])

    def of_step(self, step: int) -> float:
        """The rate of a step, counted from 0 over the whole run: now that of the optimiser, too."""
        schedule, rate = self._schedule, self._first
        if step < schedule.warmup:
            rate *= (step + 1) / schedule.warmup
        elif schedule.kind == "cosine":
            progress = min(1.0, (step - schedule.warmup) / max(1, self._total_steps - schedule.warmup))
            rate *= schedule.final_fraction + (1 - schedule.final_fraction) * 0.5 * (1 + math.cos(math.pi * progress))
        elif step > schedule.warmup:
            return self.now
        self._optimizer.param_groups[0]["lr"] = rate
        return rate

    def end_epoch(self, validation_loss: float) -> None:
        """Lower the rate where the loss has been on a plateau for long enough."""
        if self._plateau is not None:
            self._plateau.step(validation_loss)

    def ended(self, steps: int) -> bool:
        """Whether, after so many steps, plateaus have brought the rate to its final fraction: the run has converged."""
        final = self._first * self._schedule.final_fraction
        return self._plateau is not None and steps > self._schedule.warmup and self.now <= final

    def state_dict(self) -> dict[str, Any] | None:
        """That of the plateau."""
        return None if self._plateau is None else self._plateau.state_dict()

    def load_state_dict(self, state: dict[str, Any] | None) -> None:
        """The inverse of state_dict."""
        if self._plateau is not None and state is not None:
            self._plateau.load_state_dict(state)
