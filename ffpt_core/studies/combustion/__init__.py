"""A reaction by metadynamics, HO2 to H + O2, from a force field of its species, in six minutes on two cores."""

from __future__ import annotations

from ffpt_core.studies.combustion.settings import QUICK, Settings
from ffpt_core.studies.combustion.study import steps

__all__ = ["QUICK", "Settings", "steps"]
