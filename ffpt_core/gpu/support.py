"""Whether the kernels work here: asked before Triton is imported, which not every PyTorch brings."""

from __future__ import annotations

import functools

import torch

from ffpt_core.potential import Potential


def why_not(potential: Potential) -> str:
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
        import triton

        from ffpt_core.gpu import kernels
    except ImportError as error:
        return f"Triton is not installed ({error})"
    if device.type != "cuda" and not triton.knobs.runtime.interpret:
        return "the potential is not on a GPU"
    try:
        active, order = (torch.ones(4, dtype=torch.int32, device=device) for _ in range(2))
        kernels.compact[(1,)](active, torch.cumsum(active, 0), order, torch.zeros_like(order), 4, BLOCK=4)
        return "" if order.tolist() == [0, 1, 2, 3] else "a kernel on this device gives wrong numbers"
    except Exception as error:  # of Triton, of a compiler, of the driver: whatever it is, there is PyTorch
        return f"Triton does not work on this device ({str(error).splitlines()[0] if str(error) else repr(error)})"
