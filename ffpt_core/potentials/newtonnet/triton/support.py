"""Whether the kernels work here: asked before Triton is imported, which not every PyTorch brings."""

from __future__ import annotations

import functools
import os
import subprocess
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from ffpt_core.potentials.network_potential import Potential


def why_no_triton_for(potential: Potential) -> str:
    """Why the kernels cannot evaluate a potential where it is, or ""."""
    n_features = potential.network.n_features
    if potential.dtype == torch.float64 and potential.device.type == "cuda":
        return "they compute in float32, and the potential is in float64"
    if n_features < 32 or n_features & (n_features - 1):
        return f"they need a number of features that is a power of two from 32 on, not {n_features}"
    return why_no_triton(potential.device)


@functools.cache
def why_no_triton(device: torch.device) -> str:
    """Why Triton does not work on a device, or ""; found by launching a kernel."""
    try:
        from triton.errors import TritonError

        from ffpt_core.potentials.newtonnet.triton import kernels
    except ImportError as error:
        return f"Triton is not installed ({error})"
    if device.type != "cuda" and os.environ.get("TRITON_INTERPRET") != "1":
        return "the potential is not on a GPU"
    try:
        active, order = (torch.ones(4, dtype=torch.int32, device=device) for _ in range(2))
        kernels.compact[(1,)](active, torch.cumsum(active, 0), order, torch.zeros_like(order), 4, BLOCK=4)
        return "" if order.tolist() == [0, 1, 2, 3] else "a kernel on this device gives wrong numbers"
    except (
        TritonError,
        RuntimeError,
        OSError,
        subprocess.CalledProcessError,
    ) as error:  # of it, a compiler, the driver
        return f"Triton does not work on this device ({str(error).splitlines()[0] if str(error) else repr(error)})"
