"""A PLUMED input translated: values as expressions of collective variables, and what is done with them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ffpt_plumed.native.keywords import KERNEL_HINT, Keywords
from ffpt_plumed.native.lepton import wrapped
from ffpt_plumed.native.plumed_units import KB, Units
from ffpt_plumed.native.stateful import StatefulAction
from ffpt_plumed.native.values import Colvar, Value
from ffpt_plumed.text.numbers import Period

if TYPE_CHECKING:
    from openmm import Force

_VARIABLE = re.compile(r"\b[cv]\d+\b")


@dataclass
class Translation:
    """The values, biases and outputs of an input, collected action by action.

    Args:
        n_atoms: of the system.
        periodic: whether the system has a box.
        temperature: K, of METAD without TEMP; None: it must have TEMP.
        restart: as if the input began with RESTART.
        folder: that file names are relative to.
    """

    n_atoms: int
    periodic: bool = False
    temperature: float | None = None
    restart: bool = False
    folder: Path = Path()
    units: Units = field(default_factory=Units)
    groups: dict[str, list[int]] = field(default_factory=dict)
    colvars: dict[str, Colvar] = field(default_factory=dict)
    definitions: dict[str, str] = field(default_factory=dict)
    values: dict[str, Value] = field(default_factory=dict)
    biases: list[str] = field(default_factory=list)
    stateful: list[StatefulAction] = field(default_factory=list)

    def add_colvar(
        self,
        name: str,
        atoms: Iterable[int],
        build: Callable[[Mapping[int, int]], Force],
        box: bool,
        period: Period | None = None,
    ) -> None:
        """Add a value that a force computes; build as in Colvar, and box is whether it depends on the box."""
        variable = f"c{len(self.colvars)}"
        self.colvars[variable] = Colvar(variable, tuple(dict.fromkeys(atoms)), build, box)
        self.values[name] = Value(name, variable, period)

    def add_function(self, name: str, expression: str, period: Period | None = None) -> str:
        """Add a value that is a Lepton expression of variables before it; returns its variable."""
        variable = f"v{len(self.definitions)}"
        self.definitions[variable] = expression if period is None else wrapped(expression, period)
        self.values[name] = Value(name, variable, period)
        return variable

    def add_bias(self, label: str, energy: str, squared_force: str) -> None:
        """Add an energy in the input's unit that acts on the system, with its components."""
        self.biases.append(self.add_function(f"{label}.bias", energy))
        self.add_function(f"{label}.force2", squared_force)

    def add_stateful(self, action: StatefulAction, components: Iterable[str] = ()) -> None:
        """Add something that acts between steps, and the names of its components, which can only be printed."""
        self.stateful.append(action)
        for component in components:
            name = f"{action.label}.{component}"
            self.values[name] = Value(name, None)

    def arguments(self, keywords: Keywords) -> list[Value]:
        """The values that ARG names, as something that forces can act on.

        Raises:
            FfptError: no such value, or one that can only be printed.
        """
        values = self.find(keywords)
        for value in values:
            if value.variable is None:
                raise keywords.error(f"{value.name} can only be printed natively; {KERNEL_HINT}", "ARG")
        return values

    def find(self, keywords: Keywords) -> list[Value]:
        """The values that ARG names; ``*``, ``*.*``, ``label.*`` and ``*.component`` are what PLUMED makes of them."""
        found: list[Value] = []
        for word in keywords.words("ARG"):
            if word.startswith("("):
                raise keywords.error(f"regular expressions such as {word} are not known; {KERNEL_HINT}", "ARG")
            matches = [value for name, value in self.values.items() if _matches(word, name)]
            if not matches:
                known = ", ".join(self.values) or "none so far"
                raise keywords.error(f"there is no value {word}; there are: {known}", "ARG")
            found += matches
        if not found:
            raise keywords.error("ARG is missing")
        return found

    def expression(self, main: str) -> tuple[str, list[Colvar]]:
        """A Lepton expression with the definitions that it needs, and the collective variables that it is of."""
        needed: dict[str, None] = dict.fromkeys(_VARIABLE.findall(main))
        # A definition uses only what was defined before it, so one way back finds all.
        for variable in reversed(self.definitions):
            if variable in needed:
                needed.update(dict.fromkeys(_VARIABLE.findall(self.definitions[variable])))
        texts = [f"{name}={text}" for name, text in reversed(self.definitions.items()) if name in needed]
        return "; ".join([main, *texts]), [colvar for name, colvar in self.colvars.items() if name in needed]

    def thermal_energy(self, keywords: Keywords) -> float | None:
        """k_B T in the input's unit, of TEMP or of the simulation."""
        kelvin = keywords.number("TEMP") if keywords.has("TEMP") else self.temperature
        return None if kelvin is None else KB * kelvin / self.units.energy

    def continues(self, keywords: Keywords) -> bool:
        """Whether an action goes on with its file: RESTART=YES, NO or AUTO, which is what RESTART or the caller says.

        Raises:
            FfptError: another word.
        """
        word = keywords.text("RESTART", "AUTO")
        if word not in ("YES", "NO", "AUTO"):
            raise keywords.error("RESTART must be YES, NO or AUTO", "RESTART")
        return self.restart if word == "AUTO" else word == "YES"


def _matches(word: str, name: str) -> bool:
    """Whether an ARG word means this value."""
    label, dot, component = word.partition(".")
    if not dot:
        return word in ("*", name)
    own_label, own_dot, own_component = name.partition(".")
    if label == component == "*":
        return True
    return bool(own_dot) and label in ("*", own_label) and component in ("*", own_component)
