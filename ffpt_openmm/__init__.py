"""ffpt_openmm: potentials of ffpt as OpenMM forces, and molecular dynamics with them.

    system = create_system(potential, topology)
    force = create_force(potential, topology, backend="auto")

Units are OpenMM's: nm, kJ/mol, ps; the settings of a run say theirs.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ffpt_openmm.force import create_force, create_system, replicate
    from ffpt_openmm.guard import StabilityReporter, UnphysicalFrameError
    from ffpt_openmm.settings import MDSettings
    from ffpt_openmm.simulation import MDResult, run_md

_HOMES = {
    "MDResult": "simulation",
    "MDSettings": "settings",
    "StabilityReporter": "guard",
    "UnphysicalFrameError": "guard",
    "create_force": "force",
    "create_system": "force",
    "replicate": "force",
    "run_md": "simulation",
}

__all__ = [
    "MDResult",
    "MDSettings",
    "StabilityReporter",
    "UnphysicalFrameError",
    "create_force",
    "create_system",
    "replicate",
    "run_md",
]


def __getattr__(name: str) -> Any:
    """Imported when used, as in ffpt_core: torch and OpenMM take seconds."""
    if name in _HOMES:
        return getattr(importlib.import_module(f"ffpt_openmm.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'ffpt_openmm' has no attribute {name!r}")
