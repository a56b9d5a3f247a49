"""NewtonNet by Triton as a backend."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ffpt_core.potentials.backends import TorchBackend
from ffpt_core.potentials.interface import ISOLATED, Evaluator, Periodicity
from ffpt_core.potentials.newtonnet.network import NewtonNet
from ffpt_core.potentials.ordered_sums import why_no_triton
from ffpt_core.potentials.scaled_network import ScaledNetwork


class TritonBackend(TorchBackend):
    """Evaluations of atoms that move by Triton kernels on a GPU; frames and training by PyTorch there."""

    name = "triton"
    device = "cuda"

    def why_not(self, network: ScaledNetwork) -> str:
        """Why the kernels cannot evaluate a network where it is, or ""."""
        if not isinstance(network.network, NewtonNet):
            return f"its kernels are of NewtonNet, not of {type(network.network).__name__}"
        n_features = network.network.n_features
        if network.dtype == torch.float64 and network.device.type == "cuda":
            return "its kernels compute in float32, and the potential is in float64"
        if n_features < 32 or n_features & (n_features - 1):
            return f"its kernels need a number of features that is a power of two from 32 on, not {n_features}"
        return why_no_triton(network.device)

    def evaluator(
        self,
        network: ScaledNetwork,
        numbers: Sequence[int] | np.ndarray,
        pbc: Periodicity = ISOLATED,
        copies: int = 1,
    ) -> Evaluator:
        """A TritonEvaluator."""
        from ffpt_core.potentials.newtonnet.triton.evaluator import TritonEvaluator

        return TritonEvaluator(network, numbers, pbc, copies)
