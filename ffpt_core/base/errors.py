"""What was asked for cannot be done, and this is why; or it was done, and this should be known."""

from __future__ import annotations


class FfptError(Exception):
    """Wrong input, said in one line: what is wrong, where, and what would be right.

    The ``ffpt`` command prints the line and exits with status 2; a traceback appears only with ``--debug``.
    """


class FfptWarning(UserWarning):
    """What a user should know about the input, in one line; the ``ffpt`` command shows it as a note."""
