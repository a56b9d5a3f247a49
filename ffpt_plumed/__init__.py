"""ffpt_plumed: the reactions of hydrogen combustion, and PLUMED for potentials in OpenMM and ASE."""

from ffpt_plumed.kernel import find_kernel
from ffpt_plumed.reactions import REACTIONS, Reaction, reaction

__all__ = ["REACTIONS", "Reaction", "find_kernel", "reaction"]
