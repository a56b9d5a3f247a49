"""ffpt_core: potentials pre-trained on classical force fields, from the molecule to the exported model.

    potential = ffpt_core.load("aspirin.pt")
    atoms.calc = potential.calculator()

Units are eV, Angstrom and amu, as in ASE.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ffpt_core.base.errors import FfptError
from ffpt_core.base.version import __version__

if TYPE_CHECKING:
    from ffpt_core.potentials.network_potential import Potential, load
    from ffpt_core.potentials.newtonnet import reference

__all__ = ["FfptError", "Potential", "__version__", "load", "reference"]


def __getattr__(name: str) -> Any:
    """Names that need torch are imported when they are used: ``ffpt --help`` must not wait for it."""
    if name == "reference":
        return importlib.import_module("ffpt_core.potentials.newtonnet.reference")
    if name in ("Potential", "load"):
        return getattr(importlib.import_module("ffpt_core.potentials.network_potential"), name)
    raise AttributeError(f"module 'ffpt_core' has no attribute {name!r}")
