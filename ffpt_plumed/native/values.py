"""What a translated input consists of: values that actions hand on, and the collective variables behind them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ffpt_plumed.text.numbers import Period

if TYPE_CHECKING:
    from openmm import Force

ANGLE_PERIOD = Period("-pi", "pi")
"""The domain of a torsion."""


@dataclass(frozen=True)
class Colvar:
    """A collective variable that an OpenMM force computes as its energy.

    Attributes:
        variable: its name in expressions.
        atoms: that it depends on, 0-based.
        build: makes the force. Takes the index of each atom in the system that the force is for.
        periodic: whether it depends on the box.
    """

    variable: str
    atoms: tuple[int, ...]
    build: Callable[[Mapping[int, int]], Force]
    periodic: bool = False


@dataclass(frozen=True)
class Value:
    """A number that other actions may ask for.

    Attributes:
        name: ``label`` or ``label.component``.
        variable: its name in expressions; None: it comes from an action with a state and can only be printed.
        period: of a periodic value.
    """

    name: str
    variable: str | None
    period: Period | None = None
