"""What potentials and trajectories are worth: stability, structure, thermodynamics and scans.

Each analysis returns a dataclass with ``to_dict()`` (what goes into a JSON file) and has a function
``plot_...`` that draws it into a matplotlib Figure. Importing this package loads neither matplotlib,
scipy nor mdtraj: the simulation engines use its stability criterion while they run.
"""

from __future__ import annotations

from ffpt_core.analysis.criterion import Failure, StabilityCriterion

__all__ = ["Failure", "StabilityCriterion"]
