"""Energies and forces as functions of the weights, with gradients from the C++ kernel instead of autograd."""

from __future__ import annotations

import itertools
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from ffpt_core.potentials.newtonnet.cpp.network import CppNetwork, Structures, chunks_of, weights_of
from ffpt_core.potentials.newtonnet.network import NewtonNet
from ffpt_core.potentials.scaled_network import ScaledNetwork


class CppFrames:
    """ScaledNetwork.forward on a CPU: the same arguments, results that can be differentiated once.

    Args:
        network: what is evaluated; its weights are read at every call.
        flat: (n,) all weights one behind the other, of which those of the network are parts; results are then
            differentiated by it, and not by each of them, which takes longer.

    Attributes:
        network: the network of the kernel, with its copy of the weights and of what gradients need.

    Raises:
        FfptError: the kernel cannot be compiled here.
    """

    def __init__(self, network: ScaledNetwork, flat: Tensor | None = None) -> None:
        self.network = CppNetwork(network)
        self._weights = weights_of(cast(NewtonNet, network.network))
        self._variables = self._weights if flat is None else [flat]
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

        Arguments are those of ScaledNetwork.forward; positions in any type.
        """
        structures = Structures(
            numbers.numpy(), positions.numpy(), pairs.numpy(), None if translations is None else translations.numpy()
        ).checked()
        self.network.load(self._weights)
        call = next(self._calls) if torch.is_grad_enabled() else 0
        chunks = chunks_of(structures, frames.numpy(), n_frames)
        atomic, forces = _EnergiesAndForces.apply(self.network, call, structures, chunks, *self._variables)
        return torch.zeros(n_frames, dtype=torch.float64).index_add(0, frames, atomic), forces


class _EnergiesAndForces(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, network: CppNetwork, call: int, structures: Structures, chunks: np.ndarray, *variables: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Energies of atoms, and forces."""
        result = network.evaluate_frames(structures, chunks, call)
        ctx.network, ctx.call, ctx.structures, ctx.chunks = network, call, structures, chunks
        ctx.save_for_backward(*variables)
        return torch.from_numpy(result.energies), torch.from_numpy(result.forces)

    @staticmethod
    def backward(ctx: Any, energy_gradients: Tensor, force_gradients: Tensor) -> tuple[Tensor | None, ...]:
        variables = ctx.saved_tensors  # PyTorch refuses where they have changed since
        flat = ctx.network.gradients(
            ctx.structures, ctx.chunks, energy_gradients.numpy(), force_gradients.numpy(), ctx.call
        )
        parts = flat.split([variable.numel() for variable in variables])
        return None, None, None, None, *(part.view_as(one) for part, one in zip(parts, variables, strict=True))
