"""OpenMM Systems as potentials: any System of the user's, and every potential of OpenMM-ML."""

from __future__ import annotations

import copy
import hashlib
import io
import os
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from ase.formula import Formula
from ase.symbols import Symbols

from ffpt_core.base.errors import FfptError
from ffpt_core.base.files import atomic_write, fingerprint, read_json, write_json
from ffpt_core.base.units import NANOMETRE
from ffpt_core.potentials import calculator_potential
from ffpt_core.potentials.evaluation import ISOLATED, Periodicity
from ffpt_core.potentials.interface import Potential
from ffpt_core.potentials.sources import name_of
from ffpt_core.teachers.system_evaluator import SystemEvaluator, reference_context
from ffpt_core.teachers.systems import to_xml
from ffpt_openmm.forces.systems import numbers_of, topology_of

if TYPE_CHECKING:
    import openmm
    from openmm.app import Topology

FOLDER = "system"
"""Its folder in that of a run."""

_FILES = ("system.xml", "topology.pdb", "system.json")
_FORMAT = "ffpt-system"
_PLACEHOLDER = 100.0 * np.eye(3)
"""Angstrom: the box of a System that is periodic, before the first frame says its own."""


class SystemPotential(Potential):
    """An OpenMM System, with whatever forces it has.

    Args:
        system: all of its particles are atoms that move: no constraints, no virtual sites; a centre-of-mass remover
            is left out.
        topology: its atoms in order, and its box.
        level: level of theory, "" where it is unknown.

    Raises:
        FfptError: other atoms in the topology than in the System; constraints, virtual sites, a thermostat, a barostat.
    """

    gives_virial = False

    def __init__(self, system: openmm.System, topology: Topology, level: str = "") -> None:
        self.system = _forces_only(copy.deepcopy(system))
        self.topology = topology
        self.level = level
        self.numbers = np.array(numbers_of(topology))
        self.periodic = system.usesPeriodicBoundaryConditions()
        self.elements = frozenset(self.numbers.tolist())
        if len(self.numbers) != system.getNumParticles():
            raise FfptError(
                f"a System of {system.getNumParticles()} particles, and {len(self.numbers)} atoms in its topology"
            )
        if self.periodic != (topology.getPeriodicBoxVectors() is not None):
            raise FfptError("a periodic System needs a topology with a box, and the reverse")

    def check(
        self, numbers: Sequence[int] | np.ndarray, pbc: Periodicity = ISOLATED, *, needs_virial: bool = False
    ) -> None:
        """Refuse what it is not for.

        Raises:
            FfptError: other atoms or another order, a box where it has none or the reverse, or a pressure.
        """
        if not np.array_equal(numbers, self.numbers):
            raise FfptError(
                f"the System is for {_formula(self.numbers)} in its own atom order, not for {_formula(numbers)}"
            )
        if np.all(pbc) != self.periodic or np.any(pbc) != self.periodic:
            kind = "a periodic box" if self.periodic else "a molecule in vacuum"
            raise FfptError(f"the System is for {kind}, the atoms have pbc {np.asarray(pbc).tolist()}")
        super().check(numbers, pbc, needs_virial=needs_virial)

    @cached_property
    def _context(self) -> openmm.Context:
        return reference_context(self.system)

    def evaluator(
        self, numbers: Sequence[int] | np.ndarray, pbc: Periodicity = ISOLATED, copies: int = 1
    ) -> SystemEvaluator:
        """The System, asked for one copy after the other. Raises FfptError as check."""
        self.check(numbers, pbc)
        return SystemEvaluator(self._context, self.numbers, self.level or "the System", copies, self._cell)

    @property
    def _cell(self) -> np.ndarray | None:
        vectors = self.topology.getPeriodicBoxVectors()
        return None if vectors is None else NANOMETRE * np.array([list(vector) for vector in vectors._value])

    def openmm_system(self, topology: Topology) -> openmm.System:
        """A copy of it. Raises FfptError as check for the atoms of the topology."""
        self.check(numbers_of(topology), (topology.getPeriodicBoxVectors() is not None,) * 3)
        return copy.deepcopy(self.system)

    def record(self) -> dict[str, Any]:
        """Its level, and a fingerprint of its text."""
        text = np.frombuffer(to_xml(self.system).encode(), dtype=np.uint8)
        return {"fingerprint": fingerprint(text), "level": self.level}

    def save_into(self, folder: str | os.PathLike[str]) -> None:
        """Write system/ into the folder of a run: system.xml (OpenMM), topology.pdb and, last, system.json.

        Raises:
            FfptError: a PythonForce, which only a pickle could hold; the folder cannot be written to.
        """
        from openmm import app

        text, place = to_xml(self.system), Path(folder) / FOLDER
        _refuse_pickles(text, "the System")
        with atomic_write(place / "system.xml") as stream:
            stream.write(text)
        with atomic_write(place / "topology.pdb") as stream:
            app.PDBFile.writeFile(self.topology, np.zeros((len(self.numbers), 3)), stream)
        write_json(place / "system.json", {"format": _FORMAT, "level": self.level})

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> SystemPotential:
        """Read a folder: system.xml and topology.pdb of any OpenMM System, and system.json with its level, if there.

        Raises:
            FfptError: a file is missing or damaged; a PythonForce, whose reading would execute a pickle.
        """
        import openmm
        from openmm import app

        folder = Path(folder)
        missing = [name for name in _FILES[:2] if not (folder / name).is_file()]
        if missing:
            raise FfptError(f"{folder} is not the folder of an OpenMM System: it lacks {', '.join(missing)}")
        record = read_json(folder / _FILES[2]) if (folder / _FILES[2]).is_file() else {}
        text = (folder / _FILES[0]).read_text()
        _refuse_pickles(text, str(folder / _FILES[0]))
        try:
            system = openmm.XmlSerializer.deserialize(text)
            topology = app.PDBFile(io.StringIO((folder / _FILES[1]).read_text())).topology
        except (openmm.OpenMMException, ValueError, IndexError, KeyError) as error:
            raise FfptError(f"{folder} is damaged: {error}") from error
        if system.usesPeriodicBoundaryConditions():  # the PDB file rounds them
            topology.setPeriodicBoxVectors(system.getDefaultPeriodicBoxVectors())
        return cls(system, topology, record.get("level", ""))

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (to_xml(self.system), self.topology, self.level)


class OpenMMMLPotential(Potential):
    """A potential of OpenMM-ML by its name. The System is made for each list of atoms.

    Args:
        name: as MLPotential takes it.
        arguments: of MLPotential, and of its createSystem.

    Raises:
        FfptError: OpenMM-ML is not installed, or does not know the name.
    """

    gives_virial = False

    def __init__(self, name: str, arguments: dict[str, Any]) -> None:
        self.level = name
        self.source = name_of("openmm-ml", name, arguments)
        self.name, self.arguments = name, dict(arguments)
        self.on_gpu = "cuda" in str(arguments.get("device", ""))
        self._make()

    def _make(self) -> Any:
        try:
            from openmmml import MLPotential
        except ImportError as error:
            raise FfptError(f'OpenMM-ML is not there ({error}): pip install "ffpt[openmm-ml]"') from error
        try:
            return MLPotential(self.name, **self.arguments)
        except FfptError:
            raise
        except Exception as error:  # a package of any kind is imported and a model of any kind is read there
            raise FfptError(f"{self.source} cannot be had: {_line(error)}") from error

    def openmm_system(self, topology: Topology) -> openmm.System:
        """The System of OpenMM-ML for a topology.

        Raises:
            FfptError: what OpenMM-ML says, such as a package that it lacks or an element that its potential lacks.
        """
        potential = self._make()
        try:
            return _forces_only(potential.createSystem(topology, removeCMMotion=False))
        except FfptError:
            raise
        except Exception as error:
            raise FfptError(f"{self.source} cannot be had: {_line(error)}") from error

    def evaluator(
        self, numbers: Sequence[int] | np.ndarray, pbc: Periodicity = ISOLATED, copies: int = 1
    ) -> SystemEvaluator:
        """The System of bare atoms, asked for one copy after the other. Raises FfptError as openmm_system."""
        self.check(numbers, pbc)
        cell = _PLACEHOLDER if np.any(pbc) else None
        atoms = Atoms(np.asarray(numbers), np.zeros((len(numbers), 3)), cell=cell, pbc=pbc)
        context = reference_context(self.openmm_system(topology_of(atoms)))
        return SystemEvaluator(context, atoms.numbers, self.source, copies, cell)

    def record(self) -> dict[str, Any]:
        """Its name, and a fingerprint of that."""
        digest = hashlib.sha256(self.source.encode()).hexdigest()
        return {"fingerprint": digest, "level": self.level, "source": self.source}

    def save_into(self, folder: str | os.PathLike[str]) -> None:
        """Write potential.json, which holds the name that opens it again."""
        record = {"format": calculator_potential.FORMAT, **self.record()}
        write_json(Path(folder) / calculator_potential.FILE, record)


def open_openmm_ml(name: str, arguments: dict[str, Any], device: object = None) -> OpenMMMLPotential:
    """A potential of OpenMM-ML. Raises FfptError where there is none."""
    given = dict(arguments)
    if device is not None:
        given.setdefault("device", str(device))
    return OpenMMMLPotential(name, given)


def open_system(name: str, arguments: dict[str, Any], device: object = None) -> SystemPotential:
    """The OpenMM System in a folder. Raises FfptError as SystemPotential.load; arguments, of which it takes none."""
    if arguments:
        raise FfptError(f"openmm:{name} takes no arguments, not {', '.join(arguments)}")
    return SystemPotential.load(name)


def _forces_only(made: openmm.System) -> openmm.System:
    """The System, less what moves the centre of mass; whatever else is no potential is refused."""
    if made.getNumConstraints():
        raise FfptError("a System with constraints is no potential: make it with constraints=None, rigidWater=False")
    if any(made.isVirtualSite(index) for index in range(made.getNumParticles())):
        raise FfptError("a System with virtual sites is no potential of atoms")
    for index in reversed(range(made.getNumForces())):
        kind = type(made.getForce(index)).__name__
        if kind == "CMMotionRemover":
            made.removeForce(index)
        elif "Barostat" in kind or "Thermostat" in kind:
            raise FfptError(f"a System with a {kind} is no potential: leave it to the settings of the run")
    return made


def _refuse_pickles(text: str, what: str) -> None:
    try:
        elements = ElementTree.fromstring(text).iter()
    except ElementTree.ParseError as error:
        raise FfptError(f"{what} is no XML: {error}") from error
    if any(element.get("type") == "PythonForce" for element in elements):
        raise FfptError(f"{what} has a PythonForce, a pickle that could do anything when it is read: it is not")


def _formula(numbers: Sequence[int] | np.ndarray) -> str:
    return Formula(Symbols(np.array(numbers)).get_chemical_formula()).format("hill")


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _restored(xml: str, topology: Topology, level: str) -> SystemPotential:
    import openmm

    return SystemPotential(openmm.XmlSerializer.deserialize(xml), topology, level)
