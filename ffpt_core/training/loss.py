"""What training minimises."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import huber_loss

from ffpt_core.training.configuration import LossConfiguration


def loss_terms(configuration: LossConfiguration, energy_errors: Tensor, force_errors: Tensor) -> tuple[Tensor, Tensor]:
    """Mean squared, or robust, error of energies (eV^2) and of force components (eV^2/Angstrom^2)."""
    if configuration.kind == "mse":
        return energy_errors.square().mean(), force_errors.square().mean()
    # Twice PyTorch's Huber loss, so that small errors cost what they cost in mse.
    zero_energy, zero_force = torch.zeros_like(energy_errors), torch.zeros_like(force_errors)
    return (
        2.0 * huber_loss(energy_errors, zero_energy, delta=configuration.energy_delta),
        2.0 * huber_loss(force_errors, zero_force, delta=configuration.force_delta),
    )
