"""What a run writes and shows while it trains."""

from __future__ import annotations

import csv
import io
import os
import time
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from lightning import LightningModule, Trainer
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import Callback

from ffpt_core.base.files import atomic_write
from ffpt_core.base.progress import progress_bar
from ffpt_core.training.batches import Batch
from ffpt_core.training.module import PotentialModule

COLUMNS = ("epoch", "seconds", "learning_rate", "train_loss", "validation_loss", "energy_mae", "force_mae")


class AtomicCheckpointIO(TorchCheckpointIO):
    """Checkpoints that are there whole or not at all, and are read without unpickling objects."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | os.PathLike[str], *_: Any, **__: Any) -> None:
        """Write to a temporary name, then rename. Raises FfptError when the disk is full."""
        # Through memory: of a full disk torch.save says only that it failed, as a RuntimeError.
        contents = io.BytesIO()
        torch.save(checkpoint, contents)
        with atomic_write(path, "wb") as stream:
            stream.write(contents.getbuffer())

    def load_checkpoint(self, path: str | os.PathLike[str], *_: Any, **__: Any) -> dict[str, Any]:
        """Tensors and plain values only."""
        return torch.load(path, map_location="cpu", weights_only=True)


class RunFiles(Callback):
    """After every epoch: potential.pt if it is the best so far, then the log, then the checkpoint.

    In this order a kill at any moment leaves a folder from which the same command continues.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started = time.perf_counter()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.started = time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        module = cast(PotentialModule, pl_module)
        row = module.history[-1]
        row["seconds"] = time.perf_counter() - self.started
        if row["validation_loss"] < module.best_loss:
            module.best_loss = row["validation_loss"]
            potential = module.current_potential()
            potential.metadata["epoch"] = row["epoch"]
            potential.save(self.folder / "potential.pt")
        with atomic_write(self.folder / "log.csv") as stream:
            writer = csv.DictWriter(stream, COLUMNS)
            writer.writeheader()
            writer.writerows(module.history)
        for logger in trainer.loggers:
            logger.log_metrics({k: v for k, v in row.items() if k != "epoch"}, step=int(row["epoch"]))
        trainer.save_checkpoint(self.folder / "checkpoint.ckpt")


class Bar(Callback):
    """A progress bar over the frames of the whole run.

    Args:
        description: left of the bar.
        epochs: of the whole run.
        frames_per_epoch: frames that each trains on.
    """

    def __init__(self, description: str, epochs: int, frames_per_epoch: int) -> None:
        self.frames_per_epoch = frames_per_epoch
        self.context = progress_bar(description, epochs * frames_per_epoch)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.advance = self.context.__enter__()
        self.advance(trainer.current_epoch * self.frames_per_epoch)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Batch | np.ndarray, batch_idx: int
    ) -> None:
        self.advance(batch.n_frames if isinstance(batch, Batch) else len(batch))

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.context.__exit__(None, None, None)
