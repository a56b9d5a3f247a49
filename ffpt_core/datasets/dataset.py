"""The exchange type for labelled frames: one record of flat arrays for molecules of any size.

A list of ``ase.Atoms`` costs about 5 kB and 10 us a frame; 100,000 rattled frames want flat arrays instead.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, overload

import numpy as np

from ffpt_core.errors import FfptError
from ffpt_core.files import fingerprint

if TYPE_CHECKING:
    from ase import Atoms

MAX_ATOMIC_NUMBER = 118

FrameIndex = slice | Sequence[int] | Sequence[bool] | np.ndarray


def _frozen(array: object, dtype: type, what: str) -> np.ndarray:
    """array as a read-only contiguous array of dtype; the caller's own array stays writable."""
    try:
        result = np.ascontiguousarray(array, dtype=dtype).view()
    except (TypeError, ValueError) as error:
        raise FfptError(f"{what}: not an array of {np.dtype(dtype).name} ({error})") from error
    result.flags.writeable = False
    return result


def _labels_differ(what: str, index: int, has: bool, unit: str) -> FfptError:
    """The error for labels that stand on some frames (or data sets) only."""
    first, other = ("no ", "") if has else ("", "no ")
    return FfptError(f"{unit} 0 has {first}{what} but {unit} {index} has {other}{what}: label all or none")


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Frames with positions and, where labelled, energies and forces. Immutable: the arrays are read-only.

    Frame i owns the atoms ``offsets[i]:offsets[i + 1]`` of the arrays over atoms.

    ========== ==================== ======= ============ =============================================
    field      shape                type    unit         meaning
    ========== ==================== ======= ============ =============================================
    numbers    (n_atoms_total,)     int64                atomic numbers, 1 to 118
    offsets    (n_frames + 1,)      int64                first atom of each frame; last = n_atoms_total
    positions  (n_atoms_total, 3)   float64 Angstrom
    energies   (n_frames,) or None  float64 eV           total energies with the zero of their level
    forces     (n_atoms_total, 3)   float64 eV/Angstrom  minus the gradient; or None
    cells      (n_frames, 3, 3)     float64 Angstrom     rows are cell vectors; zeros where there is none
    pbc        (n_frames, 3)        bool                 periodic along each cell vector
    level      str                                       level of theory of the labels; "" = unknown
    ========== ==================== ======= ============ =============================================

    ``dataset[3]`` is an ``ase.Atoms`` (its calculator holds the labels); a slice, an array of frame
    numbers or a boolean mask gives a Dataset. Torch users: ``torch.tensor(dataset.positions)`` copies;
    ``torch.from_numpy`` warns, because the arrays are read-only.

    Raises:
        FfptError: a shape that does not fit, an unknown element, a periodic frame without a cell, or a
            NaN or infinite number; the message names the first frame concerned.
    """

    numbers: np.ndarray
    offsets: np.ndarray
    positions: np.ndarray
    energies: np.ndarray | None = None
    forces: np.ndarray | None = None
    cells: np.ndarray = field(default=None)  # type: ignore[assignment]  # None: no cell, not periodic
    pbc: np.ndarray = field(default=None)  # type: ignore[assignment]
    level: str = ""

    def __post_init__(self) -> None:
        def put(name: str, value: object, dtype: type) -> None:
            object.__setattr__(self, name, _frozen(value, dtype, name))

        put("numbers", self.numbers, np.int64)
        put("offsets", self.offsets, np.int64)
        put("positions", self.positions, np.float64)
        if self.energies is not None:
            put("energies", self.energies, np.float64)
        if self.forces is not None:
            put("forces", self.forces, np.float64)
        put("cells", np.zeros((len(self), 3, 3)) if self.cells is None else self.cells, np.float64)
        put("pbc", np.zeros((len(self), 3), dtype=bool) if self.pbc is None else self.pbc, bool)
        self._check_shapes()
        self._check_values()

    def _check_shapes(self) -> None:
        offsets, total, frames = self.offsets, len(self.numbers), len(self)
        if offsets.ndim != 1 or len(offsets) == 0 or offsets[0] != 0 or offsets[-1] != total:
            raise FfptError(f"offsets must run from 0 to the number of atoms, {total}, with one entry more than frames")
        empty = np.flatnonzero(np.diff(offsets) <= 0)
        if len(empty):
            raise FfptError(f"frame {empty[0]} has no atoms")
        expected = {
            "numbers": (total,),
            "positions": (total, 3),
            "energies": (frames,),
            "forces": (total, 3),
            "cells": (frames, 3, 3),
            "pbc": (frames, 3),
        }
        for name, shape in expected.items():
            array = getattr(self, name)
            if array is not None and array.shape != shape:
                raise FfptError(f"{name} of shape {array.shape}; {frames} frames of {total} atoms need {shape}")

    def _check_values(self) -> None:
        wrong = np.flatnonzero((self.numbers < 1) | (self.numbers > MAX_ATOMIC_NUMBER))
        if len(wrong):
            atom = wrong[0]
            raise FfptError(f"frame {self._frame_of(atom)}: {self.numbers[atom]} is not an atomic number")
        for name in ("positions", "forces", "energies", "cells"):
            array = getattr(self, name)
            if array is None or np.isfinite(array).all():
                continue
            row = int(np.argwhere(~np.isfinite(array))[0, 0])
            frame = self._frame_of(row) if name in ("positions", "forces") else row
            raise FfptError(f"frame {frame}: NaN or infinite {name}")
        if self.pbc.any():
            lengths = np.linalg.norm(self.cells, axis=2)
            flat = self.pbc.all(axis=1) & (np.abs(np.linalg.det(self.cells)) < 1e-9)
            bad = np.flatnonzero((self.pbc & (lengths == 0)).any(axis=1) | flat)
            if len(bad):
                raise FfptError(f"frame {bad[0]}: periodic, but its cell has no extent along that direction")

    def _frame_of(self, atom: int) -> int:
        return int(np.searchsorted(self.offsets, atom, side="right")) - 1

    @classmethod
    def from_arrays(
        cls,
        numbers: np.ndarray | Sequence[int],
        positions: np.ndarray,
        energies: np.ndarray | None = None,
        forces: np.ndarray | None = None,
        level: str = "",
    ) -> Dataset:
        """Isolated frames of one molecule.

        Args:
            numbers: (n_atoms,) atomic numbers, the same in all frames.
            positions: (n_frames, n_atoms, 3) Angstrom.
            energies: (n_frames,) eV.
            forces: (n_frames, n_atoms, 3) eV/Angstrom.
            level: level of theory of the labels.

        Raises:
            FfptError: shapes do not fit, or a number is not finite (naming the frame).
        """
        numbers = _frozen(numbers, np.int64, "numbers")
        positions = _frozen(positions, np.float64, "positions")
        if numbers.ndim != 1 or positions.ndim != 3 or positions.shape[1:] != (len(numbers), 3):
            raise FfptError(
                f"positions of shape {positions.shape}; {len(numbers)} atoms need (n_frames, {len(numbers)}, 3)"
            )
        frames, atoms = positions.shape[:2]
        if forces is not None:
            forces = _frozen(forces, np.float64, "forces")
            if forces.shape != positions.shape:
                raise FfptError(f"forces of shape {forces.shape} for positions of shape {positions.shape}")
            forces = forces.reshape(-1, 3)
        return cls(
            numbers=np.tile(numbers, frames),
            offsets=np.arange(frames + 1) * atoms,
            positions=positions.reshape(-1, 3),
            energies=energies,
            forces=forces,
            level=level,
        )

    @classmethod
    def from_atoms(cls, frames: Sequence[Atoms], level: str = "") -> Dataset:
        """Frames of any size, with the labels they carry.

        Energies are taken from ``info["REF_energy"]``, else from the results of the calculator, else from
        ``info["energy"]``; forces from the same places (``arrays``). A calculator is never asked to
        calculate, and its results are left aside when the atoms have moved since.

        Args:
            frames: structures in ASE's units (Angstrom, eV, eV/Angstrom).
            level: level of theory of the labels.

        Raises:
            FfptError: some frames are labelled and others are not, or forces of the wrong shape
                (naming the frame).
        """
        from ffpt_core.datasets.labels import energy_of, forces_of

        frames = list(frames)
        energies = [energy_of(atoms, index) for index, atoms in enumerate(frames)]
        forces = [forces_of(atoms, index) for index, atoms in enumerate(frames)]
        for what, values in (("energy", energies), ("forces", forces)):
            for index, value in enumerate(values):
                if (value is None) != (values[0] is None):
                    raise _labels_differ(what, index, has=value is not None, unit="frame")
        return cls(
            numbers=np.concatenate([atoms.numbers for atoms in frames]) if frames else np.zeros(0, int),
            offsets=np.concatenate([[0], np.cumsum([len(atoms) for atoms in frames])]),
            positions=np.concatenate([atoms.positions for atoms in frames]) if frames else np.zeros((0, 3)),
            energies=np.array(energies) if energies and energies[0] is not None else None,
            forces=np.concatenate(forces) if forces and forces[0] is not None else None,
            cells=np.array([atoms.cell.array for atoms in frames]).reshape(-1, 3, 3),
            pbc=np.array([atoms.pbc for atoms in frames], dtype=bool).reshape(-1, 3),
            level=level,
        )

    @classmethod
    def concatenate(cls, datasets: Sequence[Dataset], level: str | None = None) -> Dataset:
        """The frames of several data sets, one after the other.

        Args:
            datasets: at least one.
            level: the level of theory of the result. Needed when the data sets name different ones,
                because energies of different levels have different zeros.

        Raises:
            FfptError: different levels, or labels that only some have.
        """
        datasets = list(datasets)
        if not datasets:
            raise FfptError("concatenate needs at least one data set")
        levels = sorted({dataset.level for dataset in datasets})
        if level is None and len(levels) > 1:
            named = ", ".join(repr(name) for name in levels)
            raise FfptError(f"data sets of different levels of theory ({named}): their energies have different zeros")
        for name in ("energies", "forces"):
            for index, dataset in enumerate(datasets):
                has = getattr(dataset, name) is not None
                if has != (getattr(datasets[0], name) is not None):
                    raise _labels_differ(name, index, has=has, unit="data set")

        def joined(name: str) -> np.ndarray | None:
            parts = [getattr(dataset, name) for dataset in datasets]
            return None if parts[0] is None else np.concatenate(parts)

        counts = np.concatenate([dataset.n_atoms for dataset in datasets])
        arrays = {name: joined(name) for name in ("numbers", "positions", "energies", "forces", "cells", "pbc")}
        return cls(
            offsets=np.concatenate([[0], np.cumsum(counts)]), level=levels[0] if level is None else level, **arrays
        )

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __repr__(self) -> str:
        labels = " and ".join(name for name in ("energies", "forces") if getattr(self, name) is not None)
        size = f"{len(self)} frames, {len(self.numbers)} atoms"
        return f"Dataset({size}, {labels or 'no labels'}, level={self.level!r})"

    def __iter__(self) -> Iterator[Atoms]:
        return (self[index] for index in range(len(self)))

    @overload
    def __getitem__(self, index: int) -> Atoms: ...

    @overload
    def __getitem__(self, index: FrameIndex) -> Dataset: ...

    def __getitem__(self, index: int | FrameIndex) -> Atoms | Dataset:
        if isinstance(index, (int, np.integer)) and not isinstance(index, bool):
            return self._atoms(int(index))
        return self._select(index)

    def _atoms(self, index: int) -> Atoms:
        from ase import Atoms
        from ase.calculators.singlepoint import SinglePointCalculator

        frame = index + len(self) if index < 0 else index
        if not 0 <= frame < len(self):
            raise IndexError(f"frame {index} of {len(self)}")
        mine = slice(self.offsets[frame], self.offsets[frame + 1])
        # Atoms copies what it is given, so the read-only arrays stay ours.
        atoms = Atoms(self.numbers[mine], self.positions[mine], cell=self.cells[frame], pbc=self.pbc[frame])
        labels: dict[str, object] = {}
        if self.energies is not None:
            labels["energy"] = float(self.energies[frame])
        if self.forces is not None:
            labels["forces"] = self.forces[mine].copy()
        if labels:
            atoms.calc = SinglePointCalculator(atoms, **labels)
        return atoms

    def _select(self, index: FrameIndex) -> Dataset:
        """Frames by slice, numbers or mask, without a loop over frames."""
        if not isinstance(index, slice):
            index = np.asarray(index)
            if index.size == 0 and index.dtype != bool:
                index = index.astype(np.int64)
        frames = np.arange(len(self))[index]
        if frames.ndim != 1:
            raise IndexError(f"frames are chosen by a list of numbers or a mask, not by an array of shape {frames.shape}")
        counts = self.n_atoms[frames]
        offsets = np.concatenate([[0], np.cumsum(counts)])
        # Atom k of the result stands at k plus how far its frame was moved.
        atoms = np.arange(offsets[-1]) + np.repeat(self.offsets[frames] - offsets[:-1], counts)
        return Dataset(
            numbers=self.numbers[atoms],
            offsets=offsets,
            positions=self.positions[atoms],
            energies=None if self.energies is None else self.energies[frames],
            forces=None if self.forces is None else self.forces[atoms],
            cells=self.cells[frames],
            pbc=self.pbc[frames],
            level=self.level,
        )

    @cached_property
    def n_atoms(self) -> np.ndarray:
        """(n_frames,) number of atoms of each frame."""
        return np.diff(self.offsets)

    @cached_property
    def elements(self) -> tuple[int, ...]:
        """Atomic numbers that occur, ascending."""
        return tuple(int(number) for number in np.unique(self.numbers))

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over all arrays (not the level): equal for equal frames with equal labels in equal order."""
        missing = np.zeros(0)
        return fingerprint(
            self.numbers,
            self.offsets,
            self.positions,
            missing if self.energies is None else self.energies,
            missing if self.forces is None else self.forces,
            self.cells,
            self.pbc,
        )

    def save(self, path: str | os.PathLike[str], compressed: bool = True, precision: str = "float64") -> None:
        """Write a plain npz, whole or not at all; see ``ffpt_core.datasets.storage`` for its keys.

        Args:
            path: file to write, by custom ``*.npz``.
            compressed: smaller and slower to write.
            precision: "float64", or "float32" to halve positions and forces on disk (energies keep
                64 bits; the fingerprint changes with the rounding).

        Raises:
            FfptError: an unknown precision, or the file cannot be written.
        """
        from ffpt_core.datasets.storage import save

        save(self, path, compressed=compressed, precision=precision)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Dataset:
        """Read a file written by save; nothing in it is executed.

        Raises:
            FfptError: no such file, truncated, pickled, or not a data set of ours.
        """
        from ffpt_core.datasets.storage import load

        return load(path)
