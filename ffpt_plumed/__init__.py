"""ffpt_plumed: PLUMED's kernel for potentials in OpenMM and ASE."""

from ffpt_plumed.kernel import find_kernel

__all__ = ["find_kernel"]
