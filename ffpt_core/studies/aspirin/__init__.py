"""The whole method on aspirin, from a molecule to stable MD, in ten minutes on two cores."""

from __future__ import annotations

from ffpt_core.studies.aspirin.settings import QUICK, Settings
from ffpt_core.studies.aspirin.study import steps

__all__ = ["QUICK", "Settings", "steps"]
