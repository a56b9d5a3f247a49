"""Energy and forces of one system, evaluated again and again while its atoms move."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ffpt_core.potentials.fixed_atoms import Copies
from ffpt_core.potentials.network_potential import Potential
from ffpt_core.potentials.newtonnet.cpp.network import FusedNetwork, Structures, chunks_of


class FusedEvaluator:
    """A potential for a fixed list of atoms, or for many copies of it that do not see each other, on a CPU.

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
        self._copies = Copies(potential, numbers, pbc, replicas)
        self.numbers = self._copies.numbers
        self._network = FusedNetwork(potential)
        fixed = self._copies.fixed_pairs
        self._pairs = None if fixed is None else fixed.cpu().numpy()
        self._frames = np.repeat(np.arange(replicas), len(self.numbers))

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
        structures = Structures(self._copies.all_numbers, positions, pairs, translations)
        replicas = self._copies.replicas
        if replicas == 1:
            result = self._network.evaluate(structures)
        else:
            result = self._network.evaluate_frames(structures, chunks_of(structures, self._frames, replicas))
        return self._copies.energies(result.energies), result.forces, result.virial

    def _search(self, positions: np.ndarray, cell: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
        """Pairs and translations of all copies, from lists that are kept."""
        found = self._copies.update(positions, cell)
        translations = None if cell is None else [one.translations() for one in self._copies.lists]
        if len(found) == 1:  # without a copy
            return found[0][0], None if translations is None else translations[0]
        pairs = np.concatenate([pairs + k * len(self.numbers) for k, (pairs, _) in enumerate(found)], axis=1)
        return pairs, None if translations is None else np.concatenate(translations)
