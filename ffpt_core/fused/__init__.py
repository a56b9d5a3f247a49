"""NewtonNet on a CPU as one C++ function: the fastest way to run a potential there.

``newtonnet.cpp`` is compiled for the processor at its first use (a few seconds) and kept in the user's cache folder.
PyTorch is not involved: a call costs what its arithmetic costs. Without a C++ compiler everything runs through
PyTorch as before.
"""

from ffpt_core.fused.evaluator import KERNELS, FusedEvaluator, choose_kernel
from ffpt_core.fused.kernel import load_kernel
from ffpt_core.fused.network import FusedNetwork

__all__ = ["KERNELS", "FusedEvaluator", "FusedNetwork", "choose_kernel", "load_kernel"]
