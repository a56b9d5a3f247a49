"""Runs sequences of ffpt commands, several side by side, and shows how far they are."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from ffpt_core.base.errors import FfptError
from ffpt_core.base.progress import console


@dataclass(frozen=True)
class Step:
    """One command.

    Args:
        title: what it does, for the reader.
        arguments: of ``ffpt``.
        name: of its log file.
    """

    title: str
    arguments: tuple[str, ...]
    name: str

    @property
    def command(self) -> str:
        """The command as one would type it."""
        return shlex.join(("ffpt", *self.arguments))


def step(name: str, title: str, *arguments: object) -> Step:
    """A Step whose arguments may be paths and numbers."""
    return Step(title, tuple(str(argument) for argument in arguments), name)


class Runner:
    """Runs steps in a folder, their output in folder/logs.

    Args:
        folder: working directory of the commands.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seconds: dict[str, float] = {}
        self.commands: list[str] = []
        self._stop = threading.Event()
        self._running: set[subprocess.Popen[bytes]] = set()

    def run(self, *lanes: Sequence[Step]) -> None:
        """Run each lane's steps one after the other, all lanes at the same time.

        Raises:
            FfptError: a step failed; its last words are in the message. The other lanes are stopped.
        """
        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        with Progress(*columns, console=console) as progress, ThreadPoolExecutor(len(lanes)) as pool:
            futures = [pool.submit(self._lane, lane, progress) for lane in lanes]
            try:
                for future in futures:
                    future.result()
            except BaseException:
                # Ctrl-C or a failed step: every command can be continued later, so stop them all now.
                self._stop.set()
                for process in list(self._running):
                    process.terminate()
                raise

    def _lane(self, steps: Sequence[Step], progress: Progress) -> None:
        for item in steps:
            if not self._stop.is_set():
                self._one(item, progress)

    def _one(self, item: Step, progress: Progress) -> None:
        log = self.folder / "logs" / f"{item.name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        progress.console.print(f"[bold]{item.title}[/bold]\n  [dim]{item.command}[/dim]", soft_wrap=True)
        task = progress.add_task(item.title, total=1)
        started = time.perf_counter()
        # One thread a command: two lanes fill two cores.
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "120"}
        with open(log, "wb") as stream:
            process = subprocess.Popen(
                [sys.executable, "-m", "ffpt_core.cli", *item.arguments],
                cwd=self.folder,
                env=environment,
                stdout=stream,
                stderr=subprocess.STDOUT,
            )
            self._running.add(process)
            status = process.wait()
            self._running.discard(process)
        if status != 0 and not self._stop.is_set():
            lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
            last = lines[-1] if lines else "no output"
            raise FfptError(f"'{item.command}' ended with status {status}: {last} (all of it: {log})")
        self.seconds[item.name] = time.perf_counter() - started
        self.commands.append(item.command)
        progress.update(task, completed=1, description=f"[green]✓[/green] {item.title}")
