"""Energy and forces of one system on a GPU, evaluated again and again while its atoms move."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ffpt_core.engine import STATIC_PAIRS_UP_TO
from ffpt_core.errors import FfptError
from ffpt_core.gpu.network import SEPARATE, DeviceNetwork
from ffpt_core.gpu.pair_list import PairList
from ffpt_core.gpu.support import why_not
from ffpt_core.neighbours import NeighbourList
from ffpt_core.pairs import all_pairs, find_pairs
from ffpt_core.potential import Potential
from ffpt_core.replicas import repeated_pairs

_log = logging.getLogger(__name__)

_ROOM = 1.1
"""Capacity over the length of a new pair list: where there are more pairs, everything is recorded anew."""

_HOST_SEARCH_UP_TO = 1000
"""Atoms up to which vesin on the host finds pairs faster than the device, whose search is many short launches."""


class DeviceEvaluator:
    """A potential for a fixed list of atoms, or for many copies of it that do not see each other, on its GPU.

    Called as ffpt_core.fused.FusedEvaluator, with the same results. One evaluation is one CUDA graph, positions in,
    energies and forces out: the host starts it and waits for its end. Isolated molecules up to STATIC_PAIRS_UP_TO atoms
    keep the list of all their pairs; other systems search for neighbours when atoms have moved.

    Args:
        potential: what to evaluate; its weights are copied.
        numbers: atomic numbers of one copy.
        pbc: in which directions of the cell the system is periodic.
        replicas: number of copies, which share the cell.

    Raises:
        FfptError: an element that the potential does not know; the kernels cannot run here (why_not); too little
            memory, here and when called.
    """

    def __init__(
        self,
        potential: Potential,
        numbers: Sequence[int] | np.ndarray,
        pbc: Sequence[bool] | np.ndarray = (False,) * 3,
        replicas: int = 1,
    ) -> None:
        if reason := why_not(potential):
            raise FfptError(f"the Triton kernels cannot be used: {reason}")
        self.numbers = np.array(numbers, dtype=np.int64)
        self.replicas = replicas
        potential.check_elements(self.numbers)
        self._potential, self._device = potential, potential.device
        self._shift = float(potential.shifts.cpu().numpy()[self.numbers].sum())
        self._all_numbers = torch.as_tensor(np.tile(self.numbers, replicas), device=self._device)
        self._pbc = np.array(pbc, dtype=bool)
        self._list: PairList | None = None
        self._network: DeviceNetwork | None = None
        self._graph: torch.cuda.CUDAGraph | None = None
        self._neighbours: list[NeighbourList] = []
        self._builds: list[int] = []
        n_atoms = len(self.numbers)
        # Pinned memory: a graph can copy from it and to it.
        pinned = self._device.type == "cuda"
        self._given = torch.zeros(SEPARATE + 3 * n_atoms * replicas, dtype=torch.float64, pin_memory=pinned)
        if not self._pbc.any() and n_atoms <= STATIC_PAIRS_UP_TO:
            self._take(repeated_pairs(all_pairs(n_atoms, self._device), n_atoms, replicas), None, 1.0)
        else:
            self._neighbours = [
                NeighbourList(potential.cutoff, pbc=pbc, find=None if n_atoms <= _HOST_SEARCH_UP_TO else self._find)
                for _ in range(replicas)
            ]

    def __call__(
        self, positions: np.ndarray, cell: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Evaluate. Arguments and results as those of FusedEvaluator."""
        if self._neighbours:
            self._search(positions, cell)
        given = self._given.numpy()
        given[SEPARATE:] = positions.reshape(-1)
        if cell is not None:
            given[:9] = cell.reshape(-1)
        network = self._run()
        found = self._found.numpy()
        n = len(self._all_numbers)
        energies = found[SEPARATE : SEPARATE + n].reshape(self.replicas, -1).sum(axis=1) + self._shift
        forces, virial = found[network.forces_at :].reshape(n, 3).copy(), found[:9].reshape(3, 3).copy()
        if not np.isfinite(positions).all():  # such an atom is in no pair, but must not pass unseen
            lost = ~np.isfinite(positions).all(axis=1)
            forces[lost], virial[:] = np.nan, np.nan
            energies[lost.reshape(self.replicas, -1).any(axis=1)] = np.nan
        return energies, forces, virial

    def _search(self, positions: np.ndarray, cell: np.ndarray | None) -> None:
        """Bring the pair list on the device up to date."""
        n_atoms = len(self.numbers)
        found = [
            neighbours.update(positions[k * n_atoms : (k + 1) * n_atoms], cell)
            for k, neighbours in enumerate(self._neighbours)
        ]
        builds = [neighbours.builds for neighbours in self._neighbours]
        if builds != self._builds:
            # vesin's arrays are read-only, which PyTorch does not have.
            lists = [
                [array if isinstance(array, Tensor) else torch.tensor(array, device=self._device) for array in pair]
                for pair in found
            ]
            pairs = torch.cat([pairs + k * n_atoms for k, (pairs, _) in enumerate(lists)], dim=1)
            self._take(pairs, torch.cat([shifts for _, shifts in lists]), _ROOM)
            self._builds = builds

    def _find(self, positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray, cutoff: float) -> tuple[Tensor, Tensor]:
        """ffpt_core.pairs.find_pairs on the device."""
        x, box, periodic = (torch.as_tensor(array, device=self._device) for array in (positions, cell, pbc))
        return find_pairs(x, box, periodic, cutoff)

    def _take(self, pairs: Tensor, shifts: Tensor | None, room: float) -> None:
        """A new pair list: into the arrays that are there, or into larger ones."""
        if self._list is None or pairs.shape[1] > self._list.capacity:
            n = len(self._all_numbers)
            self._list = self._network = self._graph = None  # the memory of the old ones is for the new ones
            try:
                kept = PairList(n, int(room * pairs.shape[1]), self._device)
                self._network = DeviceNetwork(self._potential, self._all_numbers, kept, bool(self._pbc.any()))
            except torch.OutOfMemoryError as error:
                raise FfptError(f"the GPU has too little memory for {n} atoms in {pairs.shape[1]:,} pairs") from error
            self._list = kept
            self._found = torch.zeros_like(self._network.outputs, device="cpu")
            if self._device.type == "cuda":
                self._found = self._found.pin_memory()
        self._list.load(pairs, shifts)

    def _run(self) -> DeviceNetwork:
        """Evaluate what is given; what is found is that of the network."""
        assert self._network is not None
        if self._device.type != "cuda":  # Triton's interpreter
            self._launch(self._network)
            return self._network
        with torch.cuda.device(self._device):
            if self._graph is None:
                self._graph = self._recorded(self._network)
            self._graph.replay()
            torch.cuda.current_stream().synchronize()
        return self._network

    def _launch(self, network: DeviceNetwork) -> None:
        network.inputs.copy_(self._given, non_blocking=True)
        network.launch()
        self._found.copy_(network.outputs, non_blocking=True)

    def _recorded(self, network: DeviceNetwork) -> torch.cuda.CUDAGraph:
        """The graph of an evaluation, after one that compiles what is not compiled yet."""
        _log.info("the GPU's kernels are made ready, which takes half a minute where they were never compiled")
        self._launch(network)
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        # Other threads, such as OpenMM's, may go on calling CUDA meanwhile.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            self._launch(network)
        return graph
