"""What a PLUMED input computes: values as expressions of collective variables, and what is done with them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ffpt_plumed.native.keywords import KERNEL_HINT, Keywords, number
from ffpt_plumed.text.script import Action

if TYPE_CHECKING:
    from openmm import Force

    from ffpt_plumed.native.metad import MetadSettings
    from ffpt_plumed.native.output import PrintSettings

KB = 0.0083144621
"""Boltzmann's constant in kJ/mol/K, with PLUMED's digits."""

_VARIABLE = re.compile(r"\b[cv]\d+\b")


@dataclass(frozen=True)
class Period:
    """The domain of a periodic value, as PLUMED writes it and as numbers in its unit."""

    low_text: str
    high_text: str

    @property
    def low(self) -> float:
        """Lower end."""
        return number(self.low_text)

    @property
    def length(self) -> float:
        """Upper end minus lower end."""
        return number(self.high_text) - self.low

    def nearest(self, difference: str) -> str:
        """Lepton expression of the shortest of the differences that are equal in this domain."""
        length = repr(self.length)
        return f"(({difference})-{length}*floor(({difference})/{length}+0.5))"

    def wrapped(self, expression: str) -> str:
        """Lepton expression of a value, brought into the domain."""
        low, length = repr(self.low), repr(self.length)
        return f"(({expression})-{length}*floor((({expression})-({low}))/{length}))"


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
        variable: its name in expressions; None: it comes from METAD and can only be printed.
        period: of a periodic value.
    """

    name: str
    variable: str | None
    period: Period | None = None


@dataclass(frozen=True)
class Units:
    """Of the input: nm, kJ/mol and ps in one of its units each. Defaults are PLUMED's own."""

    length: float = 1.0
    energy: float = 1.0
    time: float = 1.0


@dataclass
class Program:
    """The values, biases and outputs of an input, collected action by action.

    Args:
        n_atoms: of the system.
        periodic: whether the system has a box.
        temperature: K, of METAD without TEMP; None: it must have TEMP.
    """

    n_atoms: int
    periodic: bool = False
    temperature: float | None = None
    units: Units = field(default_factory=Units)
    restart: bool = False
    groups: dict[str, list[int]] = field(default_factory=dict)
    colvars: dict[str, Colvar] = field(default_factory=dict)
    definitions: dict[str, str] = field(default_factory=dict)
    values: dict[str, Value] = field(default_factory=dict)
    biases: list[str] = field(default_factory=list)
    metads: list[MetadSettings] = field(default_factory=list)
    prints: list[PrintSettings] = field(default_factory=list)

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
        self.definitions[variable] = expression if period is None else period.wrapped(expression)
        self.values[name] = Value(name, variable, period)
        return variable

    def add_bias(self, label: str, energy: str, squared_force: str) -> None:
        """Add an energy in the input's unit that acts on the system, with its components."""
        self.biases.append(self.add_function(f"{label}.bias", energy))
        self.add_function(f"{label}.force2", squared_force)

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
        parts = [f"{name}={text}" for name, text in reversed(self.definitions.items()) if name in needed]
        return "; ".join([main, *parts]), [colvar for name, colvar in self.colvars.items() if name in needed]

    def thermal_energy(self, keywords: Keywords) -> float | None:
        """k_B T in the input's unit, of TEMP or of the simulation."""
        kelvin = keywords.number("TEMP") if keywords.has("TEMP") else self.temperature
        return None if kelvin is None else KB * kelvin / self.units.energy


def _matches(word: str, name: str) -> bool:
    """Whether an ARG word means this value."""
    label, dot, component = word.partition(".")
    if not dot:
        return word in ("*", name)
    own_label, own_dot, own_component = name.partition(".")
    if label == component == "*":
        return True
    return bool(own_dot) and label in ("*", own_label) and component in ("*", own_component)


_UNITS: dict[str, dict[str, float]] = {
    "LENGTH": {"nm": 1.0, "A": 0.1, "um": 1000.0, "Bohr": 0.052917721067},
    "ENERGY": {"kj/mol": 1.0, "kcal/mol": 4.184, "j/mol": 0.001, "eV": 96.48530749925792, "Ha": 2625.499638},
    "TIME": {"ps": 1.0, "fs": 0.001, "ns": 1000.0, "atomic": 2.418884326509e-5},
}
"""PLUMED's names and factors."""


def read_units(keywords: Keywords, program: Program) -> None:
    """The UNITS action, which must come before everything that has a unit."""
    if program.values or program.groups:
        raise keywords.error("UNITS must be the first action")
    factors = {}
    for key, names in _UNITS.items():
        word = keywords.text(key, next(iter(names)))
        try:
            factors[key.lower()] = names[word] if word in names else number(word)
        except ValueError:
            raise keywords.error(f"{key}={word} is not known; known: a number, {', '.join(names)}", key) from None
        if not (factors[key.lower()] > 0 and math.isfinite(factors[key.lower()])):
            raise keywords.error(f"{key}={word} must be above 0", key)
    for key in ("MASS", "CHARGE"):  # no action here has such a quantity
        keywords.words(key)
    program.units = Units(**factors)


def read_group(keywords: Keywords, program: Program) -> None:
    """The GROUP action: a list of atoms with a name."""
    program.groups[keywords.action.label] = keywords.atoms("ATOMS")


def read_restart(keywords: Keywords, program: Program) -> None:
    """The RESTART action, for all that follow."""
    program.restart = not keywords.flag("NO")


def read_flush(keywords: Keywords, program: Program) -> None:
    """The FLUSH action: files are flushed after every line anyway."""
    keywords.positive("STRIDE")


def compile_script(
    actions: Iterable[Action],
    n_atoms: int,
    periodic: bool = False,
    temperature: float | None = None,
    restart: bool = False,
) -> Program:
    """What a list of actions computes. Arguments as Program.

    Raises:
        FfptError: an action, keyword or value that is not known or wrong, with its line.
    """
    from ffpt_plumed.native import colvars, functions, metad, output, restraints

    readers: dict[str, Callable[[Keywords, Program], None]] = {
        "UNITS": read_units,
        "GROUP": read_group,
        "RESTART": read_restart,
        "FLUSH": read_flush,
        **colvars.READERS,
        **functions.READERS,
        **restraints.READERS,
        **metad.READERS,
        **output.READERS,
    }
    program = Program(n_atoms, periodic, temperature, restart=restart)
    for action in actions:
        keywords = Keywords(action, program.groups, n_atoms)
        if action.name not in readers:
            raise keywords.error(f"native PLUMED does not know this action; {KERNEL_HINT}")
        readers[action.name](keywords, program)
        keywords.finish()
    return program
