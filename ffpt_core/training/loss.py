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


def weighted_loss(
    configuration: LossConfiguration,
    energy_errors: Tensor,
    force_errors: Tensor,
    frame_share: Tensor | float = 1.0,
    atom_share: Tensor | float = 1.0,
) -> Tensor:
    """The loss of a batch.

    Args:
        configuration: kind and weights.
        energy_errors: (n_frames,) eV.
        force_errors: (n_atoms, 3) eV/Angstrom.
        frame_share, atom_share: what part of the rows is not padding, whose errors are zero.
    """
    energy, force = loss_terms(configuration, energy_errors, force_errors)
    return configuration.energy_weight * energy / frame_share + configuration.force_weight * force / atom_share


class ErrorSums:
    """Absolute errors and losses of energies and forces, summed over batches where the errors are.

    Args:
        configuration: the kind of loss.
        device: of the errors.

    Attributes:
        sums: () float64 each, by name: energy_mae, energy_loss, force_mae, force_loss.
    """

    def __init__(self, configuration: LossConfiguration, device: torch.device) -> None:
        self._configuration = configuration
        names = ("energy_mae", "energy_loss", "force_mae", "force_loss")
        self.sums = {name: torch.zeros((), dtype=torch.float64, device=device) for name in names}

    def reset(self) -> None:
        """Begin anew."""
        for total in self.sums.values():
            total.zero_()

    def add(self, energy_errors: Tensor, force_errors: Tensor) -> None:
        """Those of a batch, (n_frames,) eV and (n_atoms, 3) eV/Angstrom; rows of padding are zero."""
        energy_loss, force_loss = loss_terms(self._configuration, energy_errors, force_errors)
        n_frames, n_atoms = len(energy_errors), len(force_errors)
        self.sums["energy_mae"] += energy_errors.abs().mean().double() * n_frames
        self.sums["energy_loss"] += energy_loss.double() * n_frames
        self.sums["force_mae"] += force_errors.abs().mean().double() * n_atoms
        self.sums["force_loss"] += force_loss.double() * n_atoms

    def means(self, n_frames: int, n_atoms: int) -> dict[str, float]:
        """Over so many frames and atoms."""
        return {
            name: total.item() / (n_frames if name.startswith("energy") else n_atoms)
            for name, total in self.sums.items()
        }
