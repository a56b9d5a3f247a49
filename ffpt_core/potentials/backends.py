"""What computes a network: PyTorch anywhere, and faster programs for the networks and devices that have one."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

import numpy as np
from torch import Tensor, nn

from ffpt_core.base.errors import FfptError
from ffpt_core.base.registry import Registry
from ffpt_core.potentials.interface import ISOLATED, Evaluator, Periodicity
from ffpt_core.potentials.scaled_network import ScaledNetwork
from ffpt_core.potentials.torch_evaluator import TorchEvaluator

AUTO = "auto"
"""The fastest backend that there is for a network where it is."""

_OLD_NAMES = {"fused": "cpp"}
"""Names of backends in files of before."""

_log = logging.getLogger(__name__)


class FrameEvaluation(Protocol):
    """Energies and forces of many frames at once, which autograd can differentiate in the weights."""

    def __call__(
        self,
        numbers: Tensor,
        positions: Tensor,
        pairs: Tensor,
        translations: Tensor | None,
        frames: Tensor,
        n_frames: int,
    ) -> tuple[Tensor, Tensor]:
        """Arguments and results are those of ScaledNetwork.forward."""


class Trainer(ABC):
    """The weights of a network as an optimiser takes them, and the evaluation that its steps differentiate.

    Attributes:
        evaluate: energies and forces of frames, differentiable in ``weights``.
        weights: what the optimiser is given.
    """

    evaluate: FrameEvaluation
    weights: list[nn.Parameter]

    @abstractmethod
    def divided(self, state: dict[str, Any]) -> dict[str, Any]:
        """The state of an optimiser of ``weights`` as that of one of the network's parameters: what files hold."""

    @abstractmethod
    def joined(self, state: dict[str, Any]) -> dict[str, Any]:
        """The inverse of divided."""


class Backend(ABC):
    """One way to compute networks."""

    name: ClassVar[str]

    device: ClassVar[str | None] = None
    """PyTorch's type of the device that it is the fastest on; None: of none."""

    @abstractmethod
    def why_not(self, network: ScaledNetwork) -> str:
        """Why it cannot compute a network where it is, in one line; "" where it can."""

    @abstractmethod
    def evaluator(
        self,
        network: ScaledNetwork,
        numbers: Sequence[int] | np.ndarray,
        pbc: Periodicity = ISOLATED,
        copies: int = 1,
    ) -> Evaluator:
        """What evaluates a network for atoms that move; its weights are copied.

        Args:
            network: on its device, with its shifts and scales.
            numbers: atomic numbers of one copy.
            pbc: in which directions of the cell the system is periodic.
            copies: number of copies, which share the cell.
        """

    @abstractmethod
    def frame_evaluation(self, network: ScaledNetwork) -> FrameEvaluation:
        """What evaluates frames; the weights are those of the moment of each call."""

    @abstractmethod
    def trainer(self, network: ScaledNetwork) -> Trainer:
        """What trains a network. Its parameters stay the parameters that they are, perhaps in other memory."""


class TorchTrainer(Trainer):
    """A network's own parameters, and its own forward.

    Args:
        network: what is trained.
    """

    def __init__(self, network: ScaledNetwork) -> None:
        self.evaluate = network.__call__  # a bound method, so that the network is not a part of what holds this
        self.weights = list(network.network.parameters())

    def divided(self, state: dict[str, Any]) -> dict[str, Any]:
        """The state as it is."""
        return state

    def joined(self, state: dict[str, Any]) -> dict[str, Any]:
        """The state as it is."""
        return state


class TorchBackend(Backend):
    """PyTorch: every network, on every device."""

    name = "torch"

    def why_not(self, network: ScaledNetwork) -> str:
        """Never a reason."""
        return ""

    def evaluator(
        self,
        network: ScaledNetwork,
        numbers: Sequence[int] | np.ndarray,
        pbc: Periodicity = ISOLATED,
        copies: int = 1,
    ) -> Evaluator:
        """A TorchEvaluator."""
        return TorchEvaluator(network, numbers, pbc, copies)

    def frame_evaluation(self, network: ScaledNetwork) -> FrameEvaluation:
        """The network itself."""
        return network.__call__

    def trainer(self, network: ScaledNetwork) -> Trainer:
        """A TorchTrainer."""
        return TorchTrainer(network)


BACKENDS: Registry[type[Backend]] = Registry(
    "ffpt.backends",
    "backend",
    {
        "triton": "ffpt_core.potentials.newtonnet.triton.backend:TritonBackend",
        "cpp": "ffpt_core.potentials.newtonnet.cpp.backend:CppBackend",
        "torch": "ffpt_core.potentials.backends:TorchBackend",
    },
)
"""All backends, the fastest first."""


def backend_names() -> tuple[str, ...]:
    """What choose_backend takes."""
    return (AUTO, *BACKENDS.names())


def choose_backend(name: str, network: ScaledNetwork) -> Backend:
    """The backend of a name; for "auto" the first one made for the network's device that can compute it, else PyTorch.

    Raises:
        FfptError: no such backend, or it cannot compute the network.
    """
    name = _OLD_NAMES.get(name, name)
    if name != AUTO:
        backend = BACKENDS.get(name)()
        if reason := backend.why_not(network):
            raise FfptError(f"the backend {name} cannot be used: {reason}")
        return backend
    for one in BACKENDS.all().values():
        if one.device == network.device.type:
            backend = one()
            reason = backend.why_not(network)
            if not reason:
                return backend
            _log.info("not by the backend %s: %s", backend.name, reason)
    return TorchBackend()
