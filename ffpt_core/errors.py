"""The one exception that means: what was asked for cannot be done, and this is why."""

from __future__ import annotations


class FfptError(Exception):
    """Wrong input, said in one line: what is wrong, where, and what would be right.

    The ``ffpt`` command prints the line and exits with status 2; a traceback appears only with ``--debug``.
    """
