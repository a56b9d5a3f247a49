"""Energy and forces of one system, evaluated again and again while its atoms move."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ffpt_core.engine import STATIC_PAIRS_UP_TO
from ffpt_core.fused.network import FusedNetwork, Structures
from ffpt_core.neighbours import NeighbourList
from ffpt_core.pairs import all_pairs
from ffpt_core.potential import Potential
from ffpt_core.replicas import repeated_pairs


class FusedEvaluator:
    """A potential for a fixed list of atoms, or for many copies of it that do not see each other, on a CPU.

    Isolated molecules up to STATIC_PAIRS_UP_TO atoms keep the list of all their pairs; other systems search for
    neighbours when atoms have moved.

    Args:
        potential: what to evaluate; its weights are copied.
        numbers: atomic numbers of one copy.
        pbc: in which directions of the cell the system is periodic.
        replicas: number of copies, which share the cell.

    Raises:
        FfptError: an element that the potential does not know; the kernel cannot be compiled here.
    """

    def __init__(
        self,
        potential: Potential,
        numbers: Sequence[int] | np.ndarray,
        pbc: Sequence[bool] | np.ndarray = (False,) * 3,
        replicas: int = 1,
    ) -> None:
        self.numbers = np.array(numbers, dtype=np.int64)
        self.replicas = replicas
        potential.check_elements(self.numbers)
        self._network = FusedNetwork(potential)
        self._shift = float(potential.shifts.cpu().numpy()[self.numbers].sum())
        self._all_numbers = np.tile(self.numbers, replicas)
        self._copies = np.repeat(np.arange(replicas), len(self.numbers))
        self._pairs: np.ndarray | None = None
        n_atoms = len(self.numbers)
        if not any(pbc) and n_atoms <= STATIC_PAIRS_UP_TO:
            self._pairs = repeated_pairs(all_pairs(n_atoms), n_atoms, replicas).numpy()
        else:
            self._neighbours = [NeighbourList(potential.cutoff, pbc=pbc) for _ in range(replicas)]

    def __call__(
        self, positions: np.ndarray, cell: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Evaluate.

        Args:
            positions: (replicas * n_atoms, 3) Angstrom, copy after copy.
            cell: (3, 3) rows are cell vectors, Angstrom; of a periodic system.

        Returns:
            (replicas,) energies in eV, (replicas * n_atoms, 3) forces in eV/Angstrom, and the (3, 3) virial of all
            copies in eV (dE/d(strain), not symmetrised). A coordinate that is not finite makes the energy of its
            copy, the force on its atom and the virial NaN, and leaves the other copies as they are.
        """
        pairs, translations = (self._pairs, None) if self._pairs is not None else self._search(positions, cell)
        structures = Structures(self._all_numbers, positions, pairs, translations)
        if self.replicas == 1:
            result = self._network.evaluate(structures)
        else:
            result = self._network.evaluate_frames(structures, self._copies, self.replicas)
        return result.energies.reshape(self.replicas, -1).sum(axis=1) + self._shift, result.forces, result.virial

    def _search(self, positions: np.ndarray, cell: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
        """Pairs and translations of all copies, from lists that are kept."""
        n_atoms = len(self.numbers)
        parts = [
            neighbours.update(positions[k * n_atoms : (k + 1) * n_atoms], cell)[0]
            for k, neighbours in enumerate(self._neighbours)
        ]
        translations = None if cell is None else [neighbours.translations() for neighbours in self._neighbours]
        if self.replicas == 1:  # without a copy
            return parts[0], None if translations is None else translations[0]
        pairs = np.concatenate([part + k * n_atoms for k, part in enumerate(parts)], axis=1)
        return pairs, None if translations is None else np.concatenate(translations)
