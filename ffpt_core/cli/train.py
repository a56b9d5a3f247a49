"""ffpt train: from scratch, pre-training, fine-tuning."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ffpt_core.cli.output import show
from ffpt_core.cli.reading import EnergyKey, EnergyUnit, ForcesKey, LengthUnit, Level


def train(
    configuration: Annotated[
        Path | None, typer.Argument(help="YAML file; the options below win over it.", show_default=False)
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Labelled frames to train on (extxyz, npz).")] = None,
    n_train: Annotated[int | None, typer.Option(help="Frames to train on.")] = None,
    n_validation: Annotated[int | None, typer.Option(help="Frames set aside for validation.")] = None,
    validation: Annotated[Path | None, typer.Option(help="Their own file of validation frames.")] = None,
    test: Annotated[Path | None, typer.Option(help="Frames to test on at the end.")] = None,
    split: Annotated[Path | None, typer.Option(help="JSON of ffpt data split, in place of the two numbers.")] = None,
    start: Annotated[Path | None, typer.Option(help="Potential to fine-tune; without it: random weights.")] = None,
    rehearse: Annotated[
        Path | None, typer.Option(help="Frames that START was trained on, to go on training on some of them.")
    ] = None,
    n_rehearse: Annotated[int | None, typer.Option(help="How many of them; default 100.")] = None,
    shifts: Annotated[
        str | None, typer.Option(help="Energies of the elements: auto, fit, or keep, for data with their zero.")
    ] = None,
    n_features: Annotated[int | None, typer.Option(help="Of a new network; default 128.")] = None,
    n_layers: Annotated[int | None, typer.Option(help="Of a new network; default 3.")] = None,
    cutoff: Annotated[float | None, typer.Option(help="Of a new network, Angstrom; default 5.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder of the run.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs, at most.")] = None,
    frames_per_epoch: Annotated[int | None, typer.Option(help="Validate and checkpoint after so many frames.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="First learning rate.")] = None,
    schedule: Annotated[str | None, typer.Option(help="How it falls: plateau or cosine.")] = None,
    warmup: Annotated[int | None, typer.Option(help="Steps over which it rises at the start.")] = None,
    loss: Annotated[str | None, typer.Option(help="mse, or robust for the labels of rattled frames.")] = None,
    energy_weight: Annotated[
        float | None, typer.Option(help="Of energies in the loss, forces have 20; default 1, less for large boxes.")
    ] = None,
    energy_delta: Annotated[float | None, typer.Option(help="eV from where robust is linear; default 1.")] = None,
    force_delta: Annotated[float | None, typer.Option(help="The same of forces, eV/Angstrom; default 1.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Frames in a batch.")] = None,
    gradient_clip: Annotated[float | None, typer.Option(help="Largest norm of the gradient.")] = None,
    ema: Annotated[float | None, typer.Option(help="Decay of averaged weights, e.g. 0.999.")] = None,
    precision: Annotated[str | None, typer.Option(help="float32 or float64.")] = None,
    energy_unit: EnergyUnit = None,
    length_unit: LengthUnit = None,
    energy_key: EnergyKey = None,
    forces_key: ForcesKey = None,
    level: Level = None,
    seed: Annotated[int | None, typer.Option(help="Of the weights, the division of the data and their order.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda.")] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads.")] = None,
    kernel: Annotated[str | None, typer.Option(help="What computes: auto, cpp (needs a compiler) or torch.")] = None,
) -> None:
    """Train a potential; the same command continues a run that was stopped, and more --epochs extend one that ended.

    The defaults are the recipe of Yuan and Head-Gordon (arXiv 2509.14205). All keys of the YAML file are
    in config.yaml of any run and in docs/training.md.

    \b
    Examples:
      ffpt train finetune.yaml
      ffpt train --data aspirin-gaff.npz --loss robust -o pretrained/
      ffpt train --data h2.npz --split split.json --batch-size 50 -o scratch/
      ffpt train --data ccsd.xyz --n-train 950 --start pretrained/potential.pt -o finetuned/
    """
    from ffpt_core.base.errors import FfptError
    from ffpt_core.training import make_configuration, read_configuration
    from ffpt_core.training import train as run_training

    sections: dict[str, dict[str, Any]] = {
        "data": {
            "train": data,
            "n_train": n_train,
            "n_validation": n_validation,
            "validation": validation,
            "test": test,
            "split": split,
            "rehearse": rehearse,
            "n_rehearse": n_rehearse,
            "energy_unit": energy_unit,
            "length_unit": length_unit,
            "energy_key": energy_key,
            "forces_key": forces_key,
            "level": level,
        },
        "network": {"n_features": n_features, "n_layers": n_layers, "cutoff": cutoff},
        "schedule": {"kind": schedule, "warmup": warmup},
        "loss": {
            "kind": loss,
            "energy_weight": energy_weight,
            "energy_delta": energy_delta,
            "force_delta": force_delta,
        },
    }
    top = {
        "start": start, "shifts": shifts, "output": output, "epochs": epochs, "frames_per_epoch": frames_per_epoch,
        "learning_rate": learning_rate, "batch_size": batch_size, "gradient_clip": gradient_clip,
        "ema": ema, "precision": precision,
        "seed": seed, "device": device, "threads": threads, "kernel": kernel,
    }  # fmt: skip
    given: dict[str, Any] = {key: value for key, value in top.items() if value is not None}
    for name, section in sections.items():
        kept = {key: value for key, value in section.items() if value is not None}
        if kept:
            given[name] = kept
    if configuration is None and (data is None or output is None):
        raise FfptError("ffpt train needs a YAML file, or --data and --output; see ffpt train --help")
    settings = read_configuration(configuration, given) if configuration else make_configuration(given, "options")
    result = run_training(settings)
    errors = {"validation": result.validation, "test": result.test}
    found = {name: one for name, one in errors.items() if one is not None}
    path = settings.output / "potential.pt"
    show(
        {"potential": path, "epochs": len(result.history)} | {name: one.to_dict() for name, one in found.items()},
        *(f"{name}: {one.describe()}" for name, one in found.items()),
        f"potential: {path}",
    )
