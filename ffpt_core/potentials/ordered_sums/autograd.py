"""Sums over the pairs of atoms in a fixed order, for training: each one's derivative is a gather, and the reverse."""

from __future__ import annotations

from typing import Any

import torch
import triton
from torch import Tensor

from ffpt_core.potentials.ordered_sums.kernel import rows_added

_BLOCK = 16
"""Rows that a program adds up at once: an atom of aspirin is in 15 pairs."""

_COLUMNS = 128


class AddPairs(torch.autograd.Function):
    """ffpt_core.potentials.pair_index.add_pairs by Triton, which autograd can differentiate any number of times."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, to_first: Tensor, to_second: Tensor, *index: Tensor) -> Tensor:
        ctx.save_for_backward(*index)
        starts, entries = index[2:]
        sums = torch.empty_like(x, memory_format=torch.contiguous_format)
        width = x[0].numel()
        columns = min(_COLUMNS, max(16, triton.next_power_of_2(width)))
        rows_added[len(x), triton.cdiv(width, columns)](
            x.contiguous(), to_first.contiguous(), to_second.contiguous(), starts, entries, sums, len(to_first), width,
            BLOCK=_BLOCK, COLUMNS=columns,
        )  # fmt: skip
        return sums

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        of_first, of_second = AtPairs.apply(gradient, *ctx.saved_tensors)
        return gradient, of_first, of_second, None, None, None, None


class AtPairs(torch.autograd.Function):
    """ffpt_core.potentials.pair_index.at_pairs by Triton, which autograd can differentiate any number of times."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, *index: Tensor) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(*index)
        ctx.shape = x.shape
        return x.index_select(0, index[0]), x.index_select(0, index[1])

    @staticmethod
    def backward(  # type: ignore[override]
        ctx: Any, of_first: Tensor, of_second: Tensor
    ) -> tuple[Tensor | None, ...]:
        added = AddPairs.apply(of_first.new_zeros(ctx.shape), of_first, of_second, *ctx.saved_tensors)
        return added, None, None, None, None
