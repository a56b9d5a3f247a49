"""Energy and forces of one system on a GPU, evaluated again and again while its atoms move."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ffpt_core.base.errors import FfptError
from ffpt_core.potentials.fixed_atoms import FixedAtoms
from ffpt_core.potentials.interface import ISOLATED, Periodicity, Prediction
from ffpt_core.potentials.newtonnet.triton.network import SEPARATE, TritonNetwork
from ffpt_core.potentials.newtonnet.triton.pair_list import PairList
from ffpt_core.potentials.scaled_network import ScaledNetwork
from ffpt_core.structure.pairs import find_pairs

_log = logging.getLogger(__name__)

_ROOM = 1.1
"""Capacity over the length of a new pair list: where there are more pairs, everything is recorded anew."""

_HOST_SEARCH_UP_TO = 1000
"""Atoms up to which vesin on the host finds pairs faster than the device, whose search is many short launches."""


class TritonEvaluator:
    """A potential for a fixed list of atoms, or for many copies of it that do not see each other, on its GPU.

    One evaluation is one CUDA graph, positions in, energies and forces out: the host starts it and waits for its end.

    Args:
        network: what to evaluate, which TritonBackend.why_not has no objection to; its weights are copied.
        numbers: atomic numbers of one copy.
        pbc: in which directions of the cell the system is periodic.
        copies: number of copies, which share the cell.

    Raises:
        FfptError: too little memory, here and when called.
    """

    def __init__(
        self,
        network: ScaledNetwork,
        numbers: Sequence[int] | np.ndarray,
        pbc: Periodicity = ISOLATED,
        copies: int = 1,
    ) -> None:
        find = None if len(numbers) <= _HOST_SEARCH_UP_TO else self._find
        self._scaled, self._device = network, network.device
        self._atoms = FixedAtoms(network, numbers, pbc, copies, find)
        self.numbers = self._atoms.numbers
        self._periodic = bool(np.any(pbc))
        self._recorded: _Recorded | None = None
        self._builds = 0
        if self._atoms.fixed_pairs is not None:
            self._take(self._atoms.fixed_pairs, None, 1.0)

    def __call__(self, positions: np.ndarray, cell: np.ndarray | None = None) -> Prediction:
        """Evaluate. Arguments and result are those of ffpt_core.potentials.interface.Evaluator."""
        if self._atoms.lists:
            self._search(positions, cell)
        assert self._recorded is not None
        atomic, forces, virial = self._recorded.run(positions, cell)
        energies = self._atoms.energies(atomic)
        if not np.isfinite(positions).all():  # such an atom is in no pair, but must not pass unseen
            lost = ~np.isfinite(positions).all(axis=1)
            forces[lost], virial[:] = np.nan, np.nan
            energies[lost.reshape(self._atoms.copies, -1).any(axis=1)] = np.nan
        return Prediction(energies, forces, virial)

    @property
    def builds(self) -> int:
        """How many pair lists have been made of atoms that move."""
        return self._atoms.builds

    @property
    def capacity(self) -> int:
        """How many pairs there is room for: with more, everything is recorded anew."""
        return 0 if self._recorded is None else self._recorded.pairs.capacity

    @property
    def arrays(self) -> list[Tensor]:
        """What a graph reads and writes: it stays where it is as long as the capacity is the same."""
        return [] if self._recorded is None else self._recorded.arrays

    def _search(self, positions: np.ndarray, cell: np.ndarray | None) -> None:
        """Bring the pair list on the device up to date."""
        found = self._atoms.update(positions, cell)
        if self._atoms.builds != self._builds:
            pairs = torch.cat([self._there(some) + k * len(self.numbers) for k, (some, _) in enumerate(found)], dim=1)
            self._take(pairs, torch.cat([self._there(shifts) for _, shifts in found]), _ROOM)
            self._builds = self._atoms.builds

    def _there(self, array: np.ndarray | Tensor) -> Tensor:
        """On the device. A copy: vesin's arrays are read-only, which PyTorch does not have."""
        return array if isinstance(array, Tensor) else torch.tensor(array, device=self._device)

    def _find(self, positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray, cutoff: float) -> tuple[Tensor, Tensor]:
        """ffpt_core.structure.pairs.find_pairs on the device."""
        x, box, periodic = (torch.as_tensor(array, device=self._device) for array in (positions, cell, pbc))
        return find_pairs(x, box, periodic, cutoff)

    def _take(self, pairs: Tensor, shifts: Tensor | None, room: float) -> None:
        """A new pair list: into the arrays that are there, or into larger ones."""
        n_pairs = pairs.shape[1]
        if self._recorded is None or n_pairs > self._recorded.pairs.capacity:
            self._recorded = None  # the memory of the old arrays is for the new ones
            numbers = self._atoms.all_numbers
            try:
                self._recorded = _Recorded(self._scaled, numbers, int(room * n_pairs), self._periodic)
            except torch.OutOfMemoryError as error:
                raise FfptError(
                    f"the GPU has too little memory for {len(numbers)} atoms in {n_pairs:,} pairs"
                ) from error
        self._recorded.pairs.load(pairs, shifts)


class _Recorded:
    """An evaluation on arrays of one size, recorded at its first run.

    Args:
        network: what to evaluate.
        numbers: (n_atoms,) int64, of all copies.
        capacity: pairs that there is room for.
        periodic: whether shifts and cell count.

    Attributes:
        pairs: the pair list, to be loaded.
    """

    def __init__(self, network: ScaledNetwork, numbers: np.ndarray, capacity: int, periodic: bool) -> None:
        self._device = network.device
        self._n_atoms = len(numbers)
        self.pairs = PairList(self._n_atoms, capacity, self._device)
        self._network = TritonNetwork(
            network, torch.as_tensor(numbers, device=self._device), self.pairs, periodic
        )  # fmt: skip
        inputs, outputs = self._network.inputs, self._network.outputs
        pinned = self._device.type == "cuda"  # a graph can copy from pinned memory and to it
        self._given, self._found = (
            torch.zeros(len(one), dtype=one.dtype, pin_memory=pinned) for one in (inputs, outputs)
        )
        self._graph: torch.cuda.CUDAGraph | None = None

    @property
    def arrays(self) -> list[Tensor]:
        """All arrays of the evaluation, on the device and for what goes there and comes back."""
        parts = (self, self.pairs, self._network)
        return [value for part in parts for value in vars(part).values() if isinstance(value, Tensor)]

    def run(self, positions: np.ndarray, cell: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(n_atoms,) energies without shifts, eV, (n_atoms, 3) forces, eV/Angstrom, and the (3, 3) virial, eV."""
        given = self._given.numpy()
        given[SEPARATE:] = positions.reshape(-1)
        if cell is not None:
            given[:9] = cell.reshape(-1)
        self._replay()
        found, n = self._found.numpy(), self._n_atoms
        forces = found[self._network.forces_at :].reshape(n, 3)
        return found[SEPARATE : SEPARATE + n], forces.copy(), found[:9].reshape(3, 3).copy()

    def _replay(self) -> None:
        if self._device.type != "cuda":  # Triton's interpreter
            self._launch()
            return
        with torch.cuda.device(self._device):
            if self._graph is None:
                self._graph = self._record()
            self._graph.replay()
            torch.cuda.current_stream().synchronize()

    def _launch(self) -> None:
        self._network.inputs.copy_(self._given, non_blocking=True)
        self._network.launch()
        self._found.copy_(self._network.outputs, non_blocking=True)

    def _record(self) -> torch.cuda.CUDAGraph:
        """The graph of an evaluation, after one that compiles what is not compiled yet."""
        _log.info("the GPU's kernels are made ready, which takes half a minute where they were never compiled")
        self._launch()
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        # Other threads, such as OpenMM's, may go on calling CUDA meanwhile.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            self._launch()
        return graph
