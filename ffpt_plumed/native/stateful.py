"""Actions that have a state: they do something between steps, and go on where a run was stopped."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from ffpt_plumed.native.values import Value

if TYPE_CHECKING:
    from openmm import CustomCVForce

Array = NDArray[np.float64]


@dataclass
class Moment:
    """A step at which actions act.

    Args:
        step: of the dynamics.
        timestep: in the input's unit.
        values: of that step, by name, in the units of the input. An action replaces those that it changes.
    """

    step: int
    timestep: float
    values: dict[str, float]

    @property
    def time(self) -> float:
        """In the input's unit."""
        return self.step * self.timestep


class StatefulAction(ABC):
    """Something that happens every so many steps of a run.

    The order of calls: ``resume`` once, before there are forces; at the first step of a run ``begin`` and ``open``; at
    its steps ``act`` and then ``save``; ``close`` at the end.

    Args:
        label: of the action.
        arguments: the values that it needs.
        stride: steps between its acts.
    """

    def __init__(self, label: str, arguments: tuple[Value, ...], stride: int) -> None:
        self.label, self.arguments, self.stride = label, arguments, stride

    def components(self, values: dict[str, float]) -> dict[str, float]:
        """Values of its own, by name, at those of its arguments (and of all others): none."""
        return {}

    def resume(self) -> None:  # noqa: B027 (most actions have nothing to take up)
        """Take up the state that an earlier run has left in its files, where the input asks for a restart.

        Raises:
            FfptError: a file is missing, or of another kind.
        """

    @abstractmethod
    def begin(self, step: int, timestep: float) -> bool:
        """Bring state and files to the step that a run begins at, and say whether the act of this step is still due.

        Raises:
            FfptError: the files do not reach as far.
        """

    @abstractmethod
    def open(self) -> None:
        """Open its files for writing, after all actions have begun.

        Raises:
            FfptError: a file cannot be written.
        """

    def act(self, moment: Moment) -> None:  # noqa: B027 (PRINT only saves)
        """Change the state at one of its steps; values that change with it are put into the moment.

        Raises:
            FfptError: values that it cannot take.
        """

    @abstractmethod
    def save(self, moment: Moment) -> None:
        """Write what happened, after all actions have acted; those that come later in the input are the first to do so.

        So a run that is killed in between finds what was printed, and deposits again.

        Raises:
            FfptError: the disk is full.
        """

    @abstractmethod
    def close(self) -> None:
        """Close its files."""


class Term(Protocol):
    """A bias as an expression that OpenMM evaluates, with tables that change between steps."""

    def expression(self) -> tuple[str, list[str]]:
        """Lepton text in the input's unit of energy, and the definitions that follow it."""

    def add_tables(self, force: CustomCVForce) -> None:
        """Add the tables to a force that holds the expression."""

    def update(self, force: CustomCVForce) -> None:
        """Write the bias of now into the tables; the caller updates the Context."""


class StatefulBias(StatefulAction):
    """A bias that changes at its acts: a function of its arguments, in the units of the input."""

    @abstractmethod
    def evaluate(self, point: Array) -> tuple[float, Array]:
        """The bias at (n_arguments,) values, and its (n_arguments,) derivatives.

        Raises:
            FfptError: it is not defined there.
        """

    def term(self, prefix: str) -> Term | None:
        """The bias for OpenMM to evaluate; None: evaluate is called at every step.

        Args:
            prefix: of all names that it gives, for they are to be its own.
        """
        return None

    def components(self, values: dict[str, float]) -> dict[str, float]:
        """Its energy: label.bias."""
        point = np.array([values[argument.name] for argument in self.arguments])
        return {f"{self.label}.bias": self.evaluate(point)[0]}
