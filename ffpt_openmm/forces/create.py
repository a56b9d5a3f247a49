"""Potentials as OpenMM forces, and Systems made of one."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard, cast

import numpy as np

from ffpt_core.base.errors import FfptError
from ffpt_core.export.torchscript import deployed, is_export, read_record
from ffpt_core.potentials.fixed_atoms import ALL_PAIRS_UP_TO
from ffpt_core.potentials.interface import Potential
from ffpt_core.potentials.network_potential import NetworkPotential
from ffpt_core.potentials.sources import Source, open_potential
from ffpt_openmm.forces.backends import choose_backend, torchforce
from ffpt_openmm.forces.pythonforce import PotentialFunction
from ffpt_openmm.forces.systems import HasSystem, bare_system, numbers_of

if TYPE_CHECKING:
    import openmm
    from openmm.app import Topology


def create_force(
    potential: Source,
    topology: Topology,
    *,
    backend: str = "auto",
    atoms: Iterable[int] | None = None,
    periodic: bool | None = None,
    replicas: int = 1,
    cuda_graphs: bool = False,
    force_group: int = 0,
) -> openmm.Force:
    """An OpenMM force that is the potential.

    All backends give the same numbers. TorchForce stays on the GPU there; PythonForce needs no plugin, and serves
    every potential. What is compiled is compared with the potential first.

    Args:
        potential: a potential, or what open_potential opens; with TorchForce also the path of an export.
        topology: the particles of the System, or of one copy, in order.
        backend: "torchforce", "pythonforce", or "auto": PythonForce, unless the potential is a network for which
            there is nothing faster than PyTorch where it is (ffpt_core.potentials.backends) and openmmtorch loads.
            An export is always for TorchForce.
        atoms: indices of the atoms that the potential acts on, each once; None: all of them.
        periodic: evaluate in the periodic box; None: where the topology has one.
        replicas: copies of the topology that the System holds, one after the other. Copies do not see each other,
            wherever they are, and share the box; the energy is the sum.
        cuda_graphs: have a TorchForce record its kernels once on a GPU and replay them; other platforms ignore it. For
            isolated molecules up to ffpt_core.potentials.fixed_atoms.ALL_PAIRS_UP_TO atoms, whose shapes never change.
        force_group: group of the force.

    Raises:
        FfptError: what the potential cannot do, such as an element that it does not know; an atom without an element,
            indices that are not in the topology, an export for other atoms, a backend that is not installed or not for
            the potential, or CUDA graphs of what cannot be recorded.
    """
    if replicas < 1:
        raise FfptError(f"there must be at least one replica, not {replicas}")
    indices = None if atoms is None else _checked_indices(atoms, topology.getNumAtoms())
    numbers = numbers_of(topology, indices)
    in_box = topology.getPeriodicBoxVectors() is not None if periodic is None else periodic
    if _is_export(potential):
        if replicas > 1:
            raise FfptError(f"{potential} is an export for one copy; replicas need the potential it was made from")
        chosen = "torchforce" if backend == "auto" else backend
        force = _exported_force(Path(potential), numbers, in_box, chosen, whole=indices is None)
    else:
        model = open_potential(potential)
        chosen = _choose_force(model, backend)
        particles = None if indices is None else _in_all_copies(indices, topology.getNumAtoms(), replicas)
        if chosen == "torchforce":
            force = _torch_force(cast(NetworkPotential, model), numbers, particles, in_box, replicas)
        else:
            force = _python_force(model, numbers, particles, in_box, replicas)
    if cuda_graphs:
        if chosen != "torchforce" or in_box or len(numbers) > ALL_PAIRS_UP_TO:
            raise FfptError(
                f"CUDA graphs are for a TorchForce of an isolated molecule of at most {ALL_PAIRS_UP_TO} atoms"
            )
        force.setProperty("useCUDAGraphs", "true")
    force.setUsesPeriodicBoundaryConditions(in_box)
    force.setForceGroup(force_group)
    force.setName("ffpt potential")
    return force


def create_system(
    potential: Source,
    topology: Topology,
    *,
    backend: str = "auto",
    remove_cm_motion: bool | None = None,
    periodic: bool | None = None,
    replicas: int = 1,
    cuda_graphs: bool = False,
) -> openmm.System:
    """A System of the atoms of a topology, with their masses, whose only interaction is the potential.

    OpenMM's CMMotionRemover acts on the System as a whole: several copies would exchange momentum through it, so they
    get none. Under Langevin dynamics the centre of mass of each copy then diffuses as a free particle. Its motion is
    independent of everything else in the copy, exactly, and may be subtracted when trajectories are analysed.

    Args:
        potential: as in create_force.
        topology: the atoms of one copy; its box becomes that of the System.
        backend: as in create_force; besides "openmm", which "auto" is for what has forces of OpenMM's own, such as a
            teacher: its System is then that of the potential.
        remove_cm_motion: add a CMMotionRemover; None: for a single copy.
        periodic: as in create_force.
        replicas: copies of the topology, one after the other (see replicate for a Topology of all of them).
        cuda_graphs: as in create_force.

    Raises:
        FfptError: as create_force; a CMMotionRemover for several copies.
    """
    import openmm

    if remove_cm_motion and replicas > 1:
        raise FfptError("a CMMotionRemover would couple the replicas: their centres of mass must move freely")
    if not _is_export(potential):
        potential = open_potential(potential)
    alone = replicas == 1 and periodic is None and not cuda_graphs
    if alone and backend in ("auto", "openmm") and isinstance(potential, HasSystem):
        system = potential.openmm_system(topology)
    else:
        force = create_force(
            potential, topology, backend=backend, periodic=periodic, replicas=replicas, cuda_graphs=cuda_graphs
        )
        system = bare_system(topology, [force], replicas)
    if replicas == 1 if remove_cm_motion is None else remove_cm_motion:
        system.addForce(openmm.CMMotionRemover())
    return system


def replicate(topology: Topology, replicas: int) -> Topology:
    """A topology that holds copies of another one, as a System of create_system with replicas does.

    For what reports on the whole System, such as OpenMM's reporters. Positions: ``np.tile(positions, (replicas, 1))``,
    or any others: copies may lie on top of each other.
    """
    from openmm import app

    copies = app.Topology()
    copies.setPeriodicBoxVectors(topology.getPeriodicBoxVectors())
    for _ in range(replicas):
        atoms = {}
        for chain in topology.chains():
            new_chain = copies.addChain()
            for residue in chain.residues():
                new_residue = copies.addResidue(residue.name, new_chain, residue.id, residue.insertionCode)
                for atom in residue.atoms():
                    atoms[atom] = copies.addAtom(atom.name, atom.element, new_residue)
        for bond in topology.bonds():
            copies.addBond(atoms[bond[0]], atoms[bond[1]], bond.type, bond.order)
    return copies


def _is_export(potential: Source) -> TypeGuard[str | os.PathLike[str]]:
    """Whether it is the file of an export for TorchForce, which holds a potential that only a TorchForce runs."""
    return isinstance(potential, str | os.PathLike) and is_export(potential)


def _choose_force(potential: Potential, backend: str) -> str:
    """A backend that is one force: what has a System is called back like any other potential."""
    if backend == "openmm":
        raise FfptError("forces of OpenMM's own are no single force: use create_system")
    auto = backend == "auto" and isinstance(potential, HasSystem)
    return choose_backend(potential, "pythonforce" if auto else backend)


def _in_all_copies(indices: list[int], n_atoms: int, replicas: int) -> list[int]:
    return [index + copy * n_atoms for copy in range(replicas) for index in indices]


def _checked_indices(atoms: Iterable[int], n_atoms: int) -> list[int]:
    indices = [int(index) for index in atoms]
    outside = next((index for index in indices if not 0 <= index < n_atoms), None)
    if outside is not None:
        raise FfptError(f"atom {outside} is not in the topology, which has atoms 0 to {n_atoms - 1}")
    if not indices or len(set(indices)) != len(indices):
        raise FfptError("the atoms of the potential must be at least one, each named once")
    return indices


def _torch_force(
    potential: NetworkPotential, numbers: list[int], particles: list[int] | None, periodic: bool, replicas: int
) -> openmm.Force:
    # Forces as an output spare the engine a backward pass: 10 to 20% of aspirin's time.
    module = deployed(potential, numbers, periodic=periodic, atoms=particles, outputs_forces=True, replicas=replicas)
    force = torchforce().TorchForce(module)
    force.setOutputsForces(True)
    return force


def _python_force(
    potential: Potential, numbers: list[int], particles: list[int] | None, periodic: bool, replicas: int
) -> openmm.Force:
    import openmm

    force = openmm.PythonForce(PotentialFunction(potential, numbers, periodic, replicas=replicas))
    if particles is not None:
        force.setParticles(particles)
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
