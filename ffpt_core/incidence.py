"""Sums over the pairs of a half pair list, and their adjoints: the only places where atoms and pairs meet.

Everything here is linear in each of its tensor arguments, and each function is the derivative of another one:
transport and contract of the form sum_p e_p (a_i b_j + a_j b_i), push, project and overlap of the form
sum_p h_p u_p (g_i - g_j), sum_to_atoms and sum_of_ends of the form sum_p m_p (a_i + a_j). Automatic differentiation
therefore needs nothing but these functions themselves.

Sums at atoms are torch's embedding_bag over pairs in the order of their atoms: one pass without intermediate arrays,
each sum in a fixed order on CPUs and GPUs (no atomic additions), with shapes that never depend on values.
"""

# TorchScript reads the annotations of this file: no postponed evaluation here.
from typing import Any, List, NamedTuple, Optional, Tuple

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag


class Incidence(NamedTuple):
    """Which atoms the pairs touch.

    An array of scalars of atoms is (n_atoms, n_features), one of vectors (n_atoms, 3 * n_features) with one Cartesian
    component behind the other. Entries are pairs as seen from their first atoms, then as seen from their second ones.
    """

    first: Tensor  # (n_pairs,)
    second: Tensor  # (n_pairs,)
    others: Tensor  # (2 * n_pairs,) the atom at the other end of each entry
    order: Tensor  # (2 * n_pairs,) entries sorted by their atoms
    pairs: Tensor  # (2 * n_pairs,) the pairs of the entries in this order
    signs: Tensor  # (2 * n_pairs,) 1 for first atoms, -1 for second ones, in this order
    offsets: Tensor  # (n_atoms,) where each atom begins in it
    ends: Tensor  # (n_pairs, 2) both atoms
    vector_ends: Tensor  # (n_pairs, 6) the rows of both atoms in (3 * n_atoms, n_features)


def incidence(pairs: Tensor, n_atoms: int, dtype: torch.dtype) -> Incidence:
    """The incidence of (2, n_pairs) int64 pairs of n_atoms atoms, for arrays of a floating-point type."""
    n_pairs = pairs.shape[1]
    atoms, order = torch.sort(pairs.flatten(), stable=True)
    is_second = order >= n_pairs
    ends = pairs.t().contiguous()
    return Incidence(
        pairs[0],
        pairs[1],
        pairs.flip(0).flatten(),
        order,
        order - n_pairs * is_second,
        1.0 - 2.0 * is_second.to(dtype),
        torch.searchsorted(atoms, torch.arange(n_atoms, device=pairs.device)),
        ends,
        (3 * ends.unsqueeze(2) + torch.arange(3, device=pairs.device)).flatten(1),
    )


def _parts(rows: Tensor, n_features: int) -> List[Tensor]:
    """The columns of vectors to work on at once.

    All on a GPU, where a small molecule costs what the launches of kernels cost. One component after the other on a
    CPU: arrays of vectors of pairs would fall out of its cache. For the same reason products are made in place.
    """
    if rows.is_cuda:
        return [rows]
    return list(rows.split(n_features, 1))


def _transport(edges: Tensor, rows: Tensor, at: Incidence) -> Tensor:
    n_pairs, n_features = edges.shape
    sums: List[Tensor] = []
    for part in _parts(rows, n_features):
        entries = part.index_select(0, at.others)
        entries.view(2, n_pairs, part.shape[1] // n_features, n_features).mul_(edges.unsqueeze(1))
        sums.append(embedding_bag(at.order, entries, at.offsets, mode="sum"))
    return sums[0] if len(sums) == 1 else torch.cat(sums, 1)


def _contract(one: Tensor, other: Tensor, n_features: int, at: Incidence) -> Tensor:
    ones, others = _parts(one, n_features), _parts(other, n_features)
    n_pairs, width = at.ends.shape[0], ones[0].shape[1]
    total = torch.zeros(n_pairs, width, dtype=one.dtype, device=one.device)
    for a, b in zip(ones, others):  # noqa: B905 (TorchScript)
        total.addcmul_(a.index_select(0, at.first), b.index_select(0, at.second))
        total.addcmul_(a.index_select(0, at.second), b.index_select(0, at.first))
    return total if width == n_features else total.view(n_pairs, width // n_features, n_features).sum(1)


def _push(edges: Tensor, weights: Tensor, at: Incidence) -> Tensor:
    sums: List[Tensor] = []
    for component in weights.t().index_select(1, at.pairs).mul_(at.signs):
        sums.append(embedding_bag(at.pairs, edges, at.offsets, mode="sum", per_sample_weights=component))
    return torch.cat(sums, 1)


def _project(weights: Tensor, rows: Tensor, at: Incidence) -> Tensor:
    components = rows.reshape(3 * rows.shape[0], rows.shape[1] // 3)
    return embedding_bag(at.vector_ends, components, mode="sum", per_sample_weights=torch.cat([weights, -weights], 1))


def _overlap(edges: Tensor, rows: Tensor, at: Incidence) -> Tensor:
    n_pairs, n_features = edges.shape
    sums: List[Tensor] = []
    for part in _parts(rows, n_features):
        difference = part.index_select(0, at.first).sub_(part.index_select(0, at.second))
        difference = difference.view(n_pairs, part.shape[1] // n_features, n_features)
        sums.append(difference.mul_(edges.unsqueeze(1)).sum(2))
    return sums[0] if len(sums) == 1 else torch.cat(sums, 1)


def _sum_to_atoms(edges: Tensor, at: Incidence) -> Tensor:
    return embedding_bag(at.pairs, edges, at.offsets, mode="sum")


def _sum_of_ends(rows: Tensor, at: Incidence) -> Tensor:
    return embedding_bag(at.ends, rows, mode="sum")


def _product_of_ends(rows: Tensor, at: Incidence) -> Tensor:
    return rows.index_select(0, at.first).mul_(rows.index_select(0, at.second))


class _Transport(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, edges: Tensor, rows: Tensor, at: Incidence) -> Tensor:
        ctx.save_for_backward(edges, rows)
        ctx.at = at
        return _transport(edges, rows, at)

    @staticmethod
    def backward(ctx: Any, bar: Tensor) -> Tuple[Optional[Tensor], Optional[Tensor], None]:
        edges, rows = ctx.saved_tensors
        return _contract(bar, rows, edges.shape[1], ctx.at), _transport(edges, bar, ctx.at), None


class _Contract(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, one: Tensor, other: Tensor, n_features: int, at: Incidence) -> Tensor:
        ctx.save_for_backward(one, other)
        ctx.at = at
        return _contract(one, other, n_features, at)

    @staticmethod
    def backward(ctx: Any, bar: Tensor) -> Tuple[Tensor, Tensor, None, None]:
        one, other = ctx.saved_tensors
        return _transport(bar, other, ctx.at), _transport(bar, one, ctx.at), None, None


class _Push(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, edges: Tensor, weights: Tensor, at: Incidence) -> Tensor:
        ctx.save_for_backward(edges, weights)
        ctx.at = at
        return _push(edges, weights, at)

    @staticmethod
    def backward(ctx: Any, bar: Tensor) -> Tuple[Tensor, Optional[Tensor], None]:
        edges, weights = ctx.saved_tensors
        overlap = _overlap(edges, bar, ctx.at) if ctx.needs_input_grad[1] else None
        return _project(weights, bar, ctx.at), overlap, None


class _Project(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weights: Tensor, rows: Tensor, at: Incidence) -> Tensor:
        ctx.save_for_backward(weights, rows)
        ctx.at = at
        return _project(weights, rows, at)

    @staticmethod
    def backward(ctx: Any, bar: Tensor) -> Tuple[Optional[Tensor], Tensor, None]:
        weights, rows = ctx.saved_tensors
        overlap = _overlap(bar, rows, ctx.at) if ctx.needs_input_grad[0] else None
        return overlap, _push(bar, weights, ctx.at), None


class _Overlap(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, edges: Tensor, rows: Tensor, at: Incidence) -> Tensor:
        ctx.save_for_backward(edges, rows)
        ctx.at = at
        return _overlap(edges, rows, at)

    @staticmethod
    def backward(ctx: Any, bar: Tensor) -> Tuple[Tensor, Tensor, None]:
        edges, rows = ctx.saved_tensors
        return _project(bar, rows, ctx.at), _push(edges, bar, ctx.at), None


class _SumToAtoms(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, edges: Tensor, at: Incidence) -> Tensor:
        ctx.at = at
        return _sum_to_atoms(edges, at)

    @staticmethod
    def backward(ctx: Any, bar: Tensor) -> Tuple[Tensor, None]:
        return _sum_of_ends(bar, ctx.at), None


class _SumOfEnds(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, at: Incidence) -> Tensor:
        ctx.at = at
        return _sum_of_ends(rows, at)

    @staticmethod
    def backward(ctx: Any, bar: Tensor) -> Tuple[Tensor, None]:
        return _sum_to_atoms(bar, ctx.at), None


class _ProductOfEnds(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, at: Incidence) -> Tensor:
        ctx.save_for_backward(rows)
        ctx.at = at
        return _product_of_ends(rows, at)

    @staticmethod
    def backward(ctx: Any, bar: Tensor) -> Tuple[Tensor, None]:
        (rows,) = ctx.saved_tensors
        return _transport(bar, rows, ctx.at), None


def transport(edges: Tensor, rows: Tensor, at: Incidence) -> Tensor:
    """Each atom's sum over its pairs of edges * rows of the other atom; (n_pairs, n_features) edges."""
    if torch.jit.is_scripting():
        return _transport(edges, rows, at)
    return _Transport.apply(edges, rows, at)


def contract(one: Tensor, other: Tensor, n_features: int, at: Incidence) -> Tensor:
    """For each pair the sum over components of one_i * other_j + one_j * other_i, (n_pairs, n_features)."""
    if torch.jit.is_scripting():
        return _contract(one, other, n_features, at)
    return _Contract.apply(one, other, n_features, at)


def push(edges: Tensor, weights: Tensor, at: Incidence) -> Tensor:
    """Each atom's sum of edges * weights over pairs that it is first in, minus that over pairs it is second in.

    Args:
        edges: (n_pairs, n_features).
        weights: (n_pairs, 3).
    """
    if torch.jit.is_scripting():
        return _push(edges, weights, at)
    return _Push.apply(edges, weights, at)


def project(weights: Tensor, rows: Tensor, at: Incidence) -> Tensor:
    """For each pair the sum over components of weights * (rows_i - rows_j), (n_pairs, n_features)."""
    if torch.jit.is_scripting():
        return _project(weights, rows, at)
    return _Project.apply(weights, rows, at)


def overlap(edges: Tensor, rows: Tensor, at: Incidence) -> Tensor:
    """For each pair and component the sum over features of edges * (rows_i - rows_j), (n_pairs, 3)."""
    if torch.jit.is_scripting():
        return _overlap(edges, rows, at)
    return _Overlap.apply(edges, rows, at)


def sum_to_atoms(edges: Tensor, at: Incidence) -> Tensor:
    """Each atom's sum over its pairs."""
    if torch.jit.is_scripting():
        return _sum_to_atoms(edges, at)
    return _SumToAtoms.apply(edges, at)


def sum_of_ends(rows: Tensor, at: Incidence) -> Tensor:
    """For each pair the sum of its two rows, (n_pairs, n_features)."""
    if torch.jit.is_scripting():
        return _sum_of_ends(rows, at)
    return _SumOfEnds.apply(rows, at)


def product_of_ends(rows: Tensor, at: Incidence) -> Tensor:
    """For each pair the product of its two rows, (n_pairs, n_features)."""
    if torch.jit.is_scripting():
        return _product_of_ends(rows, at)
    return _ProductOfEnds.apply(rows, at)
