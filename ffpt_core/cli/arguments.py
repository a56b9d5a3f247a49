"""Arguments that several verbs share: labelled inputs, atom indices."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from ffpt_core.base.errors import FfptError


def labelled(argument: str) -> tuple[str, str]:
    """Split "LABEL=WHAT" into its two parts; without a label, one is made from the name of the thing.

    "fine-tuned=out/tuned.pt" has the label "fine-tuned"; "out/tuned.pt" is called "tuned", the folder
    "out/tuned" too, and "tblite:GFN2-xTB" becomes "GFN2-xTB".

    Raises:
        FfptError: nothing stands on one side of the equals sign.
    """
    label, sign, what = argument.partition("=")
    if not sign or "?" in label:  # the equals sign of an argument: ase:module.Class?key=value
        name = argument.partition("?")[0]
        scheme, colon, rest = name.partition(":")
        return (Path(rest).stem if scheme == "teacher" else rest) if colon else Path(name).stem, argument
    if not label.strip() or not what:
        raise FfptError(f"{argument!r}: write LABEL=PATH, such as 'fine-tuned=tuned.pt'")
    return label.strip(), what


def labelled_once(arguments: Sequence[str]) -> dict[str, str]:
    """The things to work on, by label.

    Raises:
        FfptError: two have the same label, which pictures could not tell apart.
    """
    found: dict[str, str] = {}
    for argument in arguments:
        label, what = labelled(argument)
        if label in found:
            raise FfptError(f"{found[label]} and {what} are both called {label!r}: write LABEL=PATH to tell them apart")
        found[label] = what
    return found


def atom_indices(argument: str, count: int) -> tuple[int, ...]:
    """Atom indices from text such as "0,13" (or "0-13"), counted from 0.

    Raises:
        FfptError: not count whole numbers.
    """
    parts = re.split(r"[,-]", argument.strip())
    if len(parts) != count or not all(part.strip().isdigit() for part in parts):
        example = ",".join(str(number) for number in (0, 13, 14, 15)[:count])
        raise FfptError(f"{argument!r} should be {count} atoms counted from 0, such as {example}")
    return tuple(int(part) for part in parts)
