"""ffpt_core: potentials pre-trained on classical force fields, from the molecule to the exported model.

    potential = ffpt_core.load("aspirin.pt")
    atoms.calc = potential.calculator()

Units are eV, Angstrom and amu, as in ASE.
"""

from ffpt_core import reference
from ffpt_core.errors import FfptError
from ffpt_core.potential import Potential, load

__version__ = "0.1.0"
__all__ = ["FfptError", "Potential", "__version__", "load", "reference"]
