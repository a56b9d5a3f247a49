"""PLUMED's switching functions as Lepton expressions of a distance."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from ffpt_core.base.errors import FfptError
from ffpt_plumed.native.keywords import Keywords
from ffpt_plumed.native.lepton import check, rename
from ffpt_plumed.text.script import Action

Shape = Callable[[str], str]
"""Lepton text of the reduced distance (r - D_0) / R_0 to that of the function."""


def coordination_switch(keywords: Keywords) -> str:
    """Of COORDINATION: SWITCH, or the rational function of R_0, D_0, NN and MM.

    Returns:
        a Lepton expression of ``u``, the distance in the input's unit.

    Raises:
        FfptError: a function or parameter that is not known, a radius that is not positive.
    """
    if keywords.has("SWITCH"):
        return _named(keywords, keywords.text("SWITCH"))
    r0, d0 = _radius(keywords, keywords), keywords.number("D_0", 0.0)
    n, m = _powers(keywords)
    # Where PLUMED cuts this form, and why it is stretched although no D_MAX is given.
    return _stretched(_rational(n, m), d0, r0, d0 + r0 * 0.00001 ** (1.0 / (n - m)))


def cutoff(keywords: Keywords) -> float | None:
    """D_MAX of SWITCH, in the input's unit; None: it has none."""
    if not keywords.has("SWITCH"):
        return None
    parameters = _parameters(keywords, keywords.text("SWITCH"))
    return parameters.number("D_MAX") if parameters.has("D_MAX") else None


def _named(outer: Keywords, text: str) -> str:
    parameters = _parameters(outer, text)
    kind = parameters.action.name
    d0 = parameters.number("D_0", 0.0)
    d_max = parameters.number("D_MAX") if parameters.has("D_MAX") else None
    parameters.flag("STRETCH")  # the default
    stretch = not parameters.flag("NOSTRETCH")
    if kind == "CUBIC":
        if d_max is None or d_max <= d0:
            raise outer.error("CUBIC needs a D_MAX above D_0", "SWITCH")
        result = _stretched(lambda x: f"(({x})-1)^2*(1+2*({x}))", d0, d_max - d0, d_max, stretch)
    elif kind in ("CUSTOM", "MATHEVAL"):
        result = _custom(outer, parameters.text("FUNC"), d0, _radius(outer, parameters), d_max, stretch)
    elif kind in _SHAPES:
        result = _stretched(_SHAPES[kind](parameters), d0, _radius(outer, parameters), d_max, stretch)
    else:
        known = ", ".join([*_SHAPES, "CUBIC", "CUSTOM"])
        raise outer.error(f"switching function {kind} is not known natively; known: {known}", "SWITCH")
    parameters.finish()
    return result


def _parameters(outer: Keywords, text: str) -> Keywords:
    """The words of SWITCH as keywords of their own, at the line of SWITCH."""
    kind, *words = text.split()
    line = outer.action.lines["SWITCH"]
    pairs = {word.partition("=")[0].upper(): word.partition("=")[2] for word in words if "=" in word}
    flags = tuple(word.upper() for word in words if "=" not in word)
    action = Action(kind.upper(), outer.action.label, line, pairs, flags, dict.fromkeys([*pairs, *flags], line))
    return Keywords(action, {}, 0)


def _radius(outer: Keywords, parameters: Keywords) -> float:
    r0 = parameters.number("R_0")
    if r0 <= 0:
        raise outer.error(f"R_0={r0} must be above 0")
    return r0


def _powers(parameters: Keywords) -> tuple[int, int]:
    n, m = parameters.integer("NN", 6), parameters.integer("MM", 0)
    m = m or 2 * n
    if n < 1 or m <= n:
        raise parameters.error(f"NN={n} and MM={m} must be 1 or more, and MM above NN")
    return n, m


def _rational(n: int, m: int) -> Shape:
    if m == 2 * n:
        return lambda x: f"1/(1+({x})^{n})"

    def shape(x: str) -> str:
        # 0/0 at 1: PLUMED's own series within its own distance of 1.
        slope = 0.5 * n * (n - m) / m
        curvature = n * (m * m - 3.0 * m * (n - 1) + n * (2 * n - 3)) / (6.0 * m)
        series = f"{n / m!r}+(({x})-1)*({slope!r}+0.5*(({x})-1)*({curvature!r}))"
        return f"select(step({_NEAR_ONE!r}-abs(({x})-1)), {series}, (1-({x})^{n})/(1-({x})^{m}))"

    return shape


_NEAR_ONE = 5.0e10 * 2.220446049250313e-16


def _smap(parameters: Keywords) -> Shape:
    """Radhakrishnan-type function of A and B."""
    a, b = parameters.positive("A"), parameters.positive("B")
    factor = 2.0 ** (a / b) - 1.0
    return lambda x: f"(1+{factor!r}*({x})^{a})^({-b / a!r})"


_SHAPES: dict[str, Callable[[Keywords], Shape]] = {
    "RATIONAL": lambda parameters: _rational(*_powers(parameters)),
    "EXP": lambda parameters: lambda x: f"exp(-({x}))",
    "GAUSSIAN": lambda parameters: lambda x: f"exp(-0.5*({x})^2)",
    "SMAP": _smap,
    "TANH": lambda parameters: lambda x: f"1-tanh({x})",
    "COSINUS": lambda parameters: lambda x: f"select(step(1-({x})), 0.5*(cos({math.pi!r}*({x}))+1), 0)",
}


def _stretched(shape: Shape, d0: float, r0: float, d_max: float | None, stretch: bool = True) -> str:
    """1 up to d0, shape beyond, and 0 from d_max on, to which it is stretched to go smoothly.

    With s the function without a cutoff, PLUMED's stretched one is (s(r) - s(d_max)) / (s(0) - s(d_max)).
    """
    inside = shape("x")
    if d_max is not None and stretch:
        inside = f"(({inside})-({_at_end(shape, d0, r0, d_max)}))/(1-({_at_end(shape, d0, r0, d_max)}))"
    result = f"select(step(x), {inside}, 1)"
    if d_max is not None:
        result = f"select(step({d_max!r}-u), {result}, 0)"
    return f"{result}; x=(u-({d0!r}))/{r0!r}"


def _at_end(shape: Shape, d0: float, r0: float, d_max: float) -> str:
    return shape(repr((d_max - d0) / r0)) if d_max > d0 else "1"


def _custom(outer: Keywords, function: str, d0: float, r0: float, d_max: float | None, stretch: bool) -> str:
    """FUNC of x, the reduced distance, or of x2, the square of r / R_0."""

    name = "x2" if re.search(r"\bx2\b", function) else "x"
    try:
        check(function, [name], "FUNC")
    except FfptError as error:
        raise outer.error(f"{error}; FUNC is of x or x2", "SWITCH") from error

    def shape(x: str) -> str:
        return rename(function, {name: f"({x})"}, "FUNC")

    if name == "x":
        return _stretched(shape, d0, r0, d_max, stretch)
    inside = shape("x2")
    if d_max is not None and stretch:
        end = shape(repr((d_max / r0) ** 2))
        inside = f"(({inside})-({end}))/(({shape('0')})-({end}))"
    result = inside if d_max is None else f"select(step({d_max!r}-u), {inside}, 0)"
    return f"{result}; x2=(u/{r0!r})^2"
