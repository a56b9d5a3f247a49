"""Half pair lists for numpy callers, by vesin's cell list; and one that is kept while atoms move.

A pair list is an int64 array (2, n_pairs) of first and second atoms, first <= second, with whole numbers of cells
(n_pairs, 3): the displacement of pair p is ``x[first] - x[second] + shifts[p] @ cell``. It is sorted by first atom,
second atom and shifts, in this order; of an atom and its own images, each comes once, with the first number of its
shifts that is not zero positive. ffpt_core.structure.pairs has the same lists in tensor code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import vesin

from ffpt_core.base.errors import FfptError
from ffpt_core.structure import pairs as tensor_pairs

_MOST_CELLS = 1e5
"""vesin 0.6 divides by zero, which ends the process, where it would need more cells of a cutoff than this."""

_FARTHEST = 1e6
"""vesin 0.6 counts cells in 32 bits: atoms farther out than this many cells are left to our own list."""


def half_list(
    positions: np.ndarray, cell: np.ndarray | None, pbc: Sequence[bool] | np.ndarray, cutoff: float
) -> tuple[np.ndarray, np.ndarray]:
    """Every pair of atoms, and of periodic images, closer than a cutoff, once.

    Args:
        positions: (n_atoms, 3) Angstrom, wrapped or not. An atom whose position is not finite is in no pair.
        cell: (3, 3) rows are cell vectors, Angstrom; those of directions without periodicity are not looked at.
            None where nothing is periodic.
        pbc: three flags.
        cutoff: Angstrom.

    Returns:
        (2, n_pairs) int64, and (n_pairs, 3) int32 shifts; see the head of this file.

    Raises:
        FfptError: the vectors of the periodic directions are zero or lie in a plane.
    """
    positions = np.ascontiguousarray(positions, dtype=np.float64)
    periodic = np.array(pbc, dtype=bool)
    return _half_list(positions, _complete(cell, periodic), periodic, cutoff)


def _complete(cell: np.ndarray | None, pbc: np.ndarray) -> np.ndarray:
    """complete_cell in numpy, refusing what spans no lattice."""
    if not pbc.any():
        return np.eye(3)
    completed = np.zeros((3, 3)) if cell is None else np.array(cell, dtype=np.float64)
    if not pbc.all():
        completed = tensor_pairs.complete_cell(torch.from_numpy(completed), torch.from_numpy(pbc)).numpy()
    with np.errstate(invalid="ignore"):
        volume = abs(np.linalg.det(completed))
    if not volume > 1e-6:  # NaN too
        raise FfptError("a periodic structure needs a cell: its cell vectors are zero or lie in a plane")
    return completed


def _half_list(
    positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray, cutoff: float
) -> tuple[np.ndarray, np.ndarray]:
    """half_list of a complete cell."""
    if len(positions) == 0:
        return np.zeros((2, 0), dtype=np.int64), np.zeros((0, 3), dtype=np.int32)
    finite = np.isfinite(positions).all(axis=1)
    if not finite.all():
        pairs, shifts = _half_list(positions[finite], cell, pbc, cutoff)
        return np.flatnonzero(finite)[pairs], shifts
    inverse = np.linalg.inv(cell)
    fractional = positions @ inverse
    low, high = fractional.min(axis=0), fractional.max(axis=0)
    # vesin 0.6 looks through all cells along a direction without periodicity when another one is periodic. A periodic
    # box with a cutoff of vacuum on both sides of the atoms has the same pairs.
    in_vacuum = ~pbc & pbc.any()
    spans = np.where(pbc, 1.0, high - low) + np.where(in_vacuum, 2 * cutoff, 0.0)
    n_cells = np.maximum(1.0, 1.01 * spans / np.linalg.norm(inverse, axis=0) / cutoff).prod()
    if n_cells > _MOST_CELLS or np.maximum(high, -low).max(where=pbc, initial=0.0) > _FARTHEST:
        return _own_list(positions, cell, pbc, cutoff)
    box = np.where(in_vacuum, spans, 1.0)[:, None] * cell
    points = positions + np.where(in_vacuum, cutoff - low, 0.0) @ cell if in_vacuum.any() else positions
    # One thread: a list is made seldom, and threads of its own would fight with those of torch and OpenMM.
    calculator = vesin.NeighborList(cutoff=cutoff, full_list=False, n_threads=1)
    found, shifts = calculator.compute(points, box, bool(pbc.any()), quantities="PS", copy=False)
    keys = found[:, 0].astype(np.int64) * len(positions) + found[:, 1].astype(np.int64)
    shifts = -shifts  # vesin's vectors go from the first atom to the second
    own = np.flatnonzero(found[:, 0] == found[:, 1])
    shifts[own] *= np.where(np.sign(shifts[own]) @ [4, 2, 1] < 0, -1, 1)[:, None].astype(np.int32)
    order = np.argsort(keys, kind="stable")
    if pbc.any() and np.any(np.diff(keys[order]) == 0):  # a thin cell: several images of a pair
        order = np.lexsort((*shifts.T[::-1], keys))
    first, second = np.divmod(keys[order], len(positions))
    return np.stack([first, second]), shifts[order]


def _own_list(positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray, cutoff: float) -> tuple[np.ndarray, np.ndarray]:
    """_half_list by ffpt_core.structure.pairs: three times slower than vesin, and at home with any numbers."""
    pairs, shifts = tensor_pairs.find_pairs(torch.tensor(positions), torch.tensor(cell), torch.tensor(pbc), cutoff)
    return pairs.numpy(), shifts.numpy().astype(np.int32)


PairSearch = Callable[[np.ndarray, np.ndarray, np.ndarray, float], tuple[Any, Any]]
"""Positions, a complete cell, three flags and a cutoff to pairs and shifts: in numpy, or on a device."""


class NeighbourList:
    """A half pair list for a trajectory: made anew only when atoms or the cell have moved too far.

    It covers cutoff + skin, and serves as long as every pair closer than the cutoff is certain to be in it: in a cell
    that stays, until an atom has moved by skin/2. Callers drop the pairs that are farther apart than the cutoff; the
    others come in the same order whenever the list was made. Atoms may be wrapped or not from call to call: a jump
    into another cell is a move, and makes a new list. For one thread at a time.

    Args:
        cutoff: Angstrom.
        skin: Angstrom. More of it makes for fewer lists and longer ones.
        pbc: three flags.
        find: what makes a list; None: vesin.

    Attributes:
        builds: how many lists have been made.
    """

    def __init__(
        self,
        cutoff: float,
        skin: float = 1.0,
        pbc: Sequence[bool] | np.ndarray = (False,) * 3,
        find: PairSearch | None = None,
    ) -> None:
        self.cutoff = float(cutoff)
        self.skin = float(skin)
        self.pbc = np.array(pbc, dtype=bool)
        self.builds = 0
        self._find: PairSearch = find or _half_list
        self._pairs: Any = np.zeros((2, 0), dtype=np.int64)
        self._shifts: Any = np.zeros((0, 3), dtype=np.int32)
        self._positions: np.ndarray = np.zeros((0, 3))  # for which the list was made, as the next two
        self._inverse: np.ndarray = np.eye(3)
        self._deformation: np.ndarray | None = None  # of the present cell; None where it is none
        self._strain = 0.0
        self._given: np.ndarray | None = None  # the present cell as the caller gave it, and completed
        self._cell: np.ndarray = np.eye(3)
        self._moved: np.ndarray = np.zeros((0, 3))
        self._translations: np.ndarray | None = None

    def update(self, positions: np.ndarray, cell: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The pair list for these positions, and a superset of it up to cutoff + skin.

        Args:
            positions: (n_atoms, 3) Angstrom. An atom whose position is not finite is in no pair.
            cell: (3, 3) Angstrom, rows are cell vectors; None where nothing is periodic.

        Returns:
            (2, n_pairs) int64, and (n_pairs, 3) int32 shifts; see the head of this file. The same read-only arrays
            as before, unless a new list was made; those of another search are as it gave them.

        Raises:
            FfptError: the vectors of the periodic directions are zero or lie in a plane.
        """
        positions = np.ascontiguousarray(positions, dtype=np.float64)
        if self.pbc.any() and (cell is None or self._given is None or not np.array_equal(cell, self._given)):
            self._take_cell(cell)
        if not self._holds(positions):
            self._build(positions)
        return self._pairs, self._shifts

    def translations(self) -> np.ndarray:
        """(n_pairs, 3) Angstrom: shifts @ cell of the present list and cell, made once for each."""
        if self._translations is None:
            self._translations = self._shifts @ self._cell
        return self._translations

    def _take_cell(self, cell: np.ndarray | None) -> None:
        self._cell = _complete(cell, self.pbc)
        self._given = np.array(cell, dtype=np.float64)
        self._deformation = self._inverse @ self._cell
        self._strain = float(np.linalg.norm(self._deformation - np.eye(3)))
        self._translations = None

    def _holds(self, positions: np.ndarray) -> bool:
        """Whether the present list still holds every pair: see ffpt_core.structure.pairs.list_holds."""
        if positions.shape != self._positions.shape or self.builds == 0:
            return False
        old = self._positions if self._deformation is None else self._positions @ self._deformation
        moved = np.subtract(positions, old, out=self._moved)
        farthest = np.sqrt(np.einsum("ax,ax->a", moved, moved).max(initial=0.0))
        return tensor_pairs.list_holds(float(farthest), self._strain, self.cutoff, self.skin)

    def _build(self, positions: np.ndarray) -> None:
        self._pairs, self._shifts = self._find(positions, self._cell, self.pbc, self.cutoff + self.skin)
        for array in (self._pairs, self._shifts):
            if isinstance(array, np.ndarray):
                array.setflags(write=False)
        self._positions = positions.copy()
        self._moved = np.empty_like(positions)
        self._inverse = np.linalg.inv(self._cell)
        self._deformation, self._strain = None, 0.0
        self._translations = None
        self.builds += 1
