"""NewtonNet on a CPU in C++: the fastest way to run and to train a potential there.

``src/`` is compiled for the processor at its first use (a few seconds) and kept in the user's cache folder. PyTorch is
not involved: a call costs what its arithmetic costs. Without a C++ compiler everything runs through PyTorch.
"""

from ffpt_core.potentials.newtonnet.cpp.evaluator import CppEvaluator
from ffpt_core.potentials.newtonnet.cpp.kernel import load_kernel
from ffpt_core.potentials.newtonnet.cpp.network import CppNetwork, Structures, chunks_of
from ffpt_core.potentials.newtonnet.cpp.training import CppFrames

__all__ = ["CppEvaluator", "CppFrames", "CppNetwork", "Structures", "chunks_of", "load_kernel"]
