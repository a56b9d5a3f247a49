"""Expressions of PLUMED inputs in the dialect of OpenMM: the language is Lepton's in both."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping

from ffpt_core.base.errors import FfptError
from ffpt_plumed.text.numbers import Period

CONSTANTS: dict[str, float] = {
    "e": math.e,
    "log2e": 1.0 / math.log(2.0),
    "log10e": 1.0 / math.log(10.0),
    "ln2": math.log(2.0),
    "ln10": math.log(10.0),
    "pi": math.pi,
    "pi_2": math.pi / 2,
    "pi_4": math.pi / 4,
    "sqrt2": math.sqrt(2.0),
    "sqrt1_2": math.sqrt(0.5),
}
"""Names that PLUMED's Lepton knows as numbers."""

FUNCTIONS = frozenset(
    (
        *("sqrt", "exp", "log", "square", "cube", "recip", "abs", "min", "max", "floor", "ceil", "step", "delta"),
        *("sin", "cos", "tan", "sec", "csc", "cot", "asin", "acos", "atan", "atan2", "sinh", "cosh", "tanh"),
        *("erf", "erfc", "select"),
    )
)
"""Those that PLUMED's Lepton and OpenMM's share."""

_TOKEN = re.compile(r"(?<![\w.])(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[A-Za-z_]\w*|[-+*/^(),\s]")


def nearest(difference: str, period: Period) -> str:
    """Expression of the shortest of the differences that are equal in a periodic domain."""
    length = repr(period.length)
    return f"(({difference})-{length}*floor(({difference})/{length}+0.5))"


def wrapped(expression: str, period: Period) -> str:
    """Expression of a value, brought into a periodic domain."""
    low, length = repr(period.low), repr(period.length)
    return f"(({expression})-{length}*floor((({expression})-({low}))/{length}))"


def rename(expression: str, names: Mapping[str, str], keyword: str) -> str:
    """A user's expression with its variables replaced, and constants as numbers.

    Args:
        expression: of the input.
        names: variables that it may hold, to what stands for them.
        keyword: where it stands, for errors.

    Raises:
        FfptError: a variable, a function or a character that is not known.
    """
    parts, position = [], 0
    while position < len(expression):
        match = _TOKEN.match(expression, position)
        if match is None:
            raise FfptError(f"{keyword}={expression}: '{expression[position]}' is not understood")
        token, position = match[0], match.end()
        parts.append(_renamed(token, expression[position:].lstrip().startswith("("), names, expression, keyword))
    return "".join(parts)


def _renamed(token: str, called: bool, names: Mapping[str, str], expression: str, keyword: str) -> str:
    if not (token[0].isalpha() or token[0] == "_"):
        return token
    if called:
        if token not in FUNCTIONS:
            raise FfptError(f"{keyword}={expression}: there is no function {token}")
        return token
    if token in names:
        return names[token]
    if token in CONSTANTS:
        return repr(CONSTANTS[token])
    raise FfptError(f"{keyword}={expression}: variable {token} is not defined")


def check(expression: str, names: Iterable[str], keyword: str) -> None:
    """Refuse an expression that OpenMM cannot read, which it would find only when a Context is made.

    Raises:
        FfptError: as rename, or for the syntax.
    """
    import openmm

    variables = {name: f"v{k}" for k, name in enumerate(names)}
    force = openmm.CustomExternalForce(rename(expression, variables, keyword))
    for variable in variables.values():
        force.addGlobalParameter(variable, 1.0)
    system = openmm.System()
    system.addParticle(1.0)
    system.addForce(force)
    try:
        openmm.Context(system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatform("Reference"))
    except openmm.OpenMMException as error:
        raise FfptError(f"{keyword}={expression}: {error}") from error
