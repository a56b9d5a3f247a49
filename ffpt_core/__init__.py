"""ffpt_core: potentials pre-trained on classical force fields, from the molecule to the exported model.

    potential = ffpt_core.load("aspirin.pt")
    atoms.calc = potential.calculator()

    xtb = ffpt_core.open_potential("tblite:GFN2-xTB")   # or any other: ffpt_core.potentials.sources has the names

Units are eV, Angstrom and amu, as in ASE.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ffpt_core.base.errors import FfptError
from ffpt_core.base.version import __version__

if TYPE_CHECKING:
    from ffpt_core.potentials.contract import check_potential
    from ffpt_core.potentials.interface import Potential, Prediction
    from ffpt_core.potentials.network_potential import NetworkPotential, load
    from ffpt_core.potentials.newtonnet import reference
    from ffpt_core.potentials.sources import open_potential

_HOMES = {
    "NetworkPotential": "potentials.network_potential",
    "Potential": "potentials.interface",
    "Prediction": "potentials.interface",
    "check_potential": "potentials.contract",
    "load": "potentials.network_potential",
    "open_potential": "potentials.sources",
}

__all__ = [
    "FfptError",
    "NetworkPotential",
    "Potential",
    "Prediction",
    "__version__",
    "check_potential",
    "load",
    "open_potential",
    "reference",
]


def __getattr__(name: str) -> Any:
    """Names that need torch are imported when they are used: ``ffpt --help`` must not wait for it."""
    if name == "reference":
        return importlib.import_module("ffpt_core.potentials.newtonnet.reference")
    if name in _HOMES:
        return getattr(importlib.import_module(f"ffpt_core.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'ffpt_core' has no attribute {name!r}")
