"""Constants of PLUMED 2.9 with its own digits: with others, native inputs would agree with it to seven digits only."""

from __future__ import annotations

from dataclasses import dataclass

KB = 0.0083144621
"""Boltzmann's constant in kJ/mol/K."""

NAMED: dict[str, dict[str, float]] = {
    "LENGTH": {"nm": 1.0, "A": 0.1, "um": 1000.0, "Bohr": 0.052917721067},
    "ENERGY": {"kj/mol": 1.0, "kcal/mol": 4.184, "j/mol": 0.001, "eV": 96.48530749925792, "Ha": 2625.499638},
    "TIME": {"ps": 1.0, "fs": 0.001, "ns": 1000.0, "atomic": 2.418884326509e-5},
}
"""What UNITS calls them, in nm, kJ/mol and ps."""


@dataclass(frozen=True)
class Units:
    """Of an input, in nm, kJ/mol and ps. Defaults are PLUMED's own."""

    length: float = 1.0
    energy: float = 1.0
    time: float = 1.0
