"""The structures of the rows, and ffpt's backends on them."""

from __future__ import annotations

import functools

from ase import Atoms

from benchmarks import systems
from benchmarks.engines import Engine, find_engines
from benchmarks.rows.plan import Plan
from benchmarks.systems import motion


def structure_of(system: str, plan: Plan) -> Atoms:
    """One aspirin, one HO2 (ho2) or the periodic box of water."""
    if system == "water":
        return systems.water(plan.waters)
    return {"aspirin": systems.aspirin, "ho2": systems.hydroperoxyl}[system]()


@functools.cache
def engines_of(system: str, plan: Plan) -> tuple[list[Engine], dict[str, str]]:
    """The backends on one of the systems, made once for the rows that share them."""
    frames = motion(structure_of(system, plan))
    return find_engines(systems.random_potential(plan.device), frames)
