"""ffpt_openmm: potentials of ffpt as OpenMM forces, and molecular dynamics with them.

    system = create_system(potential, topology)
    force = create_force(potential, topology, backend="auto")

Units are OpenMM's: nm, kJ/mol, ps; the settings of a run say theirs.
"""

from __future__ import annotations

from ffpt_openmm.force import create_force, create_system
from ffpt_openmm.guard import StabilityReporter, UnphysicalFrameError
from ffpt_openmm.settings import MDSettings
from ffpt_openmm.simulation import MDResult, run_md

__all__ = [
    "MDResult",
    "MDSettings",
    "StabilityReporter",
    "UnphysicalFrameError",
    "create_force",
    "create_system",
    "run_md",
]
