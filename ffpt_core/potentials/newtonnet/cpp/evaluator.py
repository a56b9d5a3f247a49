"""Energy and forces of one system, evaluated again and again while its atoms move."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ffpt_core.potentials.fixed_atoms import FixedAtoms
from ffpt_core.potentials.interface import ISOLATED, Periodicity, Prediction
from ffpt_core.potentials.newtonnet.cpp.network import CppNetwork, Structures, chunks_of
from ffpt_core.potentials.scaled_network import ScaledNetwork


class CppEvaluator:
    """A potential for a fixed list of atoms, or for many copies of it that do not see each other, on a CPU.

    Args:
        network: what to evaluate; its weights are copied.
        numbers: atomic numbers of one copy.
        pbc: in which directions of the cell the system is periodic.
        copies: number of copies, which share the cell.

    Raises:
        FfptError: the kernel cannot be compiled here.
    """

    def __init__(
        self,
        network: ScaledNetwork,
        numbers: Sequence[int] | np.ndarray,
        pbc: Periodicity = ISOLATED,
        copies: int = 1,
    ) -> None:
        self._atoms = FixedAtoms(network, numbers, pbc, copies)
        self.numbers = self._atoms.numbers
        self._network = CppNetwork(network)
        fixed = self._atoms.fixed_pairs
        self._pairs = None if fixed is None else fixed.cpu().numpy()
        self._frames = np.repeat(np.arange(copies), len(self.numbers))

    def __call__(self, positions: np.ndarray, cell: np.ndarray | None = None) -> Prediction:
        """Evaluate. Arguments and result are those of ffpt_core.potentials.interface.Evaluator.

        A coordinate that is not finite makes the energy of its copy, the force on its atom and the virial NaN, and
        leaves the other copies as they are.
        """
        pairs, translations = (self._pairs, None) if self._pairs is not None else self._atoms.joined(positions, cell)
        structures = Structures(self._atoms.all_numbers, positions, pairs, translations)
        copies = self._atoms.copies
        if copies == 1:
            result = self._network.evaluate(structures)
        else:
            result = self._network.evaluate_frames(structures, chunks_of(structures, self._frames, copies))
        return Prediction(self._atoms.energies(result.energies), result.forces, result.virial)
