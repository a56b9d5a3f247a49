"""Energy and forces of one system, evaluated again and again while its atoms move."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from ffpt_core.engine import STATIC_PAIRS_UP_TO
from ffpt_core.errors import FfptError
from ffpt_core.fused.kernel import load_kernel
from ffpt_core.fused.network import FusedNetwork, Structures
from ffpt_core.neighbours import NeighbourList
from ffpt_core.pairs import all_pairs
from ffpt_core.potential import Potential

KERNELS: tuple[str, ...] = ("auto", "fused", "torch")
"""What evaluates a network: newtonnet.cpp on a CPU, or PyTorch anywhere."""

_log = logging.getLogger(__name__)


def choose_kernel(kernel: str, potential: Potential) -> str:
    """What a kernel of KERNELS comes to here: "fused" or "torch".

    "auto" is the fused kernel for a potential on a CPU where a C++ compiler is installed, and PyTorch otherwise.

    Raises:
        FfptError: no such kernel.
    """
    if kernel not in KERNELS:
        raise FfptError(f"there is no kernel {kernel!r}; there are {', '.join(KERNELS)}")
    if kernel != "auto":
        return kernel
    missing = load_kernel() if potential.device.type == "cpu" else "the potential is on a GPU"
    if isinstance(missing, str):
        _log.info("the network runs in PyTorch: %s", missing)
        return "torch"
    return "fused"


class FusedEvaluator:
    """A potential for a fixed list of atoms on a CPU.

    Isolated molecules up to STATIC_PAIRS_UP_TO atoms keep the list of all their pairs; other systems search for
    neighbours when atoms have moved.

    Args:
        potential: what to evaluate; its weights are copied.
        numbers: atomic numbers.
        pbc: in which directions of the cell the system is periodic.

    Raises:
        FfptError: an element that the potential does not know; the kernel cannot be compiled here.
    """

    def __init__(
        self,
        potential: Potential,
        numbers: Sequence[int] | np.ndarray,
        pbc: Sequence[bool] | np.ndarray = (False,) * 3,
    ) -> None:
        self.numbers = np.array(numbers, dtype=np.int64)
        potential.check_elements(self.numbers)
        self._network = FusedNetwork(potential)
        self._shift = float(potential.shifts.cpu().numpy()[self.numbers].sum())
        self._pairs: np.ndarray | None = None
        if not any(pbc) and len(self.numbers) <= STATIC_PAIRS_UP_TO:
            self._pairs = all_pairs(len(self.numbers)).numpy()
        else:
            self._neighbours = NeighbourList(potential.cutoff, pbc=pbc)

    def __call__(self, positions: np.ndarray, cell: np.ndarray | None = None) -> tuple[float, np.ndarray, np.ndarray]:
        """Evaluate.

        Args:
            positions: (n_atoms, 3) Angstrom.
            cell: (3, 3) rows are cell vectors, Angstrom; of a periodic system.

        Returns:
            Energy in eV, (n_atoms, 3) forces in eV/Angstrom, (3, 3) virial in eV (dE/d(strain), not symmetrised).
            NaN where a coordinate is not finite.
        """
        translations = None
        if self._pairs is not None:
            pairs = self._pairs
        else:
            pairs, _ = self._neighbours.update(positions, cell)
            translations = None if cell is None else self._neighbours.translations()
        result = self._network.evaluate(Structures(self.numbers, positions, pairs, translations))
        return float(result.energies.sum()) + self._shift, result.forces, result.virial
