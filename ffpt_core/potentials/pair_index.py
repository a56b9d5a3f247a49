"""From atoms to the pairs that they are in, and back: gathers and sums of rows.

PyTorch's own sums of this kind go by atomic additions on a GPU, so that two runs differ in the last digits. Where
Triton works they are sums in a fixed order here; elsewhere, and in TorchScript, they are index_add, which on a CPU has
an order of its own.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from ffpt_core.potentials.ordered_sums import why_no_triton


class PairIndex(NamedTuple):
    """The atoms of pairs, and perhaps the pairs of atoms."""

    first: Tensor  # (n_pairs,) int64
    second: Tensor  # (n_pairs,) int64
    # The entries of atom i are those from starts[i] to starts[i + 1]: p for the first atom of pair p, n_pairs + p for
    # the second.
    starts: Tensor | None  # (n_atoms + 1,) int64
    entries: Tensor | None  # (2 n_pairs,) int64


def unordered(pairs: Tensor) -> PairIndex:
    """The index of (2, n_pairs) pairs for sums in PyTorch's order."""
    return PairIndex(pairs[0], pairs[1], None, None)


def ordered(pairs: Tensor, n_atoms: int) -> PairIndex:
    """The index of (2, n_pairs) pairs of n_atoms for sums in the order of pairs, by Triton."""
    starts, entries = _grouped(pairs.reshape(-1), n_atoms)
    return PairIndex(pairs[0], pairs[1], starts, entries)


def index_pairs(pairs: Tensor, n_atoms: int) -> PairIndex:
    """The index of (2, n_pairs) pairs of n_atoms: ordered on a GPU where Triton works."""
    return ordered(pairs, n_atoms) if _in_order(pairs) else unordered(pairs)


def at_pairs(x: Tensor, index: PairIndex) -> tuple[Tensor, Tensor]:
    """Rows of x, (n_atoms, ...), of the first and of the second atom of each pair; each (n_pairs, ...)."""
    if torch.jit.is_scripting():
        return x.index_select(0, index.first), x.index_select(0, index.second)
    if index.starts is None:
        return x.index_select(0, index.first), x.index_select(0, index.second)
    return _kernels().AtPairs.apply(x, *index)


def add_pairs(x: Tensor, to_first: Tensor, to_second: Tensor, index: PairIndex) -> Tensor:
    """x, (n_atoms, ...), with a row added for every pair to its first atom and one to its second, (n_pairs, ...)."""
    if torch.jit.is_scripting():
        return x.index_add(0, index.first, to_first).index_add(0, index.second, to_second)
    if index.starts is None:
        return x.index_add(0, index.first, to_first).index_add(0, index.second, to_second)
    return _kernels().AddPairs.apply(x, to_first, to_second, *index)


def rows_of(table: Tensor, numbers: Tensor) -> Tensor:
    """Rows of a table, (n_rows, ...), by (n,) numbers, 0 for none: an embedding without a row 0.

    The gradient of PyTorch's embedding is a sum in no fixed order; that of a product with ones and zeros is.
    """
    if torch.is_grad_enabled() and table.requires_grad and _in_order(numbers):
        rows = torch.arange(1, len(table), device=table.device)
        return (numbers.unsqueeze(1) == rows).to(table.dtype) @ table[1:]
    return torch.nn.functional.embedding(numbers, table, padding_idx=0)


def sum_by_owner(values: Tensor, owners: Tensor, n_owners: int) -> Tensor:
    """(n_owners,): the sum of the (n,) values of each of (n,) owners, which are numbers below n_owners."""
    zeros = values.new_zeros(n_owners)
    if not _in_order(owners):
        return zeros.index_add(0, owners, values)
    # One row for each value, as if it were a pair of which the second atom does not count.
    index = PairIndex(owners, owners[:0], *_grouped(owners, n_owners))
    return _kernels().AddPairs.apply(zeros, values, values[:0], *index)


def _kernels() -> Any:
    """The module of what needs Triton, which not every PyTorch brings."""
    from ffpt_core.potentials.ordered_sums import autograd

    return autograd


def _in_order(index: Tensor) -> bool:
    return index.is_cuda and not why_no_triton(index.device)


def _grouped(owners: Tensor, n_owners: int) -> tuple[Tensor, Tensor]:
    """Where the entries of each owner start, (n_owners + 1,), and all entries, owner by owner."""
    owners, entries = torch.sort(owners, stable=True)
    return torch.searchsorted(owners, torch.arange(n_owners + 1, device=owners.device)), entries
