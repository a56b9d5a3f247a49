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
from ffpt_core.cli.output import reporting
from ffpt_core.cli.spellings import of_today

VERBS = (
    "teacher", "rattle", "label", "data", "train", "evaluate", "audit", "scan", "export", "analyze", "report", "demo",
    "info",
)  # fmt: skip
"""Verbs of ffpt_core; each is cli/<verb>.py with a function, or an app of verbs, of its name."""

ORDER = (*VERBS[:9], "md", "sample", "metad", *VERBS[9:])
"""The order in which work flows, and in which --help lists the verbs; others follow."""

PLUGINS = "ffpt.commands"
"""Entry-point group through which ffpt_openmm and ffpt_plumed add verbs; "analyze.fes" joins the verbs of analyze."""


def _version(value: bool) -> None:
    if value:
        typer.echo(f"ffpt {__version__}")
        raise typer.Exit


FLAGS = {"--debug": "debug", "--json": "json", "--quiet": "quiet", "-q": "quiet"}
"""Options of every verb, before or behind its name."""


def _options(
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no messages; of every verb.")] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Results as JSON on standard output, not as tables; of every verb.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the full traceback of an error; of every verb.")] = False,
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
    app = typer.Typer(name="ffpt", cls=_Ordered, no_args_is_help=True)
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


def _without_flags(arguments: list[str]) -> tuple[list[str], set[str]]:
    """The arguments without the options of every verb, and which of those there were; behind "--" all is data."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    found = {FLAGS[argument] for argument in arguments[:end] if argument in FLAGS}
    return [argument for argument in arguments[:end] if argument not in FLAGS] + arguments[end:], found


def _of_today(command: Any, arguments: list[str]) -> list[str]:
    """Arguments with spellings of before in those of today."""
    names = 0
    while names < len(arguments) and arguments[names] in getattr(command, "commands", {}):
        command = command.commands[arguments[names]]
        names += 1
    callback = getattr(command.callback, "__wrapped__", command.callback)
    return arguments if callback is None else [*arguments[:names], *of_today(callback, arguments[names:])]


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit status: 0, 2 for wrong input, 130 for an interrupt.

    Args:
        arguments: the command line without the program's name; default: that of the process.
    """
    given = sys.argv[1:] if arguments is None else arguments
    command = typer.main.get_command(make_app())
    arguments, flags = _without_flags(given)
    try:
        # Standalone: typer itself shows usage errors (status 2) and turns an interrupt into status 130.
        with notes(), reporting("json" in flags, "quiet" in flags):
            command.main(args=_of_today(command, arguments), prog_name="ffpt")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 1
    except FfptError as error:
        if "debug" in flags:
            raise
        console.print(f"ffpt: error: {error}", style="bold red", markup=False, highlight=False, soft_wrap=True)
        return 2
    return 0


def run() -> None:
    """Entry point of the console script."""
    sys.exit(main())
