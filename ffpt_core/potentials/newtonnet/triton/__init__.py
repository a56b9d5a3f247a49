"""NewtonNet on a GPU in Triton: the fastest way to run a potential there.

What PyTorch needs three hundred launches for takes some twenty here, which a CUDA graph replays. The kernels are
compiled at their first use (half a minute) and kept in its cache folder. Training takes one of them, for sums over
pairs in a fixed order (pair_sums). Where Triton, which comes with PyTorch for CUDA on Linux, does not work, everything
runs through PyTorch.
"""

from ffpt_core.potentials.newtonnet.triton.support import why_no_triton, why_no_triton_for

__all__ = ["why_no_triton", "why_no_triton_for"]
