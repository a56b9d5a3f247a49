"""PLUMED's hills: Gaussians that are cut off, and stretched to end at zero (src/tools/KernelFunctions.cpp).

With d half the squared distance in widths, a hill is STRETCH (exp(-d) - exp(-CUTOFF)) high up to CUTOFF and zero
beyond: one at its centre.
"""

from __future__ import annotations

import math

CUTOFF = 6.25
"""Half the squared distance in widths at which a hill ends (PLUMED's dp2cutoff)."""

STRETCH = 1.0 / (1.0 - math.exp(-CUTOFF))
