"""A training run in its folder, from configuration to potential: from scratch, pre-training, fine-tuning."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import torch

from ffpt_core.base import progress
from ffpt_core.base.errors import FfptError
from ffpt_core.base.figures import save_figure
from ffpt_core.base.files import read_json, write_json
from ffpt_core.base.progress import console
from ffpt_core.base.version import __version__
from ffpt_core.datasets.overview import formulas
from ffpt_core.potentials.network_potential import NetworkPotential, load
from ffpt_core.training.batches import FrameBatches
from ffpt_core.training.configuration import TrainingConfiguration, read_configuration, write_configuration
from ffpt_core.training.data import Frames, read_frames, rehearsing
from ffpt_core.training.display import watching
from ffpt_core.training.evaluation import Errors, evaluate
from ffpt_core.training.loop import CHECKPOINT, POTENTIAL, Loop
from ffpt_core.training.plots import plot_learning_curve
from ffpt_core.training.start import starting_potential
from ffpt_core.training.step import Learner

_NAMED_MOLECULES = 50
"""Hill formulas in the record of a potential; of more there is a count."""

CONFIGURATION, RESULT, CURVE = "config.yaml", "result.json", "learning_curve.png"


@dataclass(frozen=True)
class TrainingResult:
    """What a finished run leaves: the best potential, its errors, the history by epoch."""

    potential: NetworkPotential
    validation: Errors
    test: Errors | None
    history: list[dict[str, float]]


def train(configuration: TrainingConfiguration, quiet: bool = False) -> TrainingResult:
    """Run, continue or extend a training run in configuration.output.

    The folder receives config.yaml, log.csv, learning_curve.png, checkpoint.ckpt, potential.pt (the best
    weights by validation loss) and, at the end, result.json. A finished run is not repeated; a stopped one
    continues, and on a CPU ends with the weights of an unbroken run. So does a run that differs from that in the
    folder by more epochs alone, where the learning rate falls on plateaus.

    Args:
        configuration: the run.
        quiet: show nothing while it trains.

    Raises:
        FfptError: bad data; a folder with a run of another configuration; a full disk; an interrupt from the keyboard.
    """
    folder = configuration.output
    with progress.quiet(quiet):
        frames = read_frames(configuration)
        _check_folder(configuration)
        if (folder / RESULT).exists():
            console.print(f"{folder} is finished: nothing to do")
            return _finished(configuration)
        write_configuration(folder / CONFIGURATION, configuration)
        if configuration.threads:
            torch.set_num_threads(configuration.threads)
        started = time.perf_counter()
        metadata = _metadata(configuration, frames)
        history = _fit(configuration, frames, metadata)
        result = _finish(configuration, frames, metadata, history)
    write_json(
        folder / RESULT,
        {
            "validation": result.validation.to_dict(),
            "test": result.test.to_dict() if result.test else None,
            "train_frames": len(frames.train),
            "epochs": len(history),
            "training_seconds": sum(row["seconds"] for row in history),
            "seconds_since_start_of_this_process": time.perf_counter() - started,
            "history": history,
        },
    )
    return result


def _check_folder(configuration: TrainingConfiguration) -> None:
    """Refuse a folder that holds another run; make one that is to be extended an unfinished one."""
    folder, path = configuration.output, configuration.output / CONFIGURATION
    if not path.exists():
        return
    earlier = read_configuration(path)
    before, now = earlier.model_dump(mode="json"), configuration.model_dump(mode="json")
    differing = [key for key in now if before[key] != now[key]]
    if not differing:
        return
    if differing != ["epochs"]:
        raise FfptError(
            f"{folder} holds a run with another configuration ({', '.join(differing)} differ): "
            "choose another output folder, or delete it"
        )
    if configuration.epochs < earlier.epochs:
        raise FfptError(f"{folder} holds a run of {earlier.epochs} epochs, which cannot become {configuration.epochs}")
    if configuration.schedule.kind == "cosine":
        raise FfptError(
            f"{folder} holds a run of {earlier.epochs} epochs whose learning rate falls along a cosine to its end: "
            f"{configuration.epochs} would be another cosine; choose another output folder, or start from its potential"
        )
    if (folder / RESULT).exists():
        if not (folder / CHECKPOINT).exists():
            raise FfptError(f"{folder} has no {CHECKPOINT} any more, from which more epochs could go on")
        (folder / RESULT).unlink()


def _fit(configuration: TrainingConfiguration, frames: Frames, metadata: dict[str, Any]) -> list[dict[str, float]]:
    """Train from the checkpoint if there is one; returns the history by epoch."""
    folder = configuration.output
    potential = starting_potential(configuration, frames.train)
    potential.metadata = metadata
    trained = rehearsing(configuration, frames, potential)
    learner = Learner(potential.to(_device(configuration)), configuration)
    batches = (FrameBatches(part, potential.cutoff) for part in (trained, frames.validation))
    loop = Loop(learner, configuration, *batches)
    if loop.converged:
        console.print(f"{folder} had converged after {len(loop.history)} epochs: its learning rate is at its end")
    try:
        with watching(folder.name, folder / "tensorboard" if configuration.tensorboard else None) as watchers:
            loop.run(watchers)
    except KeyboardInterrupt as error:
        raise FfptError(f"interrupted; the same command continues the run in {folder}") from error
    return loop.history


def _device(configuration: TrainingConfiguration) -> torch.device:
    """That of the configuration."""
    if configuration.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(configuration.device)


def _metadata(configuration: TrainingConfiguration, frames: Frames) -> dict[str, Any]:
    """The record that travels with the potential."""
    molecules = formulas(frames.train)
    named = dict(list(molecules.items())[:_NAMED_MOLECULES])
    return {
        "level": frames.train.level,
        "molecules": named,  # frames of each Hill formula
        "more_molecules": len(molecules) - len(named),
        "training": configuration.model_dump(mode="json"),
        "data": {
            name: None if part is None else {"frames": len(part), "fingerprint": part.fingerprint}
            for name, part in vars(frames).items()
        },
        "versions": {"ffpt": __version__, "torch": torch.__version__},
    }


def _finish(
    configuration: TrainingConfiguration, frames: Frames, metadata: dict[str, Any], history: list[dict[str, float]]
) -> TrainingResult:
    """Errors of the best potential, written into its record; the picture."""
    path = configuration.output / POTENTIAL
    potential = load(path, device=_device(configuration))
    validation = evaluate(potential, frames.validation)
    test = None if frames.test is None else evaluate(potential, frames.test)
    errors = {"validation": validation.to_dict(), "test": test.to_dict() if test else None}
    potential.metadata = metadata | {"epoch": potential.metadata["epoch"], "errors": errors}
    potential.save(path)
    save_figure(plot_learning_curve({configuration.output.name: history}), configuration.output / CURVE)
    return TrainingResult(potential, validation, test, history)


def _finished(configuration: TrainingConfiguration) -> TrainingResult:
    """The result of a run that ended before."""
    record = read_json(configuration.output / RESULT)
    test = record["test"]
    return TrainingResult(
        load(configuration.output / POTENTIAL),
        Errors(**record["validation"]),
        Errors(**test) if test else None,
        record["history"],
    )
