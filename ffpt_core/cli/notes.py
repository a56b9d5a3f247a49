"""What readers and downloads have to say, shown to the user without Python's file and line."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

from rich.markup import escape

from ffpt_core.base.errors import FfptWarning
from ffpt_core.base.progress import console


@contextlib.contextmanager
def notes() -> Iterator[None]:
    """Show every FfptWarning of the block as a note; other warnings stay as they are."""
    plain = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *rest: Any, **named: Any) -> None:
        if issubclass(category, FfptWarning):
            console.print(f"[yellow]note:[/yellow] {escape(str(message))}", soft_wrap=True, highlight=False)
        else:
            plain(message, category, *rest, **named)

    with warnings.catch_warnings():
        warnings.simplefilter("always", FfptWarning)
        warnings.showwarning = show
        yield
