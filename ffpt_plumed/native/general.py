"""Actions about the input as a whole: UNITS, GROUP, RESTART, FLUSH."""

from __future__ import annotations

import math

from ffpt_core.base.errors import FfptError
from ffpt_plumed.native.keywords import Keywords
from ffpt_plumed.native.plumed_units import NAMED, Units
from ffpt_plumed.native.translation import Translation
from ffpt_plumed.text.numbers import plumed_number


def read_units(keywords: Keywords, translation: Translation) -> None:
    """UNITS, which must come before everything that has a unit."""
    if translation.values or translation.groups:
        raise keywords.error("UNITS must be the first action")
    factors = {}
    for key, names in NAMED.items():
        word = keywords.text(key, next(iter(names)))
        try:
            factors[key.lower()] = names[word] if word in names else plumed_number(word)
        except FfptError:
            raise keywords.error(f"{key}={word} is not known; known: a number, {', '.join(names)}", key) from None
        if not (factors[key.lower()] > 0 and math.isfinite(factors[key.lower()])):
            raise keywords.error(f"{key}={word} must be above 0", key)
    for key in ("MASS", "CHARGE"):  # no action here has such a quantity
        keywords.words(key)
    translation.units = Units(**factors)


def read_group(keywords: Keywords, translation: Translation) -> None:
    """GROUP: a list of atoms with a name."""
    translation.groups[keywords.action.label] = keywords.atoms("ATOMS")


def read_restart(keywords: Keywords, translation: Translation) -> None:
    """RESTART, for all that follow."""
    translation.restart = not keywords.flag("NO")


def read_flush(keywords: Keywords, translation: Translation) -> None:
    """FLUSH: files are flushed after every line anyway."""
    keywords.positive("STRIDE")
