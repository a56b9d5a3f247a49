"""Reading PLUMED input: text to a list of actions.

The syntax is that of PLUMED's manual: one action a line, ``KEY=value`` and flags, ``#`` comments, ``label:`` or
``LABEL=``, curly brackets around values with spaces, and ``...`` around an action of several lines. What an action
means is not decided here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from ffpt_core.base.errors import FfptError

_RANGE = re.compile(r"(\d+)-(\d+)(?::([+-]?\d+))?")


@dataclass(frozen=True)
class Action:
    """One action of a PLUMED input.

    Attributes:
        name: in capitals, such as "DISTANCE".
        label: as given, or "@" and the number of the action among all of them (from 0), as PLUMED names it.
        line: where it begins, from 1.
        keywords: in capitals, to their values, without the outer curly brackets; ``LABEL`` is not among them.
        flags: words without "=", in capitals, in order.
        lines: the line of every keyword and flag.
        text: the action in one line, as it was given but for comments and ``...``.
    """

    name: str
    label: str
    line: int
    keywords: dict[str, str] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    lines: dict[str, int] = field(default_factory=dict)
    text: str = ""


@dataclass(frozen=True)
class _Word:
    """A word without its outer curly brackets, and as it was given."""

    text: str
    given: str
    line: int

    def joined(self, other: _Word) -> _Word:
        """With the rest of it, which the next line had."""
        return _Word(f"{self.text} {other.text}", f"{self.given} {other.given}", self.line)


def parse_script(text: str) -> list[Action]:
    """The actions of a PLUMED input, in order, up to ENDPLUMED.

    Raises:
        FfptError: brackets or ``...`` that do not match, an action without a name, a keyword or a label given twice;
            with the line.
    """
    actions: list[Action] = []
    labels: dict[str, int] = {}
    for words in _statements(text):
        action = _action(words, len(actions))
        if action.name == "ENDPLUMED":
            break
        if action.label in labels:
            raise FfptError(
                f"PLUMED input, line {action.line}: label {action.label} was given already in line "
                f"{labels[action.label]}"
            )
        labels[action.label] = action.line
        actions.append(action)
    return actions


def split_values(text: str) -> list[str]:
    """The values of a keyword: separated by commas or white space, but not inside brackets."""
    values, current, depth = [], "", 0
    for character in text:
        depth += {"{": 1, "(": 1, "}": -1, ")": -1}.get(character, 0)
        if depth == 0 and character in ", \t\n":
            if current:
                values.append(current)
            current = ""
        else:
            current += character
    return [*values, current] if current else values


def expand_range(text: str) -> list[str]:
    """``"3-9:2"`` to ``["3", "5", "7", "9"]``, and other words to themselves.

    Raises:
        FfptError: a stride that leads away from the end.
    """
    match = _RANGE.fullmatch(text)
    if match is None:
        return [text]
    first, last, stride = int(match[1]), int(match[2]), int(match[3] or 1)
    if stride == 0 or (last - first) * stride < 0:
        raise FfptError(f"{text}: a stride of {stride} does not lead from {first} to {last}")
    return [str(k) for k in range(first, last + (1 if stride > 0 else -1), stride)]


def _statements(text: str) -> Iterator[list[_Word]]:
    """The words of one action after the other."""
    words: list[_Word] = []
    inside = False
    depth = 0
    for number, line in enumerate(text.splitlines(), start=1):
        new, joined, depth = _words(line.split("#")[0], number, depth)
        if not new:
            continue
        if inside and depth == 0 and not joined and new[0].text == "...":
            _check_end(words, new)
            inside = False
        else:
            if new[-1].text == "..." and depth == 0:
                new = new[:-1]
                if inside:
                    raise FfptError(f"PLUMED input, line {number}: '...' within an action that '...' has opened")
                inside = True
            if joined and new:
                words[-1] = words[-1].joined(new[0])
                new = new[1:]
            words += new
        if not inside:
            if depth:
                raise FfptError(f"PLUMED input, line {number}: '{{' without '}}'")
            yield words
            words = []
    if inside:
        raise FfptError(f"PLUMED input, line {words[0].line}: the '...' of this action is never closed")


def _check_end(words: list[_Word], end: list[_Word]) -> None:
    """``...`` may name what it closes."""
    names = {word.text.rstrip(":").upper() for word in words[:2]}
    if len(end) > 2 or (len(end) == 2 and end[1].text.rstrip(":").upper() not in names):
        raise FfptError(
            f"PLUMED input, line {end[0].line}: '{' '.join(word.text for word in end)}' does not close "
            f"{words[0].text} of line {words[0].line}"
        )


def _words(line: str, number: int, depth: int) -> tuple[list[_Word], bool, int]:
    """Split at white space outside of curly brackets, and drop the outer ones.

    Returns:
        the words, whether the first goes on from the line before, and the depth of brackets at the end.
    """
    joined, words, current, given = depth > 0, [], "", ""
    for character in line:
        if character == "}":
            depth -= 1
            if depth < 0:
                raise FfptError(f"PLUMED input, line {number}: '}}' without '{{'")
        if depth == 0 and character.isspace():
            if given:
                words.append(_Word(current, given, number))
            current = given = ""
        else:
            given += character
            current += "" if depth == 0 and character in "{}" else character
        if character == "{":
            depth += 1
    if given.strip():
        words.append(_Word(current.strip(), given.strip(), number))
    return words, joined and bool(words), depth


def _action(words: list[_Word], count: int) -> Action:
    """One action of its words."""
    first, text = words[0], " ".join(word.given for word in words)
    label = None
    if first.text.endswith(":"):
        label, words = first.text[:-1], words[1:]
        if not label or not words:
            raise FfptError(f"PLUMED input, line {first.line}: '{first.text}' without a label or an action")
    name = words[0].text
    if "=" in name or name == "...":
        raise FfptError(f"PLUMED input, line {words[0].line}: an action was expected where '{name}' stands")
    keywords: dict[str, str] = {}
    flags: list[str] = []
    lines: dict[str, int] = {}
    for word in words[1:]:
        key, equals, value = word.text.partition("=")
        key = key.upper()
        if key in lines:
            raise FfptError(f"PLUMED input, line {word.line}: {key} is given twice")
        lines[key] = word.line
        if equals:
            keywords[key] = value.strip()
        else:
            flags.append(key)
    given = keywords.pop("LABEL", None)
    if label is not None and given is not None:
        raise FfptError(f"PLUMED input, line {lines['LABEL']}: LABEL={given} of an action that is labelled {label}")
    lines.pop("LABEL", None)
    return Action(name.upper(), label or given or f"@{count}", first.line, keywords, tuple(flags), lines, text)
