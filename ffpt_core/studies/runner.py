"""Runs commands in a folder, several lanes of them side by side, shows how far they are and repeats none in vain."""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from ffpt_core import __version__
from ffpt_core.base.errors import FfptError
from ffpt_core.base.files import read_json, write_json
from ffpt_core.base.progress import console
from ffpt_core.base.workers import open_executor, say


@dataclass(frozen=True)
class Command:
    """One command of a study.

    Args:
        name: of its log file.
        title: what it does, for the reader.
        arguments: of ``ffpt``.
        takes: files that it reads, relative to the folder.
        makes: files that are there when it is over.
    """

    name: str
    title: str
    arguments: tuple[str, ...]
    takes: tuple[str, ...] = ()
    makes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return shlex.join(("ffpt", *self.arguments))


def named_in(arguments: Sequence[str], files: Sequence[str]) -> tuple[str, ...]:
    """Files that the arguments of a command name, or whose folder they name: PATH, LABEL=PATH, teacher:PATH.

    The verb, and what stands behind -o, do not count.
    """
    given = [argument for before, argument in itertools.pairwise(arguments) if before != "-o"]
    named = [Path(re.split("[=:]", argument)[-1]) for argument in given]
    return tuple(file for file in files if any(path == Path(file) or path in Path(file).parents for path in named))


def run_lanes(folder: Path, lanes: Sequence[Sequence[Command]]) -> None:
    """Run each lane's commands one after the other, all lanes at the same time; their output goes to folder/logs.

    A command is not repeated where all that it makes is there, made by the same command of the same version of ffpt
    from the same files.

    Raises:
        FfptError: a command failed; its last words are in the message. The other lanes are stopped: the same call
            continues them.
    """
    lanes = [lane for lane in lanes if lane]
    if not lanes:
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        tasks: dict[str, Any] = {}

        def heard(lane: int, said: tuple[str, int]) -> None:
            event, index = said
            command = lanes[lane][index]
            if event == "begins":
                progress.console.print(f"[bold]{command.title}[/bold]\n  [dim]{command}[/dim]", soft_wrap=True)
                tasks[command.name] = progress.add_task(command.title, total=1)
            else:
                done = f"[green]✓[/green] {command.title}"
                progress.update(tasks[command.name], completed=1, description=done)

        for _ in open_executor(len(lanes)).map(partial(_run_lane, folder), lanes, heard):
            pass


def _run_lane(folder: Path, lane: Sequence[Command]) -> None:
    for index, command in enumerate(lane):
        say(("begins", index))
        record = folder / "logs" / f"{command.name}.json"
        if not _is_done(folder, command, record):
            seconds = _run(folder, command)
            write_json(record, {**_identity(folder, command), "seconds": seconds})
        say(("ends", index))


def _identity(folder: Path, command: Command) -> dict[str, Any]:
    taken = {file: _digest(folder / file) for file in command.takes if (folder / file).is_file()}
    return {"command": str(command), "ffpt_version": __version__, "taken": taken}


def _is_done(folder: Path, command: Command, record: Path) -> bool:
    if not command.makes or not record.is_file() or not all((folder / file).is_file() for file in command.makes):
        return False
    before = read_json(record)
    return all(before.get(key) == value for key, value in _identity(folder, command).items())


def _digest(path: Path) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _run(folder: Path, command: Command) -> float:
    """Run a command to its end; returns the seconds that it took."""
    log = folder / "logs" / f"{command.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    # One thread a command: two lanes fill two cores.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "120"}
    with open(log, "wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "ffpt_core.cli", *command.arguments],
            cwd=folder,
            env=environment,
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
        try:
            status = process.wait()
        finally:
            process.terminate()
    if status != 0:
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
        last = lines[-1] if lines else "no output"
        raise FfptError(f"'{command}' ended with status {status}: {last} (all of it: {log})")
    return time.perf_counter() - started
