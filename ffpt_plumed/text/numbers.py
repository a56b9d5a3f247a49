"""Numbers as PLUMED's inputs and headers have them, and the periods of variables, which are two of them."""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from ffpt_core.base.errors import FfptError

_PI = re.compile(r"([+-]?)(\d*\.?\d*)\*?pi(?:/(\d+\.?\d*))?", re.IGNORECASE)

_OPERATORS: dict[type[ast.AST], Callable[..., float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}
_FUNCTIONS: dict[str, Callable[..., float]] = {"sqrt": math.sqrt, "exp": math.exp, "log": math.log}


def plumed_number(text: str) -> float:
    """A number as PLUMED reads it: "0.5", "-pi", "2pi", "pi/2", "4*sqrt(2)".

    Raises:
        FfptError: it is not one.
    """
    pi = _PI.fullmatch(text.strip())
    if pi is not None:
        sign, factor, divisor = pi.groups()
        return (-1.0 if sign == "-" else 1.0) * float(factor or 1.0) * math.pi / float(divisor or 1.0)
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return _evaluate(ast.parse(text.replace("^", "**"), mode="eval").body)
    except (SyntaxError, ArithmeticError, TypeError, ValueError, RecursionError):
        raise FfptError(f"{text!r} is not a number") from None


def _evaluate(node: ast.AST) -> float:
    """Arithmetic only: nothing in the text is executed."""
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
        return float(node.value)
    if isinstance(node, ast.Name) and node.id in ("pi", "PI"):
        return math.pi
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return float(_OPERATORS[type(node.op)](_evaluate(node.left), _evaluate(node.right)))
    if isinstance(node, ast.UnaryOp) and type(node.op) in _OPERATORS:
        return float(_OPERATORS[type(node.op)](_evaluate(node.operand)))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _FUNCTIONS:
        return float(_FUNCTIONS[node.func.id](*map(_evaluate, node.args)))
    raise ValueError("not arithmetic")


@dataclass(frozen=True)
class Period:
    """The domain of a periodic variable. Two are the same where their numbers are.

    Args:
        low_text: its lower end as PLUMED's text has it, such as "-pi".
        high_text: its upper end.

    Attributes:
        low: the lower end, in the variable's unit.
        high: the upper end.

    Raises:
        FfptError: an end is not a number.
    """

    low_text: str = field(compare=False)
    high_text: str = field(compare=False)
    low: float = field(init=False, repr=False)
    high: float = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "low", plumed_number(self.low_text))
        object.__setattr__(self, "high", plumed_number(self.high_text))

    def __str__(self) -> str:
        return f"{self.low_text} to {self.high_text}"

    @property
    def length(self) -> float:
        """Upper end minus lower end."""
        return self.high - self.low
