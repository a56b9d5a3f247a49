"""A pair list on a device, in arrays whose sizes stay: what the kernels read, and what a CUDA graph has recorded."""

from __future__ import annotations

import torch
from torch import Tensor

_MULTIPLE = 64
"""Capacities are multiples of this many pairs: whole blocks of every kernel."""


class PairList:
    """Pairs, and for each atom the pairs that it is in.

    Args:
        n_atoms: of all copies.
        capacity: pairs that there is room for; rounded up.
        device: where.

    Attributes:
        first, second: (capacity,) int32.
        shifts: (3 capacity,) int32, whole numbers of cells, pair after pair.
        n_pairs: (1,) int32, how many of them there are.
        starts: (n_atoms + 1,) int32: the entries of atom i are those from starts[i] to starts[i + 1].
        incident: (2 capacity,) int32: 2 p for the first atom of pair p, 2 p + 1 for the second.
        others: (2 capacity,) int32: the other atom of the pair.
    """

    def __init__(self, n_atoms: int, capacity: int, device: torch.device) -> None:
        self.n_atoms = n_atoms
        self.capacity = max(1, -(-capacity // _MULTIPLE)) * _MULTIPLE

        def zeros(length: int) -> Tensor:
            return torch.zeros(length, dtype=torch.int32, device=device)

        self.first, self.second, self.shifts = zeros(self.capacity), zeros(self.capacity), zeros(3 * self.capacity)
        self.n_pairs, self.starts = zeros(1), zeros(n_atoms + 1)
        self.incident, self.others = zeros(2 * self.capacity), zeros(2 * self.capacity)

    def load(self, pairs: Tensor, shifts: Tensor | None = None) -> None:
        """Take other pairs, at most as many as there is room for.

        Args:
            pairs: (2, n_pairs) int64, as ffpt_core.structure.pairs has them.
            shifts: (n_pairs, 3) whole numbers of cells in any type; None where nothing is periodic.
        """
        n = pairs.shape[1]
        self.first[:n].copy_(pairs[0])
        self.second[:n].copy_(pairs[1])
        if shifts is not None:
            self.shifts[: 3 * n].copy_(shifts.reshape(-1))
        self.n_pairs.fill_(n)
        owners, others = pairs.reshape(-1), pairs.flip(0).reshape(-1)
        owners, entries = torch.sort(owners, stable=True)  # sums over pairs go in this order, always
        self.incident[: 2 * n].copy_(torch.where(entries < n, 2 * entries, 2 * (entries - n) + 1))
        self.others[: 2 * n].copy_(others.index_select(0, entries))
        bounds = torch.arange(self.n_atoms + 1, dtype=owners.dtype, device=owners.device)
        self.starts.copy_(torch.searchsorted(owners, bounds))
