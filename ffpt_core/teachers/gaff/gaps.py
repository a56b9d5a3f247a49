"""What parmchk2 may add to GAFF-2.11: terms that it does not have."""

from __future__ import annotations

from collections.abc import Iterable

from ffpt_core.teachers.gaff import impropers
from ffpt_core.teachers.gaff.parameters import Entry, covered


def fill_gaps(entries: Iterable[Entry]) -> list[Entry]:
    """The entries that GAFF-2.11 itself does not cover."""
    return [
        entry
        for entry in entries
        if not (impropers.covered(entry.classes) if entry.kind == "improper" else covered(entry.kind, entry.classes))
    ]
