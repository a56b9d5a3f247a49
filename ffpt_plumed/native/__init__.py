"""PLUMED inputs without a PLUMED kernel, as forces of OpenMM."""

from ffpt_plumed.native.bias import NativeBias, add_bias
from ffpt_plumed.native.reporter import NativeReporter

__all__ = ["NativeBias", "NativeReporter", "add_bias"]
