"""What is seen of a run while it trains: a bar or lines on standard error, events of TensorBoard."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from ffpt_core.base.errors import FfptError
from ffpt_core.base.progress import console, progress_bar
from ffpt_core.base.results import milli


class Watcher:
    """What the loop of a run tells about itself. Looks away."""

    def begin(self, epochs: int, frames_per_epoch: int, done: int) -> None:
        """Before the first epoch.

        Args:
            epochs: of the whole run.
            frames_per_epoch: frames that each trains on.
            done: epochs of before.
        """

    def advance(self, frames: int) -> None:
        """After so many more frames."""

    def epoch(self, row: Mapping[str, float]) -> None:
        """After an epoch, with its row of history."""


class Lines(Watcher):
    """A line for every epoch, for a log file.

    Args:
        name: of the run.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._epochs = 0

    def begin(self, epochs: int, frames_per_epoch: int, done: int) -> None:
        self._epochs = epochs

    def epoch(self, row: Mapping[str, float]) -> None:
        console.print(
            f"{self._name}: epoch {row['epoch']} of {self._epochs}: loss {row['train_loss']:.4g}, validation "
            f"energy MAE {milli(row['energy_mae'])} meV, force MAE {milli(row['force_mae'])} meV/Å, "
            f"learning rate {row['learning_rate']:.2g}, {row['seconds']:.1f} s",
            soft_wrap=True,
            highlight=False,
        )


class Bar(Watcher):
    """A progress bar over the frames of the whole run, for a terminal.

    Args:
        name: of the run.
        ending: closes the bar.
    """

    def __init__(self, name: str, ending: contextlib.ExitStack) -> None:
        self._name = name
        self._ending = ending
        self._advance: Callable[[float], None]

    def begin(self, epochs: int, frames_per_epoch: int, done: int) -> None:
        self._advance = self._ending.enter_context(progress_bar(self._name, epochs * frames_per_epoch))
        self._advance(done * frames_per_epoch)

    def advance(self, frames: int) -> None:
        self._advance(frames)


class Events(Watcher):
    """The rows of history as events of TensorBoard.

    Args:
        folder: where they go.
        ending: closes them.

    Raises:
        FfptError: TensorBoard is not installed.
    """

    def __init__(self, folder: Path, ending: contextlib.ExitStack) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ModuleNotFoundError as error:
            raise FfptError('tensorboard: true needs TensorBoard: pip install "ffpt[tensorboard]"') from error
        self._writer = ending.enter_context(SummaryWriter(folder))

    def epoch(self, row: Mapping[str, float]) -> None:
        for name, value in row.items():
            if name != "epoch":
                self._writer.add_scalar(name, value, int(row["epoch"]))


@contextlib.contextmanager
def watching(name: str, events: Path | None) -> Iterator[list[Watcher]]:
    """What watches a run: a bar where standard error is a terminal, lines where not.

    Args:
        name: of the run.
        events: folder for those of TensorBoard, if they are wanted.
    """
    with contextlib.ExitStack() as ending:
        watchers: list[Watcher] = [Bar(name, ending) if console.is_terminal else Lines(name)]
        if events is not None:
            watchers.append(Events(events, ending))
        yield watchers
