"""Things by name: those that come with ffpt, and those that other packages add by entry points."""

from __future__ import annotations

import contextlib
import functools
import importlib
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from typing import Generic, TypeVar

from ffpt_core.base.errors import FfptError

Thing = TypeVar("Thing")


class Registry(Generic[Thing]):
    """A table of things, each imported when it is first asked for.

    Args:
        group: of the entry points by which an installed package adds things of its own. A name of ours stays ours.
        what: what one of them is called in messages, for example "network".
        built_in: those that come with ffpt, by name: "module:attribute".
    """

    def __init__(self, group: str, what: str, built_in: Mapping[str, str]) -> None:
        self.group = group
        self.what = what
        self._built_in = dict(built_in)
        self._found: dict[str, Thing] = {}

    @functools.cached_property
    def _added(self) -> dict[str, str]:
        return {point.name: point.value for point in entry_points(group=self.group)}

    def names(self) -> list[str]:
        """All names, ours first."""
        return list(dict.fromkeys([*self._built_in, *self._added, *self._found]))

    def get(self, name: str) -> Thing:
        """The thing of a name.

        Raises:
            FfptError: there is none; or the package that it is in cannot be imported.
        """
        if name not in self._found:
            place = self._built_in.get(name) or self._added.get(name)
            if place is None:
                raise FfptError(f"there is no {self.what} {name!r}; there are {', '.join(self.names())}")
            module, _, attribute = place.partition(":")
            try:
                self._found[name] = getattr(importlib.import_module(module), attribute)
            except (ImportError, AttributeError) as error:
                raise FfptError(f"the {self.what} {name!r} cannot be loaded from {place}: {error}") from error
        return self._found[name]

    def all(self) -> dict[str, Thing]:
        """Every thing by name."""
        return {name: self.get(name) for name in self.names()}

    @contextlib.contextmanager
    def added(self, name: str, thing: Thing) -> Iterator[None]:
        """Add a thing while the block runs: for scripts and tests that bring one of their own.

        Raises:
            FfptError: the name is taken.
        """
        if name in self.names():
            raise FfptError(f"there is a {self.what} {name!r} already")
        self._found[name] = thing
        try:
            yield
        finally:
            del self._found[name]
