"""A fixed list of atoms, or many copies of it that do not see each other, while they move: what evaluators share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from ffpt_core.potentials.interface import Periodicity
from ffpt_core.potentials.scaled_network import ScaledNetwork
from ffpt_core.structure.neighbours import NeighbourList, PairSearch
from ffpt_core.structure.pairs import all_pairs
from ffpt_core.structure.repeated_pairs import repeated_pairs

ALL_PAIRS_UP_TO = 64
"""Isolated molecules up to this many atoms keep the list of all their pairs: static shapes for a GPU."""


class FixedAtoms:
    """The atoms of all copies, and who is near whom.

    Isolated molecules up to ALL_PAIRS_UP_TO atoms keep the list of all their pairs; other systems search for
    neighbours when atoms have moved, each copy by itself.

    Args:
        network: its shifts and cutoff.
        numbers: atomic numbers of one copy.
        pbc: in which directions of the cell the system is periodic.
        copies: number of copies, which share the cell.
        find: what makes a pair list, as in NeighbourList.

    Attributes:
        numbers: (n_atoms,) int64, of one copy.
        all_numbers: (copies * n_atoms,) int64.
        fixed_pairs: (2, n_pairs) int64 on the network's device, where they never change, else None.
        lists: a list for each copy, where they change.
    """

    def __init__(
        self,
        network: ScaledNetwork,
        numbers: Sequence[int] | np.ndarray,
        pbc: Periodicity,
        copies: int,
        find: PairSearch | None = None,
    ) -> None:
        self.numbers = np.array(numbers, dtype=np.int64)
        self.copies = copies
        self.all_numbers = np.tile(self.numbers, copies)
        self._shift = float(network.shifts.cpu().numpy()[self.numbers].sum())
        n_atoms = len(self.numbers)
        self.fixed_pairs: Tensor | None = None
        self.lists: list[NeighbourList] = []
        if not any(pbc) and n_atoms <= ALL_PAIRS_UP_TO:
            self.fixed_pairs = repeated_pairs(all_pairs(n_atoms, network.device), n_atoms, copies)
        else:
            self.lists = [NeighbourList(network.cutoff, pbc=pbc, find=find) for _ in range(copies)]

    @property
    def builds(self) -> int:
        """How many pair lists have been made."""
        return sum(one.builds for one in self.lists)

    def update(self, positions: np.ndarray, cell: np.ndarray | None) -> list[tuple[Any, Any]]:
        """Pairs and shifts of each copy, as NeighbourList.update gives them; those of copy k count from its own atoms.

        Args:
            positions: (copies * n_atoms, 3) Angstrom, copy after copy.
            cell: (3, 3) rows are cell vectors, Angstrom; None where nothing is periodic.
        """
        n = len(self.numbers)
        return [one.update(positions[k * n : (k + 1) * n], cell) for k, one in enumerate(self.lists)]

    def joined(self, positions: np.ndarray, cell: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
        """The pairs of all copies, (2, n_pairs) into all atoms, and their (n_pairs, 3) translations or None, Angstrom.

        The same arrays as before where neither lists nor cell have changed and there is one copy.
        """
        found = self.update(positions, cell)
        translations = None if cell is None else [one.translations() for one in self.lists]
        if len(found) == 1:  # without a copy
            return found[0][0], None if translations is None else translations[0]
        pairs = np.concatenate([pairs + k * len(self.numbers) for k, (pairs, _) in enumerate(found)], axis=1)
        return pairs, None if translations is None else np.concatenate(translations)

    def energies(self, atomic: np.ndarray) -> np.ndarray:
        """(copies,) eV, shifts included, from those of all atoms, (copies * n_atoms,) eV."""
        return atomic.reshape(self.copies, -1).sum(axis=1) + self._shift
