"""What moves the atoms of a run: a potential, or a teacher, which is a System already."""

from __future__ import annotations

import copy
import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ffpt_core import NetworkPotential, load
from ffpt_core.base.errors import FfptError
from ffpt_core.base.files import fingerprint
from ffpt_core.teachers import Teacher, built_in_names, load_teacher
from ffpt_openmm.forces.backends import choose_backend, choose_platform
from ffpt_openmm.forces.create import create_system
from ffpt_openmm.forces.pythonforce import ReplicaEvaluation, evaluation
from ffpt_openmm.md.folder import RunFolder
from ffpt_openmm.md.settings import MDSettings

if TYPE_CHECKING:
    import openmm
    from ase import Atoms
    from ase.calculators.calculator import Calculator
    from openmm.app import Topology


class Model(Protocol):
    """What moves the atoms."""

    @property
    def shares(self) -> bool:
        """Whether replicas may share a Context."""

    @property
    def on_gpu(self) -> bool:
        """Whether a GPU evaluates it, on whatever platform OpenMM integrates."""

    def check(self, atoms: Atoms) -> None:
        """Refuse atoms that it is not for."""

    def resolved(self, settings: MDSettings, n_atoms: int) -> MDSettings:
        """Settings with the backend and the platform that "auto" comes to here, for so many atoms in a replica."""

    def system(self, topology: Topology, settings: MDSettings, replicas: int) -> openmm.System:
        """The System of copies of a topology, without thermostat, barostat or centre-of-mass remover."""

    def evaluation(self, atoms: Atoms, replicas: int) -> ReplicaEvaluation | None:
        """Energies of each copy from positions; None: the Context knows that of the only one."""

    def calculator(self) -> Calculator:
        """As ASE calculator."""

    def record(self) -> dict[str, Any]:
        """Its fingerprint, and where it comes from; JSON values."""

    def save(self, folder: RunFolder) -> None:
        """Write it into the folder of a run."""


@dataclass(frozen=True)
class PotentialModel:
    """A potential; replicas share Contexts.

    Args:
        potential: what moves the atoms.
    """

    potential: NetworkPotential
    shares: bool = True

    def check(self, atoms: Atoms) -> None:
        """Raises FfptError for an element that the potential never saw."""
        self.potential.check(atoms.numbers)

    @property
    def on_gpu(self) -> bool:
        """See Model."""
        return self.potential.device.type != "cpu"

    def resolved(self, settings: MDSettings, n_atoms: int) -> MDSettings:
        """See choose_backend and choose_platform."""
        platform = choose_platform(settings.platform, n_atoms)
        return dataclasses.replace(settings, backend=choose_backend(settings.backend, platform), platform=platform)

    def system(self, topology: Topology, settings: MDSettings, replicas: int) -> openmm.System:
        """As create_system; with a barostat OpenMM is told what the molecules are."""
        system = create_system(
            self.potential, topology, backend=settings.backend, remove_cm_motion=False, replicas=replicas
        )
        if settings.pressure is not None:
            system.addForce(_molecules_of(topology))
        return system

    def evaluation(self, atoms: Atoms, replicas: int) -> ReplicaEvaluation:
        """The potential itself: OpenMM knows the sum over copies only."""
        return evaluation(self.potential, atoms.numbers.tolist(), bool(atoms.pbc.any()), replicas=replicas)

    def calculator(self) -> Calculator:
        """That of the potential."""
        return self.potential.calculator()

    def record(self) -> dict[str, Any]:
        """That of the potential."""
        return self.potential.record()

    def save(self, folder: RunFolder) -> None:
        """potential.pt."""
        self.potential.save(folder.potential)


@dataclass(frozen=True)
class TeacherModel:
    """A teacher, one replica in each Context.

    Args:
        teacher: what moves the atoms.
    """

    teacher: Teacher
    shares: bool = False
    on_gpu: bool = False

    def check(self, atoms: Atoms) -> None:
        """Raises FfptError for other atoms than the teacher's, or in a cell where it has none, or the reverse."""
        if not np.array_equal(atoms.numbers, self.teacher.numbers):
            raise FfptError(
                f"the teacher is for {self.teacher.atoms.get_chemical_formula()} in its own atom order, "
                f"not for {atoms.get_chemical_formula()} in this one"
            )
        if atoms.pbc.any() != self.teacher.periodic:
            kinds = {True: "a periodic box", False: "a molecule in vacuum"}
            raise FfptError(f"the teacher is for {kinds[self.teacher.periodic]}, the topology for the other")

    def resolved(self, settings: MDSettings, n_atoms: int) -> MDSettings:
        """The forces are OpenMM's own: for a box its CPU platform is the fastest without a GPU, else Reference."""
        if settings.backend not in ("auto", "openmm"):
            raise FfptError(f"the forces of a teacher are OpenMM's own: it has no backend {settings.backend!r}")
        platform = choose_platform(settings.platform)
        if settings.platform == "auto" and platform == "Reference" and self.teacher.periodic:
            platform = choose_platform("CPU")
        return dataclasses.replace(settings, backend="openmm", platform=platform)

    def system(self, topology: Topology, settings: MDSettings, replicas: int) -> openmm.System:
        """A copy of the teacher's."""
        if replicas != 1:
            raise FfptError("a teacher runs one replica in a Context")
        return copy.deepcopy(self.teacher.system)

    def evaluation(self, atoms: Atoms, replicas: int) -> None:
        """The Context has its energy."""

    def calculator(self) -> Calculator:
        """That of the teacher."""
        return self.teacher.calculator()

    def record(self) -> dict[str, Any]:
        """That of teacher.json, with a fingerprint of the System."""
        import openmm

        xml = openmm.XmlSerializer.serialize(self.teacher.system)
        digest = fingerprint(np.frombuffer(xml.encode(), dtype=np.uint8))
        return {"fingerprint": digest, "level": self.teacher.level, **self.teacher.provenance}

    def save(self, folder: RunFolder) -> None:
        """The folder teacher/."""
        self.teacher.save(folder.teacher)


def as_model(source: NetworkPotential | Teacher | str | os.PathLike[str]) -> tuple[Model, str]:
    """What moves the atoms, and a word on where it comes from.

    Args:
        source: a potential or its file, a teacher, its folder or its name.

    Raises:
        FfptError: a file or a folder of something else.
    """
    if isinstance(source, NetworkPotential):
        return PotentialModel(source), "a Potential"
    if isinstance(source, Teacher):
        return TeacherModel(source), "a Teacher"
    name = os.fspath(source)
    if Path(name).is_dir() or (name in built_in_names() and not Path(name).exists()):
        return TeacherModel(load_teacher(name)), name
    return PotentialModel(load(name)), name


def saved_model(folder: RunFolder) -> Model:
    """What moves the atoms of a run that was prepared."""
    if folder.teacher.is_dir():
        return TeacherModel(Teacher.load(folder.teacher))
    return PotentialModel(load(folder.potential))


def _molecules_of(topology: Topology) -> openmm.Force:
    """Bonds without strength.

    A barostat moves whole molecules, which OpenMM finds by the bonds of forces. A potential has none, and a barostat
    that stretched every bond with the box would have hardly a move accepted.
    """
    import openmm

    force = openmm.HarmonicBondForce()
    for bond in topology.bonds():
        force.addBond(bond[0].index, bond[1].index, 0.0, 0.0)
    force.setUsesPeriodicBoundaryConditions(True)
    force.setName("molecules for the barostat")
    return force
