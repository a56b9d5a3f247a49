"""TorchScript files for OpenMM: ``openmmtorch.TorchForce("force.pt")`` in a script that has no ffpt.

The file takes positions in nm and returns kJ/mol. It carries a JSON record, which read_record reads without
running anything of the file. It stays on the CPU; the engine moves it to the device of its platform.
"""

from __future__ import annotations

import copy
import io
import json
import os
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms

from ffpt_core.base.errors import FfptError
from ffpt_core.base.files import atomic_write
from ffpt_core.base.units import KJ_PER_MOL, KJ_PER_MOL_NM, NANOMETRE
from ffpt_core.export.openmm_module import EnergyModule, ForceModule
from ffpt_core.potentials.agreement import GeometryEvaluation, check_evaluation, probe_geometries
from ffpt_core.potentials.network_potential import NetworkPotential

ENGINES: tuple[str, ...] = ("openmm",)
"""Engines that export writes files for."""

FORMAT = "ffpt-export"
FORMAT_VERSION = 1
_RECORD = "ffpt.json"


def compile_module(module: torch.nn.Module) -> torch.jit.ScriptModule:
    """TorchScript of a module.

    Not frozen: TorchForce does that itself when a simulation starts, and a module frozen twice gains nothing.

    Raises:
        FfptError: this PyTorch has no TorchScript compiler any more.
    """
    with warnings.catch_warnings():
        # PyTorch announces the end of TorchScript; users of a simulation can do nothing about it.
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            return torch.jit.script(module.eval())
        except (RuntimeError, AttributeError) as error:
            raise FfptError(
                f"PyTorch {torch.__version__} cannot compile the potential to TorchScript: {error}"
            ) from error


def engine_evaluation(module: torch.nn.Module) -> GeometryEvaluation:
    """An EnergyModule or a ForceModule of all atoms, compiled or not, in ASE's units."""

    def evaluate(positions: np.ndarray, cell: np.ndarray | None) -> tuple[float, np.ndarray]:
        box = () if cell is None else (torch.as_tensor(cell / NANOMETRE),)
        x = torch.as_tensor(positions / NANOMETRE).requires_grad_(True)
        result = module(x, *box)
        energy, forces = result if isinstance(result, tuple) else (result, -torch.autograd.grad(result, x)[0])
        return energy.item() * KJ_PER_MOL, forces.detach().cpu().numpy() * KJ_PER_MOL_NM

    return evaluate


def check_module(
    module: torch.nn.Module, potential: NetworkPotential, frames: Sequence[Atoms], replicas: int = 1
) -> tuple[float, float]:
    """check_evaluation of an EnergyModule or a ForceModule, compiled or not."""
    return check_evaluation(engine_evaluation(module), potential, frames, replicas)


def deployed(
    potential: NetworkPotential,
    numbers: Sequence[int],
    *,
    periodic: bool = False,
    atoms: Sequence[int] | None = None,
    outputs_forces: bool = False,
    positions: np.ndarray | None = None,
    replicas: int = 1,
) -> torch.jit.ScriptModule:
    """The compiled module for a list of atoms, checked against the potential.

    Args:
        potential: what to compile; it is left as it is.
        numbers: atomic numbers of the atoms it is for, of one copy.
        periodic: forward takes box vectors.
        atoms: indices of the atoms of all copies among the particles of the engine; None where they are all.
        outputs_forces: forward returns (energy, forces) instead of an energy for autograd.
        positions: (n_atoms, 3) Angstrom, of a typical geometry, for the check.
        replicas: number of copies.

    Raises:
        FfptError: an element that the potential does not know; a compiled module that differs from it.
    """
    numbers = [int(z) for z in numbers]
    potential.check(numbers)
    kind = ForceModule if outputs_forces else EnergyModule
    frames = probe_geometries(numbers, periodic, positions)
    # The check is for what an engine runs: frozen. A subset of an engine's particles is only gathered and scattered.
    checked = compile_module(kind(potential, frames[0].numbers.tolist(), None, periodic, replicas))
    check_module(torch.jit.freeze(checked), potential, frames, replicas)
    return compile_module(kind(potential, numbers, atoms, periodic, replicas))


def export_torchscript(
    potential: NetworkPotential,
    numbers: Sequence[int],
    path: str | os.PathLike[str],
    *,
    periodic: bool = False,
    outputs_forces: bool = False,
    positions: np.ndarray | None = None,
) -> dict[str, Any]:
    """Write a file that works as ``openmmtorch.TorchForce(path)`` with no ffpt installed.

    Nothing is written when the compiled potential differs from the original one (see check_module).

    Args:
        potential: what to export.
        numbers: atomic numbers of all particles of the simulation, in their order.
        path: the file.
        periodic: for a box; the script then calls setUsesPeriodicBoundaryConditions(True).
        outputs_forces: for scripts that call setOutputsForces(True), 10 to 20% faster; a plain TorchForce
            cannot use such a file.
        positions: (n_atoms, 3) Angstrom, of a typical geometry, for the comparison.

    Returns:
        The record in the file.

    Raises:
        FfptError: unknown element; the file cannot be written; a compiled module that differs.
    """
    on_cpu = potential if potential.device.type == "cpu" else copy.deepcopy(potential).cpu()
    module = deployed(on_cpu, numbers, periodic=periodic, outputs_forces=outputs_forces, positions=positions)
    record = {
        **on_cpu.description(),
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "engine": "openmm",
        "units": {"length": "nm", "energy": "kJ/mol"},
        "numbers": [int(z) for z in numbers],
        "periodic": periodic,
        "outputs_forces": outputs_forces,
        "torch_version": torch.__version__,
    }
    buffer = io.BytesIO()
    torch.jit.save(module, buffer, _extra_files={_RECORD: json.dumps(record)})
    with atomic_write(path, "wb") as stream:
        stream.write(buffer.getvalue())
    return record


def read_record(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The JSON record of an exported file. Nothing in the file is run.

    Raises:
        FfptError: no such file, or it was not written by export_torchscript.
    """
    path = Path(path)
    try:
        with zipfile.ZipFile(path) as archive:
            name = next((name for name in archive.namelist() if name.endswith(f"/extra/{_RECORD}")), None)
            if name is None:
                raise FfptError(f"{path} holds no record of ffpt: it was not written by 'ffpt export'")
            record = json.loads(archive.read(name))
    except OSError as error:
        raise FfptError(f"cannot read {path}: {error.strerror or error}") from error
    except (zipfile.BadZipFile, ValueError) as error:
        raise FfptError(f"{path} is truncated or not a file of 'ffpt export': {error}") from error
    if record.get("format") != FORMAT:
        raise FfptError(f"{path} was not written by 'ffpt export'")
    return record


def is_export(path: str | os.PathLike[str]) -> bool:
    """Whether path is a zip archive, as exported files are (and files of NetworkPotential.save are not)."""
    return zipfile.is_zipfile(path)
