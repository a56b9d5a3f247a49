"""How long trajectories stay physical."""

from __future__ import annotations

from ffpt_core.analysis.criterion import Failure, StabilityCriterion

__all__ = ["Failure", "StabilityCriterion"]
