"""What a training run is: one validated record, read from YAML, with the paper's recipe as default."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import pydantic
import yaml
from pydantic import BaseModel, ConfigDict, Field

from ffpt_core.base.errors import FfptError
from ffpt_core.base.files import atomic_write
from ffpt_core.datasets import ReadOptions
from ffpt_core.potentials.backends import AUTO, backend_names
from ffpt_core.potentials.network import NETWORKS

DEFAULT_NETWORK = "newtonnet"
"""The kind of network where a configuration does not name one."""

_OLD_KERNELS = {"fused": "cpp"}
"""Names of backends in configurations of before."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DataConfiguration(ReadOptions):
    """Where the labelled frames are, how every one of their files is read, and how they are divided."""

    train: Path = Field(description="file of labelled frames: extxyz, npz of ffpt, sGDML/MD17 npz")
    validation: Path | None = Field(None, description="its own file of validation frames")
    test: Path | None = Field(None, description="file of test frames, evaluated once at the end")
    n_train: int | None = Field(None, gt=0, description="frames to train on (default: all that are left)")
    n_validation: int = Field(50, ge=0, description="frames set aside from the training file for validation")
    split: Path | None = Field(None, description="JSON of 'ffpt data split' in place of the two numbers")
    rehearse: Path | None = Field(None, description="frames that start was trained on, to go on training on some")
    n_rehearse: int = Field(100, gt=0, description="how many of them, in every epoch the same")


class LossConfiguration(_Section):
    """energy_weight * mean((E - E_label)^2) + force_weight * mean((F - F_label)^2), eV and Angstrom.

    Rattled frames of a force field have rare labels far out in the tail (two atoms on top of each other:
    hundreds of eV/Angstrom), and a squared error hands the run to them. With ``robust`` (the default is
    mse) an error beyond delta counts linearly, not squared: every frame keeps its direction, none its weight.
    """

    kind: Literal["mse", "robust"] = "mse"
    energy_weight: float = Field(1.0, ge=0)
    force_weight: float = Field(20.0, ge=0)
    energy_delta: float = Field(1.0, gt=0, description="eV; robust only")
    force_delta: float = Field(1.0, gt=0, description="eV/Angstrom; robust only")


class ScheduleConfiguration(_Section):
    """How the learning rate falls: on plateaus of the validation loss (the paper), or along a cosine."""

    kind: Literal["plateau", "cosine"] = "plateau"
    factor: float = Field(0.7, gt=0, lt=1, description="plateau: multiply by this")
    patience: int = Field(50, ge=0, description="plateau: epochs without improvement before it")
    final_fraction: float = Field(0.01, gt=0, lt=1, description="end at this part of the first rate")
    warmup: int = Field(0, ge=0, description="steps of linear rise at the start")


class TrainingConfiguration(_Section):
    """A whole run. ``start`` is what makes fine-tuning of it: the same code path, other starting weights."""

    data: DataConfiguration
    output: Path = Field(description="folder of the run")
    start: Path | None = Field(None, description="potential to start from (fine-tuning); default: random weights")
    shifts: Literal["auto", "fit", "keep"] = Field(
        "auto", description="element energies: fitted to the data, kept from start, or fitted if the level changed"
    )
    network: dict[str, Any] = Field(
        {"kind": DEFAULT_NETWORK}, validate_default=True, description="kind, and the settings of that kind of network"
    )
    loss: LossConfiguration = LossConfiguration()
    schedule: ScheduleConfiguration = ScheduleConfiguration()
    learning_rate: float | None = Field(None, gt=0, description="default: 1e-3 from random weights, 1e-4 from start")
    batch_size: int = Field(10, gt=0, description="frames")
    epochs: int = Field(1000, gt=0, description="at most")
    frames_per_epoch: int | None = Field(None, gt=0, description="validate and checkpoint this often (default: all)")
    gradient_clip: float | None = Field(None, gt=0, description="largest norm of the gradient")
    ema: float | None = Field(None, gt=0, lt=1, description="decay of the exponential average of the weights")
    precision: Literal["float32", "float64"] = "float32"
    seed: int = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int | None = Field(None, gt=0, description="CPU threads (default: all)")
    kernel: str = Field(AUTO, description="backend that computes: auto, cpp, which needs a C++ compiler, or torch")
    tensorboard: bool = Field(False, description="also write TensorBoard events")

    @pydantic.field_validator("network")
    @classmethod
    def _complete(cls, values: dict[str, Any]) -> dict[str, Any]:
        """All settings of the network, as its kind has them."""
        settings = {"kind": DEFAULT_NETWORK} | values
        kind = settings.pop("kind")
        return {"kind": kind} | NETWORKS.get(kind).Settings.model_validate(settings).model_dump(mode="json")

    @pydantic.field_validator("kernel")
    @classmethod
    def _known(cls, name: str) -> str:
        """The name that a backend has now."""
        name = _OLD_KERNELS.get(name, name)
        if name not in backend_names():
            raise ValueError(f"should be {', '.join(backend_names())}")
        return name

    @property
    def initial_rate(self) -> float:
        """The learning rate after its default is resolved."""
        return self.learning_rate or (1e-4 if self.start else 1e-3)


def _readable(error: pydantic.ValidationError, values: dict[str, Any]) -> str:
    """The first problem of validated values in one line that names the key."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"]) or "the configuration"
    if first["type"] == "extra_forbidden":
        section: Any = TrainingConfiguration
        for part in first["loc"][:-1]:
            section = section.model_fields[str(part)].annotation
        if first["loc"][0] == "network":
            section = NETWORKS.get(values["network"].get("kind", DEFAULT_NETWORK)).Settings
        return f"unknown key {key}; known here: {', '.join(section.model_fields)}"
    if first["type"] == "missing":
        return f"key {key} is missing"
    return f"key {key}: {first['msg'][0].lower()}{first['msg'][1:]}, not {first['input']!r}"


def make_configuration(values: dict[str, Any], source: str = "configuration") -> TrainingConfiguration:
    """Validate a nested dictionary.

    Raises:
        FfptError: an unknown, missing or ill-typed key, named in the message.
    """
    try:
        configuration = TrainingConfiguration.model_validate(values)
    except pydantic.ValidationError as error:
        raise FfptError(f"{source}: {_readable(error, values)}") from error
    except FfptError as error:  # of what has a name: a network, a backend
        raise FfptError(f"{source}: {error}") from error
    if configuration.start is not None and "network" in values:
        raise FfptError(f"{source}: key network is fixed by start ({configuration.start}); leave one of them out")
    return configuration


def read_configuration(path: str | os.PathLike[str], overrides: dict[str, Any] | None = None) -> TrainingConfiguration:
    """Read YAML. Relative paths in it are relative to the working directory, as on the command line.

    Args:
        path: YAML file.
        overrides: values that win over the file's, nested like it.

    Raises:
        FfptError: the file cannot be read, is not YAML, or as make_configuration.
    """
    try:
        values = yaml.safe_load(Path(path).read_text())
    except OSError as error:
        raise FfptError(f"cannot read {path}: {error.strerror or error}") from error
    except yaml.YAMLError as error:
        raise FfptError(f"{path} is not YAML: {str(error).splitlines()[0]}") from error
    if not isinstance(values, dict):
        raise FfptError(f"{path} holds no keys; a configuration needs at least data.train and output")
    return make_configuration(merge(values, overrides or {}), str(path))


def merge(values: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    """values with those of overrides in their place, section by section."""
    merged = dict(values)
    for key, value in overrides.items():
        nested = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge(merged[key], value) if nested else value
    return merged


def write_configuration(path: str | os.PathLike[str], configuration: TrainingConfiguration) -> None:
    """Write every key, defaults included, as YAML that read_configuration takes."""
    unused = {"network"} if configuration.start else None  # the starting potential fixes the network
    with atomic_write(path) as stream:
        yaml.safe_dump(configuration.model_dump(mode="json", exclude=unused), stream, sort_keys=False)
