"""NewtonNet in C++ as a backend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch

from ffpt_core.potentials.backends import Backend, FrameEvaluation, Trainer
from ffpt_core.potentials.flat_weights import FlatWeights
from ffpt_core.potentials.interface import ISOLATED, Evaluator, Periodicity
from ffpt_core.potentials.newtonnet.cpp.evaluator import CppEvaluator
from ffpt_core.potentials.newtonnet.cpp.kernel import load_kernel
from ffpt_core.potentials.newtonnet.cpp.training import CppFrames
from ffpt_core.potentials.newtonnet.network import NewtonNet
from ffpt_core.potentials.scaled_network import ScaledNetwork


class CppTrainer(Trainer):
    """All weights as one tensor, and gradients by the C++ kernel.

    Args:
        network: what is trained; its parameters become parts of the tensor.
    """

    def __init__(self, network: ScaledNetwork) -> None:
        self._flat = FlatWeights(network.network)
        self.weights = [self._flat.tensor]
        self.evaluate = CppFrames(network, self._flat.tensor)

    def divided(self, state: dict[str, Any]) -> dict[str, Any]:
        """One part for each parameter."""
        return self._flat.divided(state)

    def joined(self, state: dict[str, Any]) -> dict[str, Any]:
        """The inverse of divided."""
        return self._flat.joined(state)


class CppBackend(Backend):
    """The C++ kernel, compiled for the processor at its first use."""

    name = "cpp"
    device = "cpu"

    def why_not(self, network: ScaledNetwork) -> str:
        """Why the kernel cannot compute a network where it is, or ""."""
        if not isinstance(network.network, NewtonNet):
            return f"its kernel is of NewtonNet, not of {type(network.network).__name__}"
        if network.device.type != "cpu":
            return "the potential is not on the CPU"
        n_basis = network.network.n_basis
        frequencies = cast(torch.Tensor, network.network.radial_basis.frequencies).double().numpy().ravel()
        if np.abs(frequencies - np.pi * np.arange(1, n_basis + 1)).max() > 1e-4:
            return "its kernel needs radial functions whose frequencies are multiples of pi"
        library = load_kernel()
        return library if isinstance(library, str) else ""

    def evaluator(
        self,
        network: ScaledNetwork,
        numbers: Sequence[int] | np.ndarray,
        pbc: Periodicity = ISOLATED,
        copies: int = 1,
    ) -> Evaluator:
        """A CppEvaluator."""
        return CppEvaluator(network, numbers, pbc, copies)

    def frame_evaluation(self, network: ScaledNetwork) -> FrameEvaluation:
        """CppFrames of the network's own parameters."""
        return CppFrames(network)

    def trainer(self, network: ScaledNetwork) -> Trainer:
        """A CppTrainer."""
        return CppTrainer(network)
