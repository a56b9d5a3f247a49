"""ffpt_plumed: the reactions of hydrogen combustion, PLUMED for potentials in OpenMM and ASE, and metadynamics."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ffpt_plumed.kernel.force import PlumedForce, create_plumed_force
    from ffpt_plumed.kernel.library import find_kernel
    from ffpt_plumed.metadynamics.run import run_metad
    from ffpt_plumed.reactions.records import REACTIONS, Reaction, reaction

_HOMES = {
    "REACTIONS": "reactions.records",
    "PlumedForce": "kernel.force",
    "Reaction": "reactions.records",
    "create_plumed_force": "kernel.force",
    "find_kernel": "kernel.library",
    "reaction": "reactions.records",
    "run_metad": "metadynamics.run",
}

__all__ = [
    "REACTIONS",
    "PlumedForce",
    "Reaction",
    "create_plumed_force",
    "find_kernel",
    "reaction",
    "run_metad",
]


def __getattr__(name: str) -> Any:
    """Imported when used, as in ffpt_core: numpy, OpenMM and torch take their time."""
    if name in _HOMES:
        return getattr(importlib.import_module(f"ffpt_plumed.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'ffpt_plumed' has no attribute {name!r}")
