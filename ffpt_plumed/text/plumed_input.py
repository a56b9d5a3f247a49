"""A PLUMED input, read once: its actions, the files that they write, and those that they read.

script = PlumedInput.of(open("plumed.dat").read())
script.outputs.appended                    # ("HILLS", "COLVAR")
"""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass, field
from pathlib import Path

from ffpt_core.base.errors import FfptError
from ffpt_plumed.text.script import Action, parse_script, split_values

_DEPOSITS = {"METAD": "HILLS", "PBMETAD": None, "OPES_METAD": "KERNELS", "OPES_METAD_EXPLORE": "KERNELS"}
"""Actions that read their FILE in a restart, and its default name."""

_READERS = ("EXTERNAL", "READ", "INCLUDE")
"""Actions whose FILE is read only."""

_REWRITTEN = ("GRID_WFILE", "STATE_WFILE")


@dataclass(frozen=True)
class Outputs:
    """Names of the files that PLUMED writes.

    Args:
        appended: line after line, such as COLVAR and HILLS.
        rewritten: as a whole, such as grids.
    """

    appended: tuple[str, ...]
    rewritten: tuple[str, ...]

    @property
    def all(self) -> tuple[str, ...]:
        """Of both kinds."""
        return self.appended + self.rewritten


@dataclass(frozen=True)
class PlumedInput:
    """What the text of an input says.

    Args:
        text: as it was given.
        actions: in order, up to ENDPLUMED.
    """

    text: str
    actions: tuple[Action, ...] = field(repr=False)

    @classmethod
    def of(cls, script: str | PlumedInput) -> PlumedInput:
        """The input of a text; one that was read already is returned as it is.

        Raises:
            FfptError: as parse_script.
        """
        return script if isinstance(script, PlumedInput) else cls(script, tuple(parse_script(script)))

    @functools.cached_property
    def outputs(self) -> Outputs:
        """The files that it writes.

        Raises:
            FfptError: a file outside of the folder of the run.
        """
        appended: dict[str, None] = {}
        rewritten: dict[str, None] = {}
        for action in self.actions:
            if action.name in _DEPOSITS:
                appended.update(dict.fromkeys(_deposits_of(action)))
            elif action.name not in _READERS:
                appended.update(dict.fromkeys(split_values(action.keywords.get("FILE", ""))))
            for key in _REWRITTEN:
                rewritten.update(dict.fromkeys(split_values(action.keywords.get(key, ""))))
        for name in (*appended, *rewritten):
            if Path(name).name != name:
                raise FfptError(f"PLUMED input: {name} is written to another folder; name a file without a folder")
        return Outputs(tuple(appended), tuple(rewritten))

    def inputs(self, folder: str | os.PathLike[str]) -> dict[str, Path]:
        """The files that it reads, as far as they are in a folder: names in the input, and paths.

        HILLS and the like are among them where the input asks for a restart.

        Raises:
            FfptError: as outputs.
        """
        continued = {name for action in self.actions if self._continues(action) for name in _deposits_of(action)}
        words = {word for action in self.actions for value in action.keywords.values() for word in split_values(value)}
        written = set(self.outputs.all)
        found = {}
        for word in sorted((words - written) | continued):
            path = Path(folder, word).resolve()
            if path.is_file():
                found[word] = path
        return found

    def _continues(self, action: Action) -> bool:
        """Whether an action goes on with its FILE."""
        own = action.keywords.get("RESTART", "AUTO").upper()
        everywhere = any(other.name == "RESTART" and "NO" not in other.flags for other in self.actions)
        return own == "YES" or (own == "AUTO" and everywhere)


def _deposits_of(action: Action) -> tuple[str, ...]:
    if action.name not in _DEPOSITS:
        return ()
    return tuple(split_values(action.keywords.get("FILE", _DEPOSITS[action.name] or "")))
