"""A fixed list of atoms, or many copies of it that do not see each other, while they move: what evaluators share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from ffpt_core.export.openmm_module import STATIC_PAIRS_UP_TO
from ffpt_core.potentials.network_potential import Potential
from ffpt_core.structure.neighbours import NeighbourList, PairSearch
from ffpt_core.structure.pairs import all_pairs
from ffpt_core.structure.repeated_pairs import repeated_pairs


class Copies:
    """The atoms of all copies, and who is near whom.

    Isolated molecules up to STATIC_PAIRS_UP_TO atoms keep the list of all their pairs; other systems search for
    neighbours when atoms have moved, each copy by itself.

    Args:
        potential: its elements, shifts and cutoff.
        numbers: atomic numbers of one copy.
        pbc: in which directions of the cell the system is periodic.
        replicas: number of copies, which share the cell.
        find: what makes a pair list, as in NeighbourList.

    Attributes:
        numbers: (n_atoms,) int64, of one copy.
        all_numbers: (replicas * n_atoms,) int64.
        fixed_pairs: (2, n_pairs) int64 on the potential's device, where they never change, else None.
        lists: a list for each copy, where they change.

    Raises:
        FfptError: an element that the potential does not know.
    """

    def __init__(
        self,
        potential: Potential,
        numbers: Sequence[int] | np.ndarray,
        pbc: Sequence[bool] | np.ndarray,
        replicas: int,
        find: PairSearch | None = None,
    ) -> None:
        self.numbers = np.array(numbers, dtype=np.int64)
        self.replicas = replicas
        potential.check_elements(self.numbers)
        self.all_numbers = np.tile(self.numbers, replicas)
        self._shift = float(potential.shifts.cpu().numpy()[self.numbers].sum())
        n_atoms = len(self.numbers)
        self.fixed_pairs: Tensor | None = None
        self.lists: list[NeighbourList] = []
        if not any(pbc) and n_atoms <= STATIC_PAIRS_UP_TO:
            self.fixed_pairs = repeated_pairs(all_pairs(n_atoms, potential.device), n_atoms, replicas)
        else:
            self.lists = [NeighbourList(potential.cutoff, pbc=pbc, find=find) for _ in range(replicas)]

    @property
    def builds(self) -> int:
        """How many pair lists have been made."""
        return sum(one.builds for one in self.lists)

    def update(self, positions: np.ndarray, cell: np.ndarray | None) -> list[tuple[Any, Any]]:
        """Pairs and shifts of each copy, as NeighbourList.update gives them; those of copy k count from its own atoms.

        Args:
            positions: (replicas * n_atoms, 3) Angstrom, copy after copy.
            cell: (3, 3) rows are cell vectors, Angstrom; None where nothing is periodic.
        """
        n = len(self.numbers)
        return [one.update(positions[k * n : (k + 1) * n], cell) for k, one in enumerate(self.lists)]

    def energies(self, atomic: np.ndarray) -> np.ndarray:
        """(replicas,) eV, shifts included, from those of all atoms, (replicas * n_atoms,) eV."""
        return atomic.reshape(self.replicas, -1).sum(axis=1) + self._shift
