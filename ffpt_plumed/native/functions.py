"""Functions of values: COMBINE and CUSTOM."""

from __future__ import annotations

from ffpt_core.base.errors import FfptError
from ffpt_plumed.native.keywords import Keywords
from ffpt_plumed.native.lepton import check, nearest, rename
from ffpt_plumed.native.translation import Translation
from ffpt_plumed.text.numbers import Period


def read_combine(keywords: Keywords, translation: Translation) -> None:
    """COMBINE: sum_i COEFFICIENTS_i (ARG_i - PARAMETERS_i)^POWERS_i."""
    arguments = translation.arguments(keywords)
    count = len(arguments)
    coefficients = keywords.numbers("COEFFICIENTS", count, 1.0)
    parameters = keywords.numbers("PARAMETERS", count, 0.0)
    powers = keywords.numbers("POWERS", count, 1.0)
    if keywords.flag("NORMALIZE"):
        total = sum(coefficients)
        if total == 0:
            raise keywords.error("NORMALIZE of COEFFICIENTS that sum to 0", "NORMALIZE")
        coefficients = [coefficient / total for coefficient in coefficients]
    terms = []
    for argument, coefficient, parameter, power in zip(arguments, coefficients, parameters, powers, strict=True):
        difference = f"({argument.variable}-({parameter!r}))"
        if argument.period is not None:
            difference = nearest(difference, argument.period)
        terms.append(f"({coefficient!r})*{difference}" + ("" if power == 1 else f"^({_power(power)})"))
    translation.add_function(keywords.action.label, "+".join(terms), read_period(keywords))


def read_custom(keywords: Keywords, translation: Translation) -> None:
    """CUSTOM (MATHEVAL): FUNC of the arguments, which are x, y, z or named by VAR."""
    arguments = translation.arguments(keywords)
    names = keywords.words("VAR") or ["x", "y", "z"][: len(arguments)]
    if len(names) != len(arguments):
        raise keywords.error(f"{len(arguments)} arguments need as many names in VAR, not {len(names)}", "VAR")
    variables = {name: str(value.variable) for name, value in zip(names, arguments, strict=True)}
    function = keywords.text("FUNC")
    try:
        check(function, variables, "FUNC")
    except FfptError as error:
        raise keywords.error(str(error), "FUNC") from error
    translation.add_function(keywords.action.label, rename(function, variables, "FUNC"), read_period(keywords))


def read_period(keywords: Keywords) -> Period | None:
    """PERIODIC=NO or PERIODIC=low,high, which PLUMED demands."""
    words = keywords.words("PERIODIC")
    if words == ["NO"]:
        return None
    if len(words) != 2:
        raise keywords.error("PERIODIC must be NO, or two numbers", "PERIODIC")
    try:
        period = Period(*words)
    except FfptError as error:
        raise keywords.error(f"PERIODIC: {error}", "PERIODIC") from error
    if period.length <= 0:
        raise keywords.error(f"PERIODIC={','.join(words)} is not a range", "PERIODIC")
    return period


def _power(power: float) -> str:
    """Whole numbers as such: Lepton then multiplies, and negative values have powers."""
    return str(round(power)) if power == round(power) else repr(power)
