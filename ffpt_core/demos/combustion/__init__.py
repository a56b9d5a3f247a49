"""A reaction by metadynamics, HO2 to H + O2, from a force field of its species, in fifteen minutes on two cores."""

from __future__ import annotations

from ffpt_core.demos.combustion.settings import QUICK, Settings
from ffpt_core.demos.combustion.study import run

__all__ = ["QUICK", "Settings", "run"]
