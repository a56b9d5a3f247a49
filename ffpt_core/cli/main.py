"""The ``ffpt`` command: one module per verb; packages above ffpt_core add theirs through entry points."""

from __future__ import annotations

import importlib
import sys
from importlib.metadata import entry_points
from typing import Annotated

import typer

from ffpt_core import __version__
from ffpt_core.cli.notes import notes
from ffpt_core.errors import FfptError
from ffpt_core.progress import console

VERBS = (
    "teacher",
    "rattle",
    "label",
    "data",
    "train",
    "evaluate",
    "scan",
    "export",
    "analyze",
    "report",
    "demo",
)
"""Verbs of ffpt_core, in the order in which work flows; each is cli/<verb>.py with a function of its name."""

PLUGINS = "ffpt.commands"
"""Entry-point group through which ffpt_openmm and ffpt_plumed add verbs."""


def _version(value: bool) -> None:
    if value:
        typer.echo(f"ffpt {__version__}")
        raise typer.Exit


def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the full traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Machine-learned potentials that do not blow up: pre-trained on force fields, fine-tuned on ab initio data."""


def make_app() -> typer.Typer:
    """The command with all verbs, those of installed plugins included."""
    app = typer.Typer(
        name="ffpt", no_args_is_help=True, add_completion=False, context_settings={"max_content_width": 110}
    )
    app.callback()(_options)
    commands = {verb: getattr(importlib.import_module(f"ffpt_core.cli.{verb}"), verb) for verb in VERBS}
    commands.update({point.name: point.load() for point in entry_points(group=PLUGINS)})
    for name, command in commands.items():
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name)
        else:
            app.command(name)(command)
    return app


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit status: 0, 2 for wrong input, 130 for an interrupt.

    Args:
        arguments: the command line without the program's name; default: that of the process.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    command = typer.main.get_command(make_app())
    try:
        # Standalone: typer itself shows usage errors (status 2) and turns an interrupt into status 130.
        with notes():
            command.main(args=arguments, prog_name="ffpt")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 1
    except FfptError as error:
        if "--debug" in arguments:
            raise
        console.print(f"ffpt: error: {error}", style="bold red", markup=False, highlight=False, soft_wrap=True)
        return 2
    return 0


def run() -> None:
    """Entry point of the console script."""
    sys.exit(main())
