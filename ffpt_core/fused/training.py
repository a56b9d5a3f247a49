"""Energies and forces as functions of the weights, with gradients from the C++ kernel instead of autograd."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor

from ffpt_core.fused.network import FusedNetwork, Structures, weights_of
from ffpt_core.potential import Potential


class FusedTraining:
    """Potential.forward for training on a CPU: the same arguments, results that can be differentiated once.

    Args:
        potential: what is trained; its weights are read at every call.

    Raises:
        FfptError: the kernel cannot be compiled here.
    """

    def __init__(self, potential: Potential) -> None:
        self._network = FusedNetwork(potential)
        self._weights = weights_of(potential.network)
        self._calls = itertools.count(1)

    def __call__(
        self,
        numbers: Tensor,
        positions: Tensor,
        pairs: Tensor,
        translations: Tensor | None,
        frames: Tensor,
        n_frames: int,
    ) -> tuple[Tensor, Tensor]:
        """Energies without shifts, (n_frames,) eV, and forces, (n_atoms, 3) eV/Angstrom, in float64.

        Args are those of Potential.forward; positions in any type.
        """
        structures = Structures(
            numbers.numpy(), positions.numpy(), pairs.numpy(), None if translations is None else translations.numpy()
        )
        call = next(self._calls) if torch.is_grad_enabled() else 0
        energies, forces = _EnergiesAndForces.apply(
            self._network, call, structures.checked(), frames, n_frames, *self._weights
        )
        return energies, forces


class _EnergiesAndForces(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        network: FusedNetwork,
        call: int,
        structures: Structures,
        frames: Tensor,
        n_frames: int,
        *weights: Tensor,
    ) -> tuple[Tensor, Tensor]:
        network.load(weights)
        result = network.evaluate_frames(structures, frames.numpy(), n_frames, call)
        ctx.network, ctx.call, ctx.structures, ctx.frames = network, call, structures, frames
        ctx.save_for_backward(*weights)
        energies = torch.zeros(n_frames, dtype=torch.float64).index_add(0, frames, torch.from_numpy(result.energies))
        return energies, torch.from_numpy(result.forces)

    @staticmethod
    def backward(ctx: Any, energy_gradients: Tensor, force_gradients: Tensor) -> tuple[Tensor | None, ...]:
        gradients = ctx.network.gradients(
            ctx.structures,
            ctx.frames.numpy(),
            energy_gradients.numpy(),
            force_gradients.numpy(),
            ctx.saved_tensors,
            ctx.call,
        )
        return None, None, None, None, None, *gradients
