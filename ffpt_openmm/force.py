"""Potentials as OpenMM forces, and Systems made of one."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ffpt_core import Potential, load
from ffpt_core.errors import FfptError
from ffpt_core.export import deployed, is_export, read_record
from ffpt_openmm.backends import choose_backend, torchforce
from ffpt_openmm.pythonforce import PotentialFunction

if TYPE_CHECKING:
    import openmm
    from openmm.app import Topology


def create_force(
    potential: Potential | str | os.PathLike[str],
    topology: Topology,
    *,
    backend: str = "auto",
    atoms: Iterable[int] | None = None,
    periodic: bool | None = None,
    force_group: int = 0,
) -> openmm.Force:
    """An OpenMM force that is the potential.

    All backends give the same numbers. TorchForce stays on the GPU there; PythonForce needs no plugin.
    What is compiled is compared with the potential first.

    Args:
        potential: a Potential, or the path of its file; with TorchForce also that of an export.
        topology: the particles of the System, in order.
        backend: "torchforce", "pythonforce", or "auto": on a CPU PythonForce, the faster one there by far where
            a C++ compiler is installed (ffpt_core.fused); TorchForce where that is missing or there is a GPU, if it
            loads. An export is always for TorchForce.
        atoms: indices of the atoms that the potential acts on, each once; None: all of them.
        periodic: evaluate in the periodic box; None: where the topology has one.
        force_group: group of the force.

    Raises:
        FfptError: an element that the potential does not know, an atom without an element, indices that are
            not in the topology, an export for other atoms, or a backend that is not installed.
    """
    export = None if isinstance(potential, Potential) or not is_export(potential) else Path(potential)
    chosen = choose_backend("torchforce" if export and backend == "auto" else backend)
    indices = None if atoms is None else _checked_indices(atoms, topology.getNumAtoms())
    numbers = _numbers(topology, indices)
    in_box = topology.getPeriodicBoxVectors() is not None if periodic is None else periodic
    if export:
        force = _exported_force(export, numbers, in_box, chosen, whole=indices is None)
    else:
        model = potential if isinstance(potential, Potential) else load(potential)
        if chosen == "torchforce":
            force = _torch_force(model, numbers, indices, in_box)
        else:
            force = _python_force(model, numbers, indices, in_box)
    force.setUsesPeriodicBoundaryConditions(in_box)
    force.setForceGroup(force_group)
    force.setName("ffpt potential")
    return force


def create_system(
    potential: Potential | str | os.PathLike[str],
    topology: Topology,
    *,
    backend: str = "auto",
    remove_cm_motion: bool = True,
    periodic: bool | None = None,
) -> openmm.System:
    """A System of the atoms of a topology, with their masses, whose only interaction is the potential.

    Args:
        potential: as in create_force.
        topology: the atoms; its box becomes that of the System.
        backend: as in create_force.
        remove_cm_motion: add a CMMotionRemover.
        periodic: as in create_force.

    Raises:
        FfptError: as create_force.
    """
    import openmm

    force = create_force(potential, topology, backend=backend, periodic=periodic)
    system = openmm.System()
    for atom in topology.atoms():
        system.addParticle(atom.element.mass)
    if force.usesPeriodicBoundaryConditions():
        system.setDefaultPeriodicBoxVectors(*topology.getPeriodicBoxVectors())
    system.addForce(force)
    if remove_cm_motion:
        system.addForce(openmm.CMMotionRemover())
    return system


def _checked_indices(atoms: Iterable[int], n_atoms: int) -> list[int]:
    indices = [int(index) for index in atoms]
    outside = next((index for index in indices if not 0 <= index < n_atoms), None)
    if outside is not None:
        raise FfptError(f"atom {outside} is not in the topology, which has atoms 0 to {n_atoms - 1}")
    if not indices or len(set(indices)) != len(indices):
        raise FfptError("the atoms of the potential must be at least one, each named once")
    return indices


def _numbers(topology: Topology, indices: list[int] | None) -> list[int]:
    listed = list(topology.atoms())
    chosen = listed if indices is None else [listed[index] for index in indices]
    bare = next((atom for atom in chosen if atom.element is None), None)
    if bare is not None:
        raise FfptError(f"atom {bare.index} ({bare.name} of {bare.residue.name}) of the topology has no element")
    if not chosen:
        raise FfptError("the topology has no atoms")
    return [atom.element.atomic_number for atom in chosen]


def _torch_force(potential: Potential, numbers: list[int], indices: list[int] | None, periodic: bool) -> openmm.Force:
    # Forces as an output spare the engine a backward pass: 10 to 20% of aspirin's time.
    module = deployed(potential, numbers, periodic=periodic, atoms=indices, outputs_forces=True)
    force = torchforce().TorchForce(module)
    force.setOutputsForces(True)
    return force


def _python_force(potential: Potential, numbers: list[int], indices: list[int] | None, periodic: bool) -> openmm.Force:
    import openmm

    force = openmm.PythonForce(PotentialFunction(potential, numbers, periodic))
    if indices is not None:
        force.setParticles(indices)
    return force


def _exported_force(path: Path, numbers: list[int], periodic: bool, backend: str, whole: bool) -> openmm.Force:
    record = read_record(path)
    if backend != "torchforce":
        raise FfptError(f"{path} is an export for TorchForce; a PythonForce needs the potential it was made from")
    if not whole:
        raise FfptError(f"{path} is an export for a whole system; a subset needs the potential it was made from")
    if record["numbers"] != numbers:
        raise FfptError(
            f"{path} is for {_formula(record['numbers'])}, the topology is {_formula(numbers)} or in another order"
        )
    if record["periodic"] != periodic:
        kinds = {True: "a periodic box", False: "an isolated molecule"}
        raise FfptError(f"{path} is for {kinds[record['periodic']]}, the topology is {kinds[periodic]}")
    force = torchforce().TorchForce(str(path))
    force.setOutputsForces(record["outputs_forces"])
    return force


def _formula(numbers: list[int]) -> str:
    from ase.formula import Formula
    from ase.symbols import Symbols

    return Formula(Symbols(np.array(numbers)).get_chemical_formula()).format("hill")
