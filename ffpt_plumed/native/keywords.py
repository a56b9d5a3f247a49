"""The keywords of one action: typed, defaulted, and refused where they are not known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ffpt_core.base.errors import FfptError
from ffpt_plumed.text.numbers import plumed_number
from ffpt_plumed.text.script import Action, expand_range, split_values

KERNEL_HINT = "with a PLUMED kernel, ffpt_plumed.PlumedForce runs it"
"""What to do about input that runs only there."""


class Keywords:
    """Takes the keywords of an action one by one; what is left at the end is refused.

    Args:
        action: from parse_script.
        groups: 0-based atoms of the GROUP actions, by label.
        n_atoms: of the system.
    """

    def __init__(self, action: Action, groups: Mapping[str, Sequence[int]], n_atoms: int) -> None:
        self.action = action
        self._groups = groups
        self._n_atoms = n_atoms
        self._left = set(action.lines)

    def error(self, message: str, key: str | None = None) -> FfptError:
        """To raise: message after the action and the line of the keyword, or of the action."""
        line = self.action.lines.get(key or "", self.action.line)
        return FfptError(f"PLUMED input, line {line}: {self.action.name}: {message}")

    def finish(self) -> None:
        """Refuse what nobody asked for.

        Raises:
            FfptError: names the first such keyword.
        """
        left = [key for key in self.action.lines if key in self._left]
        if left:
            raise self.error(f"native PLUMED does not know {left[0]}; {KERNEL_HINT}", left[0])

    def has(self, key: str) -> bool:
        """Whether the keyword is given."""
        return key in self.action.keywords

    def flag(self, key: str) -> bool:
        """Whether a flag is set."""
        if self.has(key):
            raise self.error(f"{key} is a flag and takes no value", key)
        self._left.discard(key)
        return key in self.action.flags

    def text(self, key: str, default: str | None = None) -> str:
        """A keyword as it stands."""
        if not self.has(key):
            if default is None:
                raise self.error(f"{key} is missing")
            return default
        self._left.discard(key)
        value = self.action.keywords[key]
        if not value or value.startswith("@replicas:"):
            raise self.error(f"{key}={value} is not understood; {KERNEL_HINT}", key)
        return value

    def words(self, key: str) -> list[str]:
        """The values of a keyword, none where it is absent."""
        return split_values(self.text(key)) if self.has(key) else []

    def numbers(self, key: str, count: int, default: float | None = None) -> list[float]:
        """As many numbers as there are arguments.

        Args:
            key: the keyword.
            count: how many.
            default: of each, where the keyword is absent; None: it must be there.
        """
        if not self.has(key) and default is not None:
            return [default] * count
        values = [self._number(key, word) for word in split_values(self.text(key))]
        if len(values) != count:
            raise self.error(f"{key} has {len(values)} values where {count} belong", key)
        return values

    def number(self, key: str, default: float | None = None) -> float:
        """One number."""
        return self.numbers(key, 1, default)[0]

    def integer(self, key: str, default: int | None = None) -> int:
        """One whole number."""
        value = self.number(key, default)
        if value != round(value):
            raise self.error(f"{key}={self.action.keywords[key]} is not a whole number", key)
        return round(value)

    def positive(self, key: str, default: int | None = None) -> int:
        """One whole number above 0."""
        value = self.integer(key, default)
        if value < 1:
            raise self.error(f"{key}={value} must be 1 or more", key)
        return value

    def format(self, key: str, default: str) -> str:
        """A format of C for one real number.

        Raises:
            FfptError: it does not format a number.
        """
        text = self.text(key, default)
        try:
            float(text.replace("l", "") % 0.5)
        except (TypeError, ValueError):
            raise self.error(f"{key}={text} does not format a number; an example is %12.6f", key) from None
        return text.replace("l", "")  # C's length modifier, which Python does without

    def atoms(self, key: str, count: int | None = None) -> list[int]:
        """0-based atoms of a list such as ``1,4-6,water``.

        Raises:
            FfptError: not an atom or a group, an atom that the system lacks, or another number of them than count.
        """
        atoms: list[int] = []
        for word in split_values(self.text(key)):
            if word in ("@mdatoms", "@allatoms"):
                atoms += range(self._n_atoms)
            elif word in self._groups:
                atoms += self._groups[word]
            else:
                atoms += self._range(key, word)
        if count is not None and len(atoms) != count:
            raise self.error(f"{key} names {len(atoms)} atoms where {count} belong", key)
        return atoms

    def _range(self, key: str, word: str) -> list[int]:
        try:
            serials = expand_range(word)
        except FfptError as error:
            raise self.error(f"{key}: {error}", key) from error
        for serial in serials:
            if not serial.isdecimal():
                raise self.error(f"{key}: {word} is neither an atom nor a group; {KERNEL_HINT}", key)
            if not 1 <= int(serial) <= self._n_atoms:
                raise self.error(f"{key}: there is no atom {serial}, the system has 1 to {self._n_atoms}", key)
        return [int(serial) - 1 for serial in serials]

    def _number(self, key: str, word: str) -> float:
        try:
            return plumed_number(word)
        except FfptError as error:
            raise self.error(f"{key}: {word} is not a number", key) from error
