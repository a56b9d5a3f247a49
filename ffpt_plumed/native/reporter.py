"""What happens between steps, among the reporters of an OpenMM Simulation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from openmm import Context
    from openmm.app import Simulation


class Updates(Protocol):
    """What a NativeReporter runs: a NativeBias."""

    def update(self, context: Context) -> None:
        """Do what is due at the step of a Context."""

    def next_step(self, step: int) -> int:
        """The first step after this one at which something is due."""


class NativeReporter:
    """Runs a NativeBias in a Simulation.

    Args:
        bias: to run.
    """

    def __init__(self, bias: Updates) -> None:
        self.bias = bias

    def describeNextReport(self, simulation: Simulation) -> dict[str, Any]:
        """When OpenMM shall call report; the first step of a run is done here."""
        self.bias.update(simulation.context)
        step = simulation.context.getStepCount()
        return {"steps": self.bias.next_step(step) - step, "periodic": None, "include": []}

    def report(self, simulation: Simulation, state: Any) -> None:
        """Do what is due."""
        self.bias.update(simulation.context)
