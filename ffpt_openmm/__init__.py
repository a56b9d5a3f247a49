"""ffpt_openmm: potentials of ffpt as OpenMM forces, and molecular dynamics with them.

    system = create_system(potential, topology)
    force = create_force(potential, topology, backend="auto")

Units are OpenMM's: nm, kJ/mol, ps; the settings of a run say theirs.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ffpt_openmm.force import create_force, create_system

__all__ = ["create_force", "create_system"]


def __getattr__(name: str) -> Any:
    """Imported when used, as in ffpt_core: torch and OpenMM take seconds."""
    if name in __all__:
        return getattr(importlib.import_module("ffpt_openmm.force"), name)
    raise AttributeError(f"module 'ffpt_openmm' has no attribute {name!r}")
