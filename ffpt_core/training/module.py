"""The Lightning module: loss, optimiser, learning rate, averaged weights, validation errors."""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Callable
from typing import Any

import lightning
import torch
from torch import Tensor
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torch.optim.swa_utils import get_ema_multi_avg_fn

from ffpt_core.base.errors import FfptError
from ffpt_core.potentials.network_potential import Potential
from ffpt_core.potentials.newtonnet.cpp import FusedTraining
from ffpt_core.potentials.newtonnet.network import NewtonNet
from ffpt_core.training.batches import Batch
from ffpt_core.training.configuration import TrainingConfiguration
from ffpt_core.training.flat_weights import FlatWeights
from ffpt_core.training.loss import loss_terms

DifferentiableEvaluation = Callable[..., tuple[Tensor, Tensor]]
"""The arguments of Potential.forward to what it returns, differentiable in the weights."""

_LOOK_EVERY = 50
"""Steps between looks at the loss of a GPU: each makes the host wait for it."""


class PotentialModule(lightning.LightningModule):
    """Trains the network of a potential; its shifts and scales stay as they are.

    Learning rate and plateau are kept here, not in a Lightning scheduler: Lightning forgets the plateau
    step of the epoch that a checkpoint ends, and a resumed run would differ from an unbroken one.

    Nothing in a step waits for the device: sums of losses and errors stay there until the epoch ends.

    Args:
        potential: what to train, already on its precision.
        configuration: the run.
        total_steps: optimiser steps of the whole run (for the cosine).
        kernel: "fused" or "torch" (see ffpt_core.potentials.backends.choose_kernel).
    """

    def __init__(
        self, potential: Potential, configuration: TrainingConfiguration, total_steps: int, kernel: str
    ) -> None:
        super().__init__()
        self.potential = potential
        self.configuration = configuration
        self.total_steps = total_steps
        self.kernel = kernel
        self._flat = FlatWeights(potential.network) if kernel == "fused" else None
        self._training = self._evaluation_of(potential, self._flat)
        self._validation = self._training
        self.history: list[dict[str, float]] = []
        self.best_loss = math.inf
        self.plateau: ReduceLROnPlateau | None = None
        self.averaged = None if configuration.ema is None else copy.deepcopy(potential.network).requires_grad_(False)
        # Walking through the modules for these at every step takes a millisecond.
        self._weights = self._variables_of(potential.network, self._flat)
        self._averages: list[torch.nn.Parameter] = []
        if self.averaged is not None:
            flat = None if self._flat is None else FlatWeights(self.averaged)
            self._averages = self._variables_of(self.averaged, flat)
        self._step = 0  # of the whole run; Lightning counts its own steps, which hold many of these on a GPU
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam over the network's weights."""
        if not torch.cuda.is_available():
            # Adam asks at every step, and Lightning has that answered by opening the driver's library: 0.4 ms.
            os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "0"
        rate, schedule = self.configuration.initial_rate, self.configuration.schedule
        self._optimizer = torch.optim.Adam(self._weights, lr=rate, fused=True)
        if schedule.kind == "plateau":
            self.plateau = ReduceLROnPlateau(self._optimizer, factor=schedule.factor, patience=schedule.patience)
        return self._optimizer

    def _evaluation_of(self, potential: Potential, flat: FlatWeights | None = None) -> DifferentiableEvaluation:
        """By the kernel of this run."""
        if self.kernel == "fused":
            return FusedTraining(potential, None if flat is None else flat.tensor)
        return potential.__call__  # a bound method, so that the potential is not a second part of this module

    @staticmethod
    def _variables_of(network: NewtonNet, flat: FlatWeights | None) -> list[torch.nn.Parameter]:
        return list(network.parameters()) if flat is None else [flat.tensor]

    def errors(self, batch: Batch, evaluate: DifferentiableEvaluation) -> tuple[Tensor, Tensor]:
        """(n_frames,) energy errors, eV, and (n_atoms, 3) force errors, eV/Angstrom, of a batch."""
        energies, forces = evaluate(*batch[:6])
        shifts = self.potential.shift_energies(batch.numbers, batch.frames, batch.n_frames)
        labels = energies.detach() if batch.energies is None else batch.energies - shifts
        return energies - labels, forces - (forces.detach() if batch.forces is None else batch.forces)

    def loss(self, batch: Batch) -> Tensor:
        """The weighted loss of one batch."""
        weights = self.configuration.loss
        energy, force = loss_terms(weights, *self.errors(batch, self._training))
        return weights.energy_weight * energy + weights.force_weight * force

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """The loss of one batch, refused where it is not a number."""
        loss = self.loss(batch)
        self._add("train_loss", loss.detach(), 1)
        if loss.device.type == "cpu" or self._step % _LOOK_EVERY == 0:
            self._check_loss()
        return loss

    def _check_loss(self) -> None:
        """Raise FfptError if a loss of this epoch was not a finite number."""
        if not torch.isfinite(self._sums["train_loss"]):
            raise FfptError(
                f"the loss is no longer a number (epoch {self.current_epoch + 1}, step {self._step + 1}): "
                "lower learning_rate, set gradient_clip, or look for outliers in the labels"
            )

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Without waiting for the copy."""
        return batch.to(device, non_blocking=True)

    def on_train_epoch_start(self) -> None:
        self._sums, self._counts = {}, {}

    def on_train_batch_start(self, batch: Batch, batch_index: int) -> None:
        self._step = self.current_epoch * self.steps_per_epoch + batch_index
        self._set_rate()

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps."""
        return self.total_steps // self.configuration.epochs

    def _set_rate(self) -> float:
        """The learning rate of this step: now that of the optimiser, too.

        Warm-up and cosine are functions of the step alone, so there is nothing to save; between plateaus the optimiser
        holds its rate.
        """
        schedule, group, step = self.configuration.schedule, self._optimizer.param_groups[0], self._step
        rate = self.configuration.initial_rate
        if step < schedule.warmup:
            rate *= (step + 1) / schedule.warmup
        elif schedule.kind == "cosine":
            progress = min(1.0, (step - schedule.warmup) / max(1, self.total_steps - schedule.warmup))
            rate *= schedule.final_fraction + (1 - schedule.final_fraction) * 0.5 * (1 + math.cos(math.pi * progress))
        elif step > schedule.warmup:
            return group["lr"]
        group["lr"] = rate
        return rate

    def on_train_batch_end(self, *_: Any) -> None:
        if self.configuration.ema is None:
            return
        # The average begins with the weights after the first step.
        decay = self.configuration.ema if self._step > 0 else 0.0
        get_ema_multi_avg_fn(decay)(self._averages, self._weights, self._step)

    def on_validation_start(self) -> None:
        self._check_loss()

    def on_validation_epoch_start(self) -> None:
        self._validation = self._evaluation_of(self.current_potential())

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Sums of the errors of the weights that would be saved now, and of their losses."""
        energy, force = self.errors(batch, self._validation)
        energy_loss, force_loss = loss_terms(self.configuration.loss, energy, force)
        self._add("energy_mae", energy.abs().mean(), len(energy))
        self._add("energy_loss", energy_loss, len(energy))
        self._add("force_mae", force.abs().mean(), len(force))
        self._add("force_loss", force_loss, len(force))

    def on_validation_epoch_end(self) -> None:
        """One row of history: the errors, and the loss that plateau and best weights go by: of the kind trained on."""
        row = {name: self._mean(name) for name in ("train_loss", "energy_mae", "force_mae")}
        loss = self.configuration.loss
        row["validation_loss"] = loss.energy_weight * self._mean("energy_loss") + loss.force_weight * self._mean(
            "force_loss"
        )
        row["learning_rate"] = self._optimizer.param_groups[0]["lr"]
        row["epoch"] = self.current_epoch + 1
        self.history.append(row)
        if self.plateau is not None:
            self.plateau.step(row["validation_loss"])
            final = self.configuration.initial_rate * self.configuration.schedule.final_fraction
            if self._optimizer.param_groups[0]["lr"] <= final:
                self.trainer.should_stop = True

    def current_potential(self) -> Potential:
        """The potential with the weights that validation and saving use: averaged ones where asked for."""
        if self.averaged is None:
            return self.potential
        potential = Potential(self.averaged, self.potential.elements, metadata=self.potential.metadata)
        potential.shifts, potential.scales = self.potential.shifts, self.potential.scales
        return potential

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """What Lightning does not keep by itself; and the optimiser's state as that of single weights, always."""
        if self._flat is not None:
            checkpoint["optimizer_states"] = [self._flat.divided(state) for state in checkpoint["optimizer_states"]]
        checkpoint["ffpt"] = {
            "history": self.history,
            "best_loss": self.best_loss,
            "plateau": None if self.plateau is None else self.plateau.state_dict(),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The inverse of on_save_checkpoint; the plateau follows when the optimiser exists."""
        if self._flat is not None:
            checkpoint["optimizer_states"] = [self._flat.joined(state) for state in checkpoint["optimizer_states"]]
        self.history = checkpoint["ffpt"]["history"]
        self.best_loss = checkpoint["ffpt"]["best_loss"]
        self._plateau_state = checkpoint["ffpt"]["plateau"]

    def on_fit_start(self) -> None:
        if self.plateau is not None and getattr(self, "_plateau_state", None) is not None:
            self.plateau.load_state_dict(self._plateau_state)

    def _add(self, name: str, mean: Tensor, count: int) -> None:
        """Add a batch's mean to the running mean of the epoch."""
        total = mean.double() * count
        self._sums[name] = self._sums[name] + total if name in self._sums else total
        self._counts[name] = self._counts.get(name, 0) + count

    def _mean(self, name: str) -> float:
        return self._sums[name].item() / self._counts[name]
