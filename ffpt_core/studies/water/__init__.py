"""The method on liquid water: one molecule as the teacher, everything between molecules from few frames of a box."""

from __future__ import annotations

from ffpt_core.studies.water.settings import QUICK, Settings
from ffpt_core.studies.water.study import steps

__all__ = ["QUICK", "Settings", "steps"]
