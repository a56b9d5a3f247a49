"""Whether Triton works here."""

from __future__ import annotations

import functools
import os
import subprocess

import torch


@functools.cache
def why_no_triton(device: torch.device) -> str:
    """Why Triton does not work on a device, or ""; found by launching a kernel."""
    try:
        from triton.errors import TritonError

        from ffpt_core.potentials.ordered_sums.kernel import rows_added
    except ImportError as error:
        return f"Triton is not installed ({error})"
    if device.type != "cuda" and os.environ.get("TRITON_INTERPRET") != "1":
        return "the potential is not on a GPU"
    try:
        x, to_first, to_second, sums = (torch.full((2, 1), float(k), device=device) for k in (1, 3, 5, 0))
        starts, entries = torch.tensor([0, 1, 2], device=device), torch.tensor([0, 2], device=device)
        rows_added[(2, 1)](x, to_first, to_second, starts, entries, sums, 2, 1, BLOCK=16, COLUMNS=16)
        return "" if sums.flatten().tolist() == [4.0, 6.0] else "a kernel on this device gives wrong numbers"
    except (
        TritonError,
        RuntimeError,
        OSError,
        subprocess.CalledProcessError,
    ) as error:  # of it, a compiler, the driver
        return f"Triton does not work on this device ({str(error).splitlines()[0] if str(error) else repr(error)})"
