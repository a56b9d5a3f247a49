"""A NativeBias among the reporters of an OpenMM Simulation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from openmm.app import Simulation

    from ffpt_plumed.native.bias import NativeBias


class NativeReporter:
    """Runs a NativeBias in a Simulation.

    Args:
        bias: to run.
    """

    def __init__(self, bias: NativeBias) -> None:
        self.bias = bias

    def describeNextReport(self, simulation: Simulation) -> dict[str, Any]:
        """When OpenMM shall call report; the first step of a run is done here."""
        self.bias.update(simulation.context)
        step = simulation.context.getStepCount()
        return {"steps": self.bias.next_step(step) - step, "periodic": None, "include": []}

    def report(self, simulation: Simulation, state: Any) -> None:
        """Do what is due."""
        self.bias.update(simulation.context)
