"""What potentials and trajectories are worth: stability, structure, thermodynamics, diffusion and scans.

Each analysis returns a dataclass with ``to_dict()`` (what goes into a JSON file) and has a function
``plot_...`` that draws it into a matplotlib Figure. Those of liquids take mdtraj trajectories. Importing this
package loads neither matplotlib, scipy nor mdtraj: the simulation engines use its stability criterion while they run.
"""

from __future__ import annotations

from ffpt_core.analysis.criterion import Criterion, Failure, StabilityCriterion
from ffpt_core.analysis.liquid_stability import LiquidFailures, liquid_failures
from ffpt_core.analysis.rdf import RadialDistribution, radial_distributions, rdf_error
from ffpt_core.analysis.self_diffusion import Diffusion, diffusion, yeh_hummer
from ffpt_core.analysis.sliding_rdf import RdfDrift, drift_reference, rdf_drift
from ffpt_core.analysis.water import WaterGeometry, water_geometry

__all__ = [
    "Criterion",
    "Diffusion",
    "Failure",
    "LiquidFailures",
    "RadialDistribution",
    "RdfDrift",
    "StabilityCriterion",
    "WaterGeometry",
    "diffusion",
    "drift_reference",
    "liquid_failures",
    "radial_distributions",
    "rdf_drift",
    "rdf_error",
    "water_geometry",
    "yeh_hummer",
]
