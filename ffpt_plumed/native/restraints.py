"""Biases that are plain functions of their arguments: RESTRAINT and walls."""

from __future__ import annotations

from ffpt_plumed.native.keywords import Keywords
from ffpt_plumed.native.lepton import nearest
from ffpt_plumed.native.translation import Translation
from ffpt_plumed.native.values import Value


def read_restraint(keywords: Keywords, translation: Translation) -> None:
    """RESTRAINT: sum_i KAPPA_i/2 (x_i - AT_i)^2 + SLOPE_i (x_i - AT_i)."""
    arguments, count = _arguments(keywords, translation)
    centres = keywords.numbers("AT", count)
    kappas = keywords.numbers("KAPPA", count, 0.0)
    slopes = keywords.numbers("SLOPE", count, 0.0)
    energies, squares = [], []
    for argument, at, kappa, slope in zip(arguments, centres, kappas, slopes, strict=True):
        difference = _difference(argument, at)
        energies.append(f"(0.5*({kappa!r})*{difference}+({slope!r}))*{difference}")
        squares.append(f"(({kappa!r})*{difference}+({slope!r}))^2")
    translation.add_bias(keywords.action.label, "+".join(energies), "+".join(squares))


def read_walls(keywords: Keywords, translation: Translation) -> None:
    """UPPER_WALLS and LOWER_WALLS: sum_i KAPPA_i d_i^EXP_i of what lies beyond the wall.

    d_i = (x_i - AT_i + OFFSET_i) / EPS_i for an upper wall, and (AT_i + OFFSET_i - x_i) / EPS_i for a lower one.
    """
    arguments, count = _arguments(keywords, translation)
    sign = 1.0 if keywords.action.name == "UPPER_WALLS" else -1.0
    rows = zip(
        arguments,
        keywords.numbers("AT", count),
        keywords.numbers("KAPPA", count),
        keywords.numbers("EXP", count, 2.0),
        keywords.numbers("EPS", count, 1.0),
        keywords.numbers("OFFSET", count, 0.0),
        strict=True,
    )
    energies, squares = [], []
    for argument, at, kappa, exponent, epsilon, offset in rows:
        if epsilon <= 0:
            raise keywords.error(f"EPS={epsilon} must be above 0", "EPS")
        beyond = f"(({sign!r})*{_difference(argument, at)}+({offset!r}))/{epsilon!r}"
        power = str(round(exponent)) if exponent == round(exponent) else repr(exponent)
        energies.append(f"select(step({beyond}), ({kappa!r})*({beyond})^({power}), 0)")
        slope = f"({kappa * exponent / epsilon!r})*({beyond})^({power}-1)"
        squares.append(f"select(step({beyond}), ({slope})^2, 0)")
    translation.add_bias(keywords.action.label, "+".join(energies), "+".join(squares))


def _arguments(keywords: Keywords, translation: Translation) -> tuple[list[Value], int]:
    arguments = translation.arguments(keywords)
    if keywords.positive("STRIDE", 1) != 1:
        raise keywords.error("STRIDE must be 1: OpenMM forces act at every step", "STRIDE")
    return arguments, len(arguments)


def _difference(argument: Value, at: float) -> str:
    difference = f"({argument.variable}-({at!r}))"
    return difference if argument.period is None else nearest(difference, argument.period)
