"""A training run from configuration to potential: from scratch, pre-training, fine-tuning."""

from __future__ import annotations

import dataclasses
import logging
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ffpt_core.analysis.style import save_figure
from ffpt_core.base.errors import FfptError
from ffpt_core.base.files import read_json, write_json
from ffpt_core.base.progress import console
from ffpt_core.base.version import __version__
from ffpt_core.datasets import Dataset, Split, fit_shifts, random_split, read, shift_energies
from ffpt_core.potentials.backends import choose_kernel
from ffpt_core.potentials.network_potential import Potential, load
from ffpt_core.potentials.newtonnet.network import NewtonNet
from ffpt_core.training.batches import FrameBatches, FrameNumbers, ShuffledFrames, in_order
from ffpt_core.training.configuration import TrainingConfiguration, read_configuration, write_configuration
from ffpt_core.training.evaluation import Errors, evaluate, predict
from ffpt_core.training.plots import plot_learning_curve
from ffpt_core.training.resident import ResidentFrames

_SHIFT_FRAMES = 2000
"""Frames that the shifts are fitted to: more would not change them."""

_SHARE_OF_DEVICE = 0.5
"""Of the free memory of a GPU, for frames that stay there; the rest is for steps."""

_log = logging.getLogger(__name__)

CONFIGURATION, POTENTIAL, CHECKPOINT, RESULT = "config.yaml", "potential.pt", "checkpoint.ckpt", "result.json"


@dataclass(frozen=True)
class TrainingResult:
    """What a finished run leaves: the best potential, its errors, the history by epoch."""

    potential: Potential
    validation: Errors
    test: Errors | None
    history: list[dict[str, float]]


@dataclass(frozen=True)
class Frames:
    """The divided data of a run, and what it rehearses."""

    train: Dataset
    validation: Dataset
    test: Dataset | None
    rehearsed: Dataset | None = None


def read_frames(configuration: TrainingConfiguration) -> Frames:
    """Read and divide the data, and check that every label with a weight is there.

    Raises:
        FfptError: as ffpt_core.datasets.read; too few frames; a weighted label that is missing.
    """
    data = configuration.data

    def read_one(path: Path) -> Dataset:
        dataset = read(path, energy_unit=data.energy_unit, length_unit=data.length_unit, level=data.level)
        for label, weight in (("energies", "energy_weight"), ("forces", "force_weight")):
            if getattr(configuration.loss, weight) > 0 and getattr(dataset, label) is None:
                raise FfptError(f"{path} holds no {label}, but loss.{weight} is {getattr(configuration.loss, weight)}")
        return dataset

    whole = read_one(data.train)
    if data.split is not None:
        split = Split.load(data.split)
        split.check(whole)
    else:
        n_validation = 0 if data.validation else data.n_validation
        n_train = data.n_train or len(whole) - n_validation
        split = random_split(whole, n_train, n_validation, n_test=0, seed=configuration.seed)
    validation = read_one(data.validation) if data.validation else whole[split.validation]
    if not len(validation):
        raise FfptError("no validation frames: set data.n_validation, data.validation or data.split")
    test = read_one(data.test) if data.test else (whole[split.test] if len(split.test) else None)
    return Frames(whole[split.train], validation, test, _rehearsed(configuration, read_one))


def _rehearsed(configuration: TrainingConfiguration, read_one: Callable[[Path], Dataset]) -> Dataset | None:
    """Some frames of the level of theory that the run starts from, by seed."""
    data = configuration.data
    if data.rehearse is None:
        return None
    if configuration.start is None:
        raise FfptError("data.rehearse is for fine-tuning: give the potential to start from")
    frames = read_one(data.rehearse)
    if len(frames) < data.n_rehearse:
        raise FfptError(f"{data.rehearse} holds {len(frames)} frames, not the {data.n_rehearse} of data.n_rehearse")
    return frames[np.random.default_rng(configuration.seed).permutation(len(frames))[: data.n_rehearse]]


def rehearsing(configuration: TrainingConfiguration, frames: Frames, potential: Potential) -> Dataset:
    """What an epoch trains on: the training frames, and those that are rehearsed.

    Where the shifts of the potential moved with the level of theory, rehearsed energies move with them, so that what
    the potential knows about them stays true.

    Args:
        configuration: of the run.
        frames: its data.
        potential: before the first step, as starting_potential gives it.
    """
    rehearsed = frames.rehearsed
    if rehearsed is None or configuration.start is None:
        return frames.train
    potential.check_elements(rehearsed.numbers)
    if rehearsed.energies is not None:
        moved = potential.shifts - load(configuration.start, device="cpu").shifts
        by_element = {element: float(moved[element]) for element in rehearsed.elements}
        energies = rehearsed.energies + shift_energies(rehearsed, by_element)
        rehearsed = dataclasses.replace(rehearsed, energies=energies)
    return Dataset.concatenate([frames.train, rehearsed], level=frames.train.level)


def starting_potential(configuration: TrainingConfiguration, train: Dataset) -> Potential:
    """The potential before the first step: loaded, or random, with scales and shifts that fit the data.

    The scale is a robust standard deviation of the force components, 1.4826 times their median size, so that the
    network's outputs are of order one and outliers have no say. A loaded potential gets the scale of the new data
    too, without a change of what it computes (Potential.rescale): forces of rattled frames are several times those of
    molecular dynamics, and steps of the optimiser count in units of the scale.
    Shifts are fitted by least squares to what the network, random or not, leaves of the energies.

    Raises:
        FfptError: the starting potential lacks an element of the data.
    """
    dtype = getattr(torch, configuration.precision)
    scale = 1.0 if train.forces is None else 1.4826 * float(np.median(np.abs(train.forces))) or 1.0
    if configuration.start is None:
        torch.manual_seed(configuration.seed)
        network = NewtonNet(**configuration.network.model_dump()).to(dtype)
        potential = Potential(network, train.elements, scales=dict.fromkeys(train.elements, scale))
    else:
        potential = load(configuration.start, device="cpu")
        potential.check_elements(train.numbers)
        potential.network.to(dtype)
        potential.rescale(scale / float(potential.scales[list(train.elements)].mean()))
    started_at = potential.metadata.get("level", "")
    changed = configuration.start is None or not train.level or train.level != started_at
    if train.energies is not None and (configuration.shifts == "fit" or (configuration.shifts == "auto" and changed)):
        sample = train[np.random.default_rng(configuration.seed).permutation(len(train))[:_SHIFT_FRAMES]]
        potential.set_shifts(dict.fromkeys(train.elements, 0.0))
        explained, _ = predict(potential, sample)
        potential.set_shifts(fit_shifts(dataclasses.replace(sample, energies=sample.energies - explained)))
    return potential


def train(configuration: TrainingConfiguration) -> TrainingResult:
    """Run, or continue, a training run in configuration.output.

    The folder receives config.yaml, log.csv, learning_curve.png, checkpoint.ckpt, potential.pt (the best
    weights by validation loss) and, at the end, result.json. A finished run is not repeated; a stopped one
    continues, and on a CPU ends with the weights of an unbroken run.

    Raises:
        FfptError: bad data; a folder with a run of another configuration; a full disk.
    """
    folder = configuration.output
    frames = read_frames(configuration)
    _check_folder(configuration)
    if (folder / RESULT).exists():
        console.print(f"{folder} is finished: nothing to do")
        return _finished(configuration, frames)
    write_configuration(folder / CONFIGURATION, configuration)
    if configuration.threads:
        torch.set_num_threads(configuration.threads)
    started = time.perf_counter()
    history = _fit(configuration, frames)
    result = _finish(configuration, frames, history)
    seconds = sum(row["seconds"] for row in history)
    write_json(
        folder / RESULT,
        {
            "validation": result.validation.to_dict(),
            "test": result.test.to_dict() if result.test else None,
            "train_frames": len(frames.train),
            "epochs": len(history),
            "training_seconds": seconds,
            "seconds_since_start_of_this_process": time.perf_counter() - started,
            "history": history,
        },
    )
    return result


def _check_folder(configuration: TrainingConfiguration) -> None:
    """Refuse a folder that holds another run."""
    path = configuration.output / CONFIGURATION
    if not path.exists():
        return
    before, now = read_configuration(path).model_dump(mode="json"), configuration.model_dump(mode="json")
    differing = [key for key in now if before[key] != now[key]]
    if differing:
        raise FfptError(
            f"{configuration.output} holds a run with another configuration ({', '.join(differing)} differ): "
            "choose another output folder, or delete it"
        )


def _fit(configuration: TrainingConfiguration, frames: Frames) -> list[dict[str, float]]:
    """Train from the checkpoint if there is one; returns the history by epoch."""
    import lightning

    from ffpt_core.training.callbacks import AtomicCheckpointIO, Bar, RunFiles
    from ffpt_core.training.module import PotentialModule
    from ffpt_core.training.replayed_module import ReplayedModule

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", ".*does not have many workers.*")  # a batch is made in less than its step
    folder, batch_size = configuration.output, configuration.batch_size
    potential = starting_potential(configuration, frames.train)
    potential.metadata = _metadata(configuration, frames)
    potential.train()

    accelerator = _accelerator(configuration.device)
    trained = rehearsing(configuration, frames, potential)
    train, validation = (FrameBatches(part, potential.cutoff) for part in (trained, frames.validation))
    per_epoch = configuration.frames_per_epoch or len(trained)
    total_steps = -(-per_epoch // batch_size) * configuration.epochs
    module: PotentialModule
    if replays(accelerator, train, validation):
        module = ReplayedModule(potential, configuration, total_steps, train, validation)
        at_once, validated_at_once = module.frames_at_once
        loaders = [
            _loader(FrameNumbers(len(trained)), ShuffledFrames(len(trained), at_once, per_epoch, configuration.seed)),
            _loader(FrameNumbers(len(frames.validation)), in_order(len(frames.validation), validated_at_once)),
        ]
    else:
        kernel = choose_kernel(configuration.kernel, potential) if accelerator == "cpu" else "torch"
        module = PotentialModule(potential, configuration, total_steps, kernel)
        pinned = accelerator == "gpu"  # copies that nobody waits for
        loaders = [
            _loader(train, ShuffledFrames(len(trained), batch_size, per_epoch, configuration.seed), pinned),
            _loader(validation, in_order(len(frames.validation), batch_size), pinned),
        ]
    checkpoint = folder / CHECKPOINT
    trainer = lightning.Trainer(
        accelerator=accelerator,
        devices=1,
        max_epochs=configuration.epochs,
        gradient_clip_val=configuration.gradient_clip if module.automatic_optimization else None,
        callbacks=[RunFiles(folder), Bar(folder.name, configuration.epochs, per_epoch)],
        plugins=[AtomicCheckpointIO()],
        logger=_tensorboard(folder) if configuration.tensorboard else False,
        default_root_dir=folder,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
    )
    trainer.fit(module, loaders[0], loaders[1], ckpt_path=checkpoint if checkpoint.exists() else None)
    if trainer.interrupted:
        raise FfptError(f"interrupted; the same command continues the run in {folder}")
    return module.history


def replays(accelerator: str, train: FrameBatches, validation: FrameBatches) -> bool:
    """Whether a run keeps its frames on the device and replays its steps there."""
    if accelerator != "gpu":
        return False
    needed = ResidentFrames.n_bytes(train) + ResidentFrames.n_bytes(validation)
    free, _ = torch.cuda.mem_get_info()
    if needed > _SHARE_OF_DEVICE * free:
        _log.warning(
            "the frames and their pairs (%.1f GB) would take more than half of what is free on the GPU (%.1f GB): "
            "batches are made on the CPU, and steps are slower",
            needed / 1e9,
            free / 1e9,
        )
        return False
    return True


def _loader(dataset: torch.utils.data.Dataset[Any], sampler: Any, pinned: bool = False) -> Any:
    """Of batches that the sampler names."""
    return torch.utils.data.DataLoader(dataset, sampler=sampler, batch_size=None, pin_memory=pinned)


def _accelerator(device: str) -> str:
    """Lightning's name of a device of the configuration."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return {"cuda": "gpu"}.get(device, device)


def _tensorboard(folder: Path) -> Any:
    try:
        from lightning.pytorch.loggers import TensorBoardLogger

        return TensorBoardLogger(folder, name="tensorboard", version="")
    except ModuleNotFoundError as error:
        raise FfptError('tensorboard: true needs TensorBoard: pip install "ffpt[tensorboard]"') from error


def _metadata(configuration: TrainingConfiguration, frames: Frames) -> dict[str, Any]:
    """The record that travels with the potential."""
    return {
        "level": frames.train.level,
        "training": configuration.model_dump(mode="json"),
        "data": {
            name: None if part is None else {"frames": len(part), "fingerprint": part.fingerprint}
            for name, part in vars(frames).items()
        },
        "versions": {"ffpt": __version__, "torch": torch.__version__},
    }


def _finish(configuration: TrainingConfiguration, frames: Frames, history: list[dict[str, float]]) -> TrainingResult:
    """Errors of the best potential, written into its record; the picture."""
    path = configuration.output / POTENTIAL
    potential = load(path, device=None if configuration.device == "auto" else configuration.device)
    validation = evaluate(potential, frames.validation)
    test = None if frames.test is None else evaluate(potential, frames.test)
    potential.metadata["errors"] = {
        "validation": validation.to_dict(),
        "test": test.to_dict() if test else None,
    }
    potential.save(path)
    figure = plot_learning_curve({configuration.output.name: history})
    save_figure(figure, configuration.output / "learning_curve.png")
    return TrainingResult(potential, validation, test, history)


def _finished(configuration: TrainingConfiguration, frames: Frames) -> TrainingResult:
    """The result of a run that ended before."""
    record = read_json(configuration.output / RESULT)
    potential = load(configuration.output / POTENTIAL)
    test = record["test"]
    return TrainingResult(
        potential, Errors(**record["validation"]), Errors(**test) if test else None, record["history"]
    )
