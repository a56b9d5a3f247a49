"""PLUMED inputs of the reactions, for people to read and edit."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from ffpt_core.base.units import NANOMETRE
from ffpt_plumed.reactions.records import Reaction
from ffpt_plumed.reactions.variables import SLOPE, CoordinationNumber

_REACH = 3.6
"""Widths of a hill beyond which it is zero (PLUMED: sqrt(2 x 6.25) = 3.54): as far as grids reach beyond variables."""


@dataclass(frozen=True)
class MetadynamicsSettings:
    """Well-tempered metadynamics (Barducci, Bussi, Parrinello, Phys. Rev. Lett. 100, 020603, 2008).

    The width is that of Yuan and Head-Gordon (arXiv 2509.14205), who give neither bias factor nor walls. Their hills of
    5 kJ/mol every 100 steps of 0.2 fs put 250 kJ/mol/ps into the system, of which a friction of 0.2/ps takes out its
    share only at some 10,000 K: that is what we measured with HO2 (300 K wanted). A twelfth of that power, and
    friction of 10/ps, keep it within 50 K (docs/combustion.md).

    Args:
        height: of the first hill, kJ/mol.
        sigma: width of the hills in every variable.
        pace: steps between hills.
        bias_factor: (T + delta T) / T.
        temperature: K.
        wall: nm, where the walls on the distances between atoms that are bonded on either side of the reaction begin.
        wall_constant: kJ/mol/nm^2 of these walls.
        stride: steps between rows of COLVAR.
    """

    height: float = 1.0
    sigma: float = 0.05
    pace: int = 250
    bias_factor: float = 50.0
    temperature: float = 300.0
    wall: float = 0.35
    wall_constant: float = 50_000.0
    stride: int = 10


def plumed_input(reaction: Reaction, settings: MetadynamicsSettings | None = None) -> str:
    """The PLUMED input of a reaction's metadynamics, in PLUMED's own units (nm, kJ/mol, ps).

    Distances of the pairs that are bonded on either side of the reaction have walls: coordination numbers are flat at
    long range, where nothing but a wall brings fragments back.
    """
    settings = settings or MetadynamicsSettings()
    pairs = sorted(set(reaction.bonded_pairs).union(*(variable.pairs for variable in reaction.variables)))
    names = [f"cv{number}" for number in range(1, len(reaction.variables) + 1)]
    walls = [_distance(pair) for pair in reaction.bonded_pairs]
    lines = [
        f"# Reaction {reaction.number}: {reaction.equation} (2S+1 = {reaction.multiplicity})",
        f"# Atoms: {', '.join(f'{number} {symbol}' for number, symbol in enumerate(reaction.symbols, 1))}",
        "# Units: nm, kJ/mol, ps",
        "",
        *(f"{_distance(pair)}: DISTANCE ATOMS={pair[0] + 1},{pair[1] + 1} NOPBC" for pair in pairs),
        "",
        "# Coordination numbers: 1 for each pair at the distance in the brackets",
        *(_coordination(name, variable) for name, variable in zip(names, reaction.variables, strict=True)),
        "",
        "# Separated atoms come back from here: the coordination numbers are flat beyond",
        f"walls: UPPER_WALLS ARG={','.join(walls)} AT={_repeat(settings.wall, walls)} "
        f"KAPPA={_repeat(settings.wall_constant, walls)}",
        "",
        "metad: METAD ...",
        f"  ARG={','.join(names)} SIGMA={_repeat(settings.sigma, names)} HEIGHT={settings.height:g}",
        f"  PACE={settings.pace} BIASFACTOR={settings.bias_factor:g} TEMP={settings.temperature:g}",
        f"  {_grid(reaction.variables, settings.sigma)}",
        "  FILE=HILLS",
        "...",
        "",
        f"PRINT ARG={','.join([*names, *map(_distance, pairs), 'metad.bias', 'walls.bias'])} "
        f"STRIDE={settings.stride} FILE=COLVAR",
    ]
    return "\n".join(lines) + "\n"


def _distance(pair: tuple[int, int]) -> str:
    return f"d{pair[0] + 1}{pair[1] + 1}"


def _repeat(value: float, names: list[str]) -> str:
    return ",".join([f"{value:g}"] * len(names))


def _coordination(name: str, variable: CoordinationNumber) -> str:
    letters = "xyzuvw"[: len(variable.pairs)]
    slope, mu = SLOPE * NANOMETRE, variable.mu / NANOMETRE  # PLUMED's lengths are nm
    terms = "+".join(f"2/(1+exp({slope:g}*({letter}-{mu:g})))" for letter in letters)
    distances = ",".join(_distance(pair) for pair in variable.pairs)
    return f"{name}: CUSTOM ARG={distances} VAR={','.join(letters)} FUNC={terms} PERIODIC=NO"


def _grid(variables: tuple[CoordinationNumber, ...], sigma: float) -> str:
    """Bounds that no value can leave, five points in the width of a hill."""
    margin = np.ceil(10 * _REACH * sigma) / 10
    upper = [np.ceil(10 * (variable.largest + margin)) / 10 for variable in variables]
    bins = [round(5 * (bound + margin) / sigma) for bound in upper]
    parts = {"GRID_MIN": itertools.repeat(-margin, len(upper)), "GRID_MAX": upper, "GRID_BIN": bins}
    return " ".join(f"{key}={','.join(f'{value:g}' for value in values)}" for key, values in parts.items())
