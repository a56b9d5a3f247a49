"""ffpt_openmm: potentials of ffpt as OpenMM forces, and molecular dynamics with them.

    system = create_system(potential, topology)
    force = create_force(potential, topology, backend="auto")

Units are OpenMM's: nm, kJ/mol, ps; the settings of a run say theirs.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ffpt_openmm.forces.create import create_force, create_system, replicate
    from ffpt_openmm.forces.system_potential import SystemPotential
    from ffpt_openmm.forces.systems import topology_of
    from ffpt_openmm.md.guard import StabilityReporter, UnphysicalFrameError
    from ffpt_openmm.md.run import MDResult, run_md
    from ffpt_openmm.md.settings import MDSettings

_HOMES = {
    "MDResult": "md.run",
    "MDSettings": "md.settings",
    "StabilityReporter": "md.guard",
    "SystemPotential": "forces.system_potential",
    "UnphysicalFrameError": "md.guard",
    "create_force": "forces.create",
    "create_system": "forces.create",
    "replicate": "forces.create",
    "run_md": "md.run",
    "topology_of": "forces.systems",
}

__all__ = [
    "MDResult",
    "MDSettings",
    "StabilityReporter",
    "SystemPotential",
    "UnphysicalFrameError",
    "create_force",
    "create_system",
    "replicate",
    "run_md",
    "topology_of",
]


def __getattr__(name: str) -> Any:
    """Imported when used, as in ffpt_core: torch and OpenMM take seconds."""
    if name in _HOMES:
        return getattr(importlib.import_module(f"ffpt_openmm.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'ffpt_openmm' has no attribute {name!r}")
