"""A teacher: a classical force field that labels frames fast enough for pre-training."""

from __future__ import annotations

import copy
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ffpt_core.base.errors import FfptError
from ffpt_core.base.files import atomic_path, atomic_write, fingerprint, read_json, write_json
from ffpt_core.base.units import KJ_PER_MOL, NANOMETRE
from ffpt_core.potentials.interface import ISOLATED, Periodicity, Potential
from ffpt_core.teachers.system_evaluator import SystemEvaluator, reference_context
from ffpt_core.teachers.systems import TERMS, import_openmm, to_xml

if TYPE_CHECKING:
    import openmm
    from ase import Atoms
    from openmm.app import Topology

_FILES = ("system.xml", "topology.pdb", "relaxed.xyz", "teacher.json")


@dataclass(frozen=True, eq=False)
class Teacher(Potential):
    """A classical, non-reactive force field: of one molecule in vacuum, or of a periodic box of them.

    Args:
        system: OpenMM System without constraints or centre-of-mass remover, and without a cutoff in vacuum; its forces
            lie in the groups of TERMS.
        topology: atoms in the order of system, with bonds.
        atoms: the relaxed molecule, or a geometry of the box with its cell; Angstrom.
        level: level of theory, for example "GAFF-2.11".
        provenance: where it comes from (name, SMILES, charge method, versions), JSON values only.
    """

    system: openmm.System
    topology: Topology
    atoms: Atoms
    level: str
    provenance: dict[str, Any] = field(default_factory=dict)

    gives_virial = False
    frames_at_once = 5000

    def __post_init__(self) -> None:
        counts = {self.system.getNumParticles(), self.topology.getNumAtoms(), len(self.atoms)}
        if len(counts) != 1:
            raise FfptError(
                f"a teacher of {self.system.getNumParticles()} particles, {self.topology.getNumAtoms()} atoms "
                f"in its topology and {len(self.atoms)} in its relaxed structure"
            )
        for index, atom in enumerate(self.topology.atoms()):
            if atom.element is None or atom.element.atomic_number != self.atoms.numbers[index]:
                raise FfptError(f"atom {index} of the topology and of the relaxed structure are different elements")
        if self.system.usesPeriodicBoundaryConditions() != self.periodic:
            raise FfptError("a teacher whose force field is periodic needs a structure with a cell, and the reverse")
        if self.periodic:
            # Those of the structure are exact: a PDB file rounds them.
            vectors = self.atoms.cell.array / NANOMETRE
            self.topology.setPeriodicBoxVectors(vectors * import_openmm().unit.nanometer)
            self.system.setDefaultPeriodicBoxVectors(*vectors)

    @cached_property
    def elements(self) -> frozenset[int]:  # type: ignore[override]  # of its own atoms
        """Atomic numbers of its atoms."""
        return frozenset(self.atoms.numbers.tolist())

    @property
    def numbers(self) -> np.ndarray:
        """(n_atoms,) atomic numbers."""
        return self.atoms.numbers

    @property
    def periodic(self) -> bool:
        """Whether it is of a box, periodic along all its vectors."""
        return bool(self.atoms.pbc.all())

    @property
    def bonds(self) -> np.ndarray:
        """(n_bonds, 2) indices of bonded atoms, the smaller first."""
        pairs = sorted(tuple(sorted((first.index, second.index))) for first, second in self.topology.bonds())
        return np.array(pairs, dtype=int).reshape(-1, 2)

    @cached_property
    def _context(self) -> openmm.Context:
        return reference_context(self.system)

    def _evaluator(self, copies: int = 1) -> SystemEvaluator:
        cell = self.atoms.cell.array if self.periodic else None
        return SystemEvaluator(self._context, self.numbers, self.level, copies, cell)

    def _checked(self, positions: np.ndarray) -> np.ndarray:
        positions = np.asarray(positions, dtype=float)
        if positions.ndim != 3 or positions.shape[1:] != (len(self.atoms), 3):
            raise FfptError(
                f"positions of shape {positions.shape}; this teacher needs (n_frames, {len(self.atoms)}, 3)"
            )
        bad = np.flatnonzero(~np.isfinite(positions).all(axis=(1, 2)))
        if len(bad):
            raise FfptError(f"frame {bad[0]}: NaN or infinite positions")
        return positions

    def _checked_cells(self, cells: np.ndarray | None, n_frames: int) -> list[np.ndarray] | list[None]:
        """The cell of each frame, Angstrom."""
        if not self.periodic:
            if cells is not None:
                raise FfptError("this teacher is of a molecule in vacuum: its frames have no cells")
            return [None] * n_frames
        cells = self.atoms.cell.array if cells is None else np.asarray(cells, dtype=float)
        return list(np.broadcast_to(cells, (n_frames, 3, 3)))

    def energies_and_forces(
        self, positions: np.ndarray, cells: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Label frames.

        Args:
            positions: (n_frames, n_atoms, 3) Angstrom.
            cells: of a periodic teacher, (n_frames, 3, 3) or (3, 3) cell vectors as rows in OpenMM's reduced form,
                Angstrom; None: that of its own structure.

        Returns:
            (n_frames,) energies in eV and (n_frames, n_atoms, 3) forces in eV/Angstrom.

        Raises:
            FfptError: positions of another shape or not finite, a cell that is thinner than twice the cutoff or not
                reduced, or a frame where the force field itself is not finite (two atoms at one place); the message
                names the frame.
        """
        positions = self._checked(positions)
        boxes, evaluator = self._checked_cells(cells, len(positions)), self._evaluator()
        energies = np.empty(len(positions))
        forces = np.empty_like(positions)
        for index, (frame, box) in enumerate(zip(positions, boxes, strict=True)):
            energies[index], forces[index] = evaluator.single_point(frame, box)
        bad = np.flatnonzero(~(np.isfinite(energies) & np.isfinite(forces).all(axis=(1, 2))))
        if len(bad):
            raise FfptError(f"frame {bad[0]}: the energy or a force of {self.level} is not finite: atoms at one place")
        return energies, forces

    def check(
        self, numbers: Sequence[int] | np.ndarray, pbc: Periodicity = ISOLATED, *, needs_virial: bool = False
    ) -> None:
        """Refuse what it is not for.

        Raises:
            FfptError: atoms of other elements or in another order than the teacher's, periodic atoms for a teacher in
                vacuum or the reverse, or a pressure, which it does not give.
        """
        if not np.array_equal(numbers, self.numbers):
            raise FfptError(
                f"this teacher is for {self.atoms.get_chemical_formula()} in its own atom order "
                f"({self.atoms.symbols}), not for {_symbols(numbers)}"
            )
        if np.all(pbc) != self.periodic or np.any(pbc) != self.periodic:
            kind = "a periodic box" if self.periodic else "a molecule in vacuum"
            raise FfptError(f"this teacher is for {kind}, the atoms have pbc {np.asarray(pbc).tolist()}")
        super().check(numbers, pbc, needs_virial=needs_virial)

    def evaluator(
        self, numbers: Sequence[int] | np.ndarray, pbc: Periodicity = ISOLATED, copies: int = 1
    ) -> SystemEvaluator:
        """The force field, asked for one copy after the other. Raises FfptError as check."""
        self.check(numbers, pbc)
        return self._evaluator(copies)

    def openmm_system(self, topology: Topology) -> openmm.System:
        """A copy of its System, for dynamics. Raises FfptError as check for the atoms of the topology."""
        numbers = [0 if atom.element is None else atom.element.atomic_number for atom in topology.atoms()]
        self.check(numbers, (topology.getPeriodicBoxVectors() is not None,) * 3)
        return copy.deepcopy(self.system)

    def record(self) -> dict[str, Any]:
        """What teacher.json says, with the level and a fingerprint of the System."""
        text = np.frombuffer(to_xml(self.system).encode(), dtype=np.uint8)
        return {"fingerprint": fingerprint(text), "level": self.level} | self.provenance

    def save_into(self, folder: str | os.PathLike[str]) -> None:
        """Write the folder teacher/ into that of a run. Raises FfptError as save."""
        self.save(Path(folder) / "teacher")

    def energy_terms(self, positions: np.ndarray) -> dict[str, np.ndarray]:
        """Energy of each term.

        Args:
            positions: (n_frames, n_atoms, 3) Angstrom; of a periodic teacher, in its own cell.

        Returns:
            For each name of TERMS the (n_frames,) energies in eV; 1-4 interactions count as nonbonded.

        Raises:
            FfptError: positions of another shape, or not finite.
        """
        positions = self._checked(positions)
        boxes, evaluator = self._checked_cells(None, len(positions)), self._evaluator()
        terms = {name: np.empty(len(positions)) for name in TERMS}
        for index, (frame, box) in enumerate(zip(positions, boxes, strict=True)):
            for name, group in TERMS.items():
                state = evaluator.state(frame, box, energy=True, groups={group})
                terms[name][index] = state.getPotentialEnergy()._value * KJ_PER_MOL
        return terms

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write system.xml (OpenMM), topology.pdb, relaxed.xyz (Angstrom) and teacher.json into folder.

        teacher.json comes last: a folder with it is complete.

        Raises:
            FfptError: the folder cannot be written to.
        """
        import ase.io

        mm = import_openmm()
        folder = Path(folder)
        with atomic_write(folder / "system.xml") as stream:
            stream.write(to_xml(self.system))
        with atomic_write(folder / "topology.pdb") as stream:
            # Numbers without a unit are Angstrom here, unlike everywhere else in OpenMM.
            mm.app.PDBFile.writeFile(self.topology, self.atoms.positions, stream)
        with atomic_path(folder / "relaxed.xyz") as path:
            ase.io.write(path, self.atoms, format="extxyz", plain=False)
        write_json(folder / "teacher.json", {"format": "ffpt-teacher", "level": self.level, **self.provenance})

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Teacher:
        """Read a folder written by save.

        Raises:
            FfptError: a file is missing or damaged, or the folder is not a teacher's.
        """
        import ase.io

        mm = import_openmm()
        folder = Path(folder)
        missing = [name for name in _FILES if not (folder / name).is_file()]
        if missing:
            raise FfptError(f"{folder} is not the folder of a teacher: it lacks {', '.join(missing)}")
        record = read_json(folder / "teacher.json")
        if not isinstance(record, dict) or record.pop("format", None) != "ffpt-teacher":
            raise FfptError(f"{folder / 'teacher.json'} does not describe a teacher")
        try:
            system = mm.XmlSerializer.deserialize((folder / "system.xml").read_text())
            topology = mm.app.PDBFile(io.StringIO((folder / "topology.pdb").read_text())).topology
            atoms = cast("Atoms", ase.io.read(folder / "relaxed.xyz", index=0, format="extxyz"))
        except (mm.OpenMMException, ValueError, IndexError, KeyError, OSError) as error:
            raise FfptError(f"{folder} is damaged: {error}") from error
        return cls(system=system, topology=topology, atoms=atoms, level=record.pop("level"), provenance=record)

    def __reduce__(self) -> tuple[Any, ...]:
        # OpenMM objects cross to worker processes as XML.
        return _restored, (to_xml(self.system), self.topology, self.atoms, self.level, self.provenance)


def _symbols(numbers: Sequence[int] | np.ndarray) -> str:
    from ase.symbols import Symbols

    return str(Symbols(np.asarray(numbers)))


def _restored(xml: str, topology: Topology, atoms: Atoms, level: str, provenance: dict[str, Any]) -> Teacher:
    return Teacher(import_openmm().XmlSerializer.deserialize(xml), topology, atoms, level, provenance)
