"""Spellings of before: they work, hidden, and are rewritten to those of today before a verb reads them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

Verb = TypeVar("Verb", bound=Callable[..., Any])
Rewriting = Callable[[list[str]], list[str]]
"""The arguments of a verb, without its name, as they were spelt before; to those of today."""

_REWRITINGS: dict[Callable[..., Any], tuple[Rewriting, ...]] = {}


def formerly(*rewritings: Rewriting) -> Callable[[Verb], Verb]:
    """Say how a verb was spelt before."""

    def remember(verb: Verb) -> Verb:
        _REWRITINGS[verb] = rewritings
        return verb

    return remember


def of_today(verb: Callable[..., Any], arguments: Sequence[str]) -> list[str]:
    """The arguments of a verb in the spelling of today."""
    found = list(arguments)
    for rewriting in _REWRITINGS.get(verb, ()):
        found = rewriting(found)
    return found


def renamed(old: str, new: str, convert: Callable[[str], str] = str) -> Rewriting:
    """An option that has another name, and perhaps another unit.

    Args:
        old: as it was, "--molecule".
        new: as it is.
        convert: its value as it was to its value as it is.
    """

    def rewrite(arguments: list[str]) -> list[str]:
        found, waiting = [], False
        for argument in arguments:
            name, sign, value = argument.partition("=")
            if waiting:
                found.append(convert(argument))
                waiting = False
            elif name == old:
                found.append(f"{new}={convert(value)}" if sign else new)
                waiting = not sign
            else:
                found.append(argument)
        return found

    return rewrite


def became_first_argument(old: str) -> Rewriting:
    """An option whose value is the first argument now."""

    def rewrite(arguments: list[str]) -> list[str]:
        for place, argument in enumerate(arguments):
            name, sign, value = argument.partition("=")
            if name == old and sign:
                return [value, *arguments[:place], *arguments[place + 1 :]]
            if name == old and place + 1 < len(arguments):
                return [arguments[place + 1], *arguments[:place], *arguments[place + 2 :]]
        return arguments

    return rewrite


def femtoseconds_as_picoseconds(value: str) -> str:
    """A time in the unit of today; what is no number stays, for the verb to refuse."""
    from ffpt_core.base.units import PICOSECOND

    try:
        return repr(float(value) / PICOSECOND)
    except ValueError:
        return value
