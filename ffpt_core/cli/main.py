"""The ``ffpt`` command: one module per verb; packages above ffpt_core add theirs through entry points."""

from __future__ import annotations

import copy
import importlib
import inspect
import sys
from importlib.metadata import entry_points
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ffpt_core.base.errors import FfptError
from ffpt_core.base.progress import console
from ffpt_core.base.version import __version__
from ffpt_core.cli.notes import notes

VERBS = ("teacher", "rattle", "label", "data", "train", "evaluate", "scan", "export", "analyze", "report", "demo")
"""Verbs of ffpt_core; each is cli/<verb>.py with a function, or an app of verbs, of its name."""

ORDER = (*VERBS[:8], "md", "metad", *VERBS[8:])
"""The order in which work flows, and in which --help lists the verbs; others follow."""

PLUGINS = "ffpt.commands"
"""Entry-point group through which ffpt_openmm and ffpt_plumed add verbs; "analyze.fes" joins the verbs of analyze."""


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


class _Ordered(TyperGroup):
    """Lists its verbs in ORDER; left alone, typer lists those that are groups at the end."""

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(self.commands, key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER))


def _help(function: Any) -> str:
    """A docstring with its paragraphs on one line each: typer would keep the source's line breaks.

    Paragraphs that begin with click's \\b stay as they are.
    """
    paragraphs = inspect.cleandoc(function.__doc__).split("\n\n")
    return "\n\n".join(text if text.startswith("\b") else text.replace("\n", " ") for text in paragraphs)


def _joined(group: typer.Typer, members: dict[str, Any]) -> typer.Typer:
    """A group of verbs with those that plugins add to it; the group itself stays as it is."""
    joined = copy.copy(group)
    joined.registered_commands = [*group.registered_commands]
    for name, function in members.items():
        joined.command(name)(function)
    for member in joined.registered_commands:
        member.help = _help(member.callback)
    return joined


def make_app() -> typer.Typer:
    """The command with all verbs, those of installed plugins included."""
    app = typer.Typer(name="ffpt", cls=_Ordered, no_args_is_help=True, add_completion=False)
    app.callback()(_options)
    commands = {verb: getattr(importlib.import_module(f"ffpt_core.cli.{verb}"), verb) for verb in VERBS}
    members: dict[str, dict[str, Any]] = {}
    for point in entry_points(group=PLUGINS):
        group, _, name = point.name.rpartition(".")
        (members.setdefault(group, {}) if group else commands)[name] = point.load()
    for name, command in commands.items():
        if isinstance(command, typer.Typer):
            app.add_typer(_joined(command, members.get(name, {})), name=name)
        else:
            app.command(name, help=_help(command))(command)
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
