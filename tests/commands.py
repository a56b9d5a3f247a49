"""Commands of the ffpt program, called in this process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer
from typer.testing import CliRunner

from ffpt_core.cli.spellings import of_today


def run_command(command: Callable[..., Any], *arguments: str | Path) -> None:
    """Call one command with its arguments; what it raises comes out."""
    app = typer.Typer()
    app.command()(command)
    result = CliRunner().invoke(app, of_today(command, [str(one) for one in arguments]))
    if result.exception is not None:
        raise result.exception
