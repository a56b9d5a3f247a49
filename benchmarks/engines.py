"""The ways to run a potential in OpenMM that this installation has, found by trying ffpt's list of backends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from unittest import mock

import numpy as np
import openmm
import torch
from ase import Atoms

from benchmarks.systems import along, states, topology
from ffpt_core import NetworkPotential
from ffpt_core.base.errors import FfptError
from ffpt_core.base.units import NANOMETRE
from ffpt_openmm import create_system
from ffpt_openmm.forces.backends import BACKENDS


@dataclass(frozen=True)
class Engine:
    """A backend on one system.

    Args:
        backend: its name.
        system: what create_system made.
        evaluate: the bare force evaluation on the next geometry of the path: the very function that OpenMM calls.
        replayed: the system with CUDA graphs, where a TorchForce can record them.
    """

    backend: str
    system: openmm.System
    evaluate: Callable[[], object]
    replayed: openmm.System | None = None


def find_engines(
    potential: NetworkPotential, frames: Sequence[Atoms], copies: int = 1
) -> tuple[list[Engine], dict[str, str]]:
    """An engine for every backend of ffpt that works here, and the reason for each that does not.

    Args:
        potential: on its device.
        frames: path of geometries for the bare evaluation.
        copies: replicas of the molecule in the System (create_system's replicas).
    """
    engines, skipped = [], {}
    for backend in BACKENDS:
        if backend == "auto":
            continue
        try:
            engines.append(_engine(potential, frames, backend, copies))
        except FfptError as error:
            skipped[backend] = str(error)
    return engines, skipped


def _engine(potential: NetworkPotential, frames: Sequence[Atoms], backend: str, copies: int) -> Engine:
    functions: list[Callable[[openmm.State], Any]] = []
    make = openmm.PythonForce

    def remembering(function: Callable[[openmm.State], Any], *rest: Any) -> openmm.PythonForce:
        functions.append(function)
        return make(function, *rest)

    options: dict[str, Any] = {"replicas": copies} if copies > 1 else {}
    with mock.patch.object(openmm, "PythonForce", remembering):
        system = create_system(potential, topology(frames[0]), backend=backend, **options)
    if functions:
        return Engine(backend, system, along(functions[0], states(frames)))
    replayed = None
    if potential.device.type == "cuda" and not frames[0].pbc.any():
        replayed = create_system(potential, topology(frames[0]), backend=backend, cuda_graphs=True, **options)
    return Engine(backend, system, _of_torchforce(system, frames, potential.device), replayed)


def _of_torchforce(system: openmm.System, frames: Sequence[Atoms], device: torch.device) -> Callable[[], object]:
    """The module of a TorchForce, frozen as the plugin freezes it."""
    import openmmtorch

    force = next(force for force in system.getForces() if openmmtorch.TorchForce.isinstance(force))
    module = torch.jit.freeze(openmmtorch.TorchForce.cast(force).getModule().eval())
    positions = [torch.as_tensor(frame.positions / NANOMETRE, device=device) for frame in frames]
    if not frames[0].pbc.any():
        return along(module, positions)
    box = torch.as_tensor(np.array(frames[0].cell) / NANOMETRE, device=device)
    return along(lambda x: module(x, box), positions)


def context_of(system: openmm.System, platform: str, threads: int) -> openmm.Context:
    """A Context for Langevin dynamics so cold (1 K) and slow (0.1 fs) that the geometry hardly changes."""
    integrator = openmm.LangevinMiddleIntegrator(1.0, 2.0, 0.0001)
    integrator.setRandomNumberSeed(1)
    properties = {"Threads": str(threads)} if platform == "CPU" else {}
    return openmm.Context(system, integrator, openmm.Platform.getPlatformByName(platform), properties)


def restart(context: openmm.Context, positions: np.ndarray) -> Callable[[], None]:
    """A call that puts a Context back at positions (Angstrom) with velocities of 1 K."""

    def back() -> None:
        context.setPositions(positions / NANOMETRE)
        context.setVelocitiesToTemperature(1.0, 1)

    return back
