"""Sums over pairs in a fixed order on a GPU, by Triton: for the training of any network there.

Whether Triton works is asked before it is imported, which not every PyTorch brings.
"""

from ffpt_core.potentials.ordered_sums.support import why_no_triton

__all__ = ["why_no_triton"]
