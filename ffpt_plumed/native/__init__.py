"""PLUMED inputs without a PLUMED kernel, as forces of OpenMM."""

from ffpt_plumed.native.bias import NativeBias, NativeReporter, add_bias

__all__ = ["NativeBias", "NativeReporter", "add_bias"]
