"""What evaluates a potential for fixed atoms, again and again: the fastest that there is for its device."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from ffpt_core.base.errors import FfptError
from ffpt_core.potentials.network_potential import Potential
from ffpt_core.potentials.newtonnet.cpp import FusedEvaluator, load_kernel
from ffpt_core.potentials.newtonnet.triton import why_no_triton_for

KERNELS: tuple[str, ...] = ("auto", "fused", "triton", "torch")
"""What evaluates a network: newtonnet.cpp on a CPU, newtonnet.triton on a GPU, PyTorch anywhere."""

_log = logging.getLogger(__name__)


class Evaluator(Protocol):
    """A potential for a fixed list of atoms, or for copies of it."""

    numbers: np.ndarray

    def __call__(
        self, positions: np.ndarray, cell: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Energies of copies, forces and virial; see ffpt_core.potentials.newtonnet.cpp.FusedEvaluator."""


def choose_kernel(kernel: str, potential: Potential) -> str:
    """What a kernel of KERNELS comes to here: "fused", "triton" or "torch".

    "auto" is the fused kernel for a potential on a CPU where a C++ compiler is installed, Triton for one on a GPU
    where it works, and PyTorch otherwise.

    Raises:
        FfptError: no such kernel.
    """
    if kernel not in KERNELS:
        raise FfptError(f"there is no kernel {kernel!r}; there are {', '.join(KERNELS)}")
    if kernel != "auto":
        return kernel
    if potential.device.type == "cpu":
        chosen, library = "fused", load_kernel()
        missing = library if isinstance(library, str) else ""
    else:
        chosen, missing = "triton", why_no_triton_for(potential)
    if missing:
        _log.info("the network runs in PyTorch: %s", missing)
        return "torch"
    return chosen


def make_evaluator(
    kernel: str,
    potential: Potential,
    numbers: Sequence[int] | np.ndarray,
    pbc: Sequence[bool] | np.ndarray = (False,) * 3,
    replicas: int = 1,
) -> Evaluator:
    """That of a kernel, "fused" or "triton". Other arguments and errors as FusedEvaluator."""
    if kernel == "fused":
        return FusedEvaluator(potential, numbers, pbc, replicas)
    from ffpt_core.potentials.newtonnet.triton.evaluator import TritonEvaluator

    return TritonEvaluator(potential, numbers, pbc, replicas)
