"""Files of potentials: weights and a JSON record in one safetensors file. Nothing of it is unpickled or executed."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from ffpt_core.base.errors import FfptError
from ffpt_core.base.files import atomic_write

FORMAT = "ffpt-potential"
FORMAT_VERSION = 1


def write_potential(path: str | os.PathLike[str], record: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Write weights and record to one file, atomically."""
    own = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    data = safetensors.torch.save(own, metadata={FORMAT: json.dumps(record)})
    with atomic_write(path, "wb") as stream:
        stream.write(data)


def read_potential(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The record and the weights of a file.

    Raises:
        FfptError: no such file; a truncated, foreign or pickled one; one of a newer format.
    """
    path = Path(path)
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            record = _record((file.metadata() or {}).get(FORMAT), path)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except OSError as error:
        raise FfptError(f"cannot read {path}: {error.strerror or error}") from error
    except (safetensors.SafetensorError, ValueError) as error:
        raise FfptError(f"cannot load {path}: {_refusal(path)}") from error
    if record["format_version"] > FORMAT_VERSION:
        raise FfptError(
            f"{path} has format version {record['format_version']}, written by ffpt {record['ffpt_version']}; "
            f"this ffpt reads up to {FORMAT_VERSION}: install a newer one"
        )
    return record, tensors


def _record(header: str | None, path: Path) -> dict[str, Any]:
    if header is None:
        raise FfptError(f"{path} is a safetensors file, but holds no ffpt potential")
    return json.loads(header)


def _refusal(path: Path) -> str:
    """Why a file that safetensors cannot read is none of ours."""
    start = path.open("rb").read(8)
    if start[:2] == b"PK":
        return "it is a zip archive, as torch.save or TorchScript write; ffpt loads only files of NetworkPotential.save"
    if start[:1] == b"\x80":
        return "it is a Python pickle, which could run code; ffpt loads only files of NetworkPotential.save"
    return "it is truncated or not a file of NetworkPotential.save"
