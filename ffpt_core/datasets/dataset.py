"""The exchange type for labelled frames: one record of flat arrays for molecules of any size.

Making 100,000 labelled ``ase.Atoms`` takes 5 s, choosing as many frames from flat arrays 0.4 s.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, overload

import numpy as np
from ase import Atoms

from ffpt_core.base.errors import FfptError
from ffpt_core.base.files import fingerprint
from ffpt_core.datasets import storage
from ffpt_core.datasets.conversion import arrays_from_atoms, joined_arrays, joined_groups, to_atoms
from ffpt_core.datasets.validation import check_arrays, frozen, frozen_groups, given_away

ARRAYS = ("numbers", "offsets", "positions", "energies", "forces", "cells", "pbc")
"""The array fields of a Dataset."""

FrameIndex = slice | Sequence[int] | Sequence[bool] | np.ndarray


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Frames with positions and, where labelled, energies and forces. Immutable: its arrays are its own and read-only.

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
    groups     {name: (n_frames,)}  str                  what each frame belongs to; "" where unknown
    ========== ==================== ======= ============ =============================================

    Groups divide frames for tables of errors and for splits (``groups["reaction"]``, ``groups["trajectory"]``).
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
    # Without cells and pbc nothing is periodic; the arrays themselves are always there.
    cells: np.ndarray = field(default=None)  # type: ignore[arg-type]
    pbc: np.ndarray = field(default=None)  # type: ignore[arg-type]
    level: str = ""
    groups: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        def put(name: str, value: object, dtype: type) -> None:
            object.__setattr__(self, name, frozen(value, dtype, name))

        put("numbers", self.numbers, np.int64)
        put("offsets", self.offsets, np.int64)
        put("positions", self.positions, np.float64)
        if self.energies is not None:
            put("energies", self.energies, np.float64)
        if self.forces is not None:
            put("forces", self.forces, np.float64)
        put("cells", np.zeros((len(self), 3, 3)) if self.cells is None else self.cells, np.float64)
        put("pbc", np.zeros((len(self), 3), dtype=bool) if self.pbc is None else self.pbc, bool)
        object.__setattr__(self, "groups", frozen_groups(self.groups, len(self)))
        check_arrays(self.arrays())

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
        numbers = frozen(numbers, np.int64, "numbers")
        positions = frozen(positions, np.float64, "positions")
        if numbers.ndim != 1 or positions.ndim != 3 or positions.shape[1:] != (len(numbers), 3):
            raise FfptError(
                f"positions of shape {positions.shape}; {len(numbers)} atoms need (n_frames, {len(numbers)}, 3)"
            )
        frames, atoms = positions.shape[:2]
        if forces is not None:
            forces = frozen(forces, np.float64, "forces")
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
        return cls(level=level, **given_away(arrays_from_atoms(list(frames))))

    @classmethod
    def concatenate(cls, datasets: Sequence[Dataset], level: str | None = None) -> Dataset:
        """The frames of several data sets, one after the other; groups that only some have are "" for the others.

        Args:
            datasets: at least one.
            level: the level of theory of the result. Needed when the data sets name different ones,
                because energies of different levels have different zeros.

        Raises:
            FfptError: different levels, or labels that only some have.
        """
        if not datasets:
            raise FfptError("concatenate needs at least one data set")
        levels = sorted({dataset.level for dataset in datasets})
        if level is None and len(levels) > 1:
            named = ", ".join(map(repr, levels))
            raise FfptError(f"data sets of different levels of theory ({named}): their energies have different zeros")
        arrays = joined_arrays([dataset.arrays() for dataset in datasets])
        groups = joined_groups([(len(dataset), dataset.groups) for dataset in datasets])
        return cls(level=levels[0] if level is None else level, groups=groups, **given_away(arrays))

    def arrays(self) -> dict[str, Any]:
        """The array fields by name: everything but level and groups; None where there are no such labels."""
        return {name: getattr(self, name) for name in ARRAYS}

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
        if isinstance(index, (int, np.integer)):
            return self._atoms(int(index))
        return self._select(index)

    def _atoms(self, index: int) -> Atoms:
        frame = index + len(self) if index < 0 else index
        if not 0 <= frame < len(self):
            raise IndexError(f"frame {index} of {len(self)}")
        mine = slice(self.offsets[frame], self.offsets[frame + 1])
        return to_atoms(
            self.numbers[mine],
            self.positions[mine],
            self.cells[frame],
            self.pbc[frame],
            None if self.energies is None else self.energies[frame],
            None if self.forces is None else self.forces[mine],
        )

    def _select(self, index: FrameIndex) -> Dataset:
        """Frames by slice, numbers or mask, without a loop over frames."""
        if not isinstance(index, slice):
            index = np.asarray(index)
            if index.size == 0 and index.dtype != bool:
                index = index.astype(np.int64)
        frames = np.arange(len(self))[index]
        if frames.ndim != 1:
            raise IndexError(f"choose frames by a list of numbers or a mask, not by an array of shape {frames.shape}")
        counts = self.n_atoms[frames]
        offsets = np.concatenate([[0], np.cumsum(counts)])
        # Atom k of the result stands at k plus how far its frame was moved.
        atoms = np.arange(offsets[-1]) + np.repeat(self.offsets[frames] - offsets[:-1], counts)
        chosen = {
            "numbers": self.numbers[atoms],
            "offsets": offsets,
            "positions": self.positions[atoms],
            "energies": None if self.energies is None else self.energies[frames],
            "forces": None if self.forces is None else self.forces[atoms],
            "cells": self.cells[frames],
            "pbc": self.pbc[frames],
        }
        groups = {name: labels[frames] for name, labels in self.groups.items()}
        return Dataset(**given_away(chosen), level=self.level, groups=groups)

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
        """SHA-256 over all arrays (not the level and the groups): equal frames and labels in equal order."""
        missing = np.zeros(0)
        return fingerprint(*(missing if array is None else array for array in self.arrays().values()))

    def save(self, path: str | os.PathLike[str], compressed: bool = True, precision: str = "float64") -> None:
        """Write a plain npz, whole or not at all; see ``ffpt_core.datasets.storage`` for its keys.

        Args:
            path: file to write, ``*.npz`` by custom.
            compressed: smaller and slower to write.
            precision: "float64", or "float32" to halve positions and forces on disk (energies keep
                64 bits; the fingerprint changes with the rounding).

        Raises:
            FfptError: an unknown precision, or the file cannot be written.
        """
        storage.save(path, self.arrays(), self.groups, self.level, compressed, precision)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Dataset:
        """Read a file written by save; nothing in it is executed.

        Raises:
            FfptError: no such file, truncated, pickled, or not a data set of ours.
        """
        fields = storage.load(path)
        try:
            return cls(**fields)
        except FfptError as error:
            raise FfptError(f"{path}: {error}") from error
