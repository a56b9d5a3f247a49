"""The Triton kernel of sums over the pairs of an atom, in a fixed order."""

# What Triton compiles has pointers without types.
# ruff: noqa: ANN001, ANN201

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def rows_added(
    x, to_first, to_second, starts, entries, sums, n_first, width, BLOCK: tl.constexpr, COLUMNS: tl.constexpr
):
    """sums: x, and the rows of an atom's entries; entry e is row e of to_first, then row e - n_first of to_second."""
    atom = tl.program_id(0)
    start, end = tl.load(starts + atom), tl.load(starts + atom + 1)
    columns = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    there = columns < width
    total = tl.zeros((BLOCK, COLUMNS), x.dtype.element_ty)
    block = start
    while block < end:
        at = block + tl.arange(0, BLOCK)
        entry = tl.load(entries + at, mask=at < end, other=0)
        is_first = entry < n_first
        first = entry[:, None] * width + columns[None, :]
        second = (entry - n_first)[:, None] * width + columns[None, :]
        counts = (at < end)[:, None] & there[None, :]
        total += tl.load(to_first + first, mask=counts & is_first[:, None], other=0.0)
        total += tl.load(to_second + second, mask=counts & ~is_first[:, None], other=0.0)
        block += BLOCK
    own = atom.to(tl.int64) * width + columns
    tl.store(sums + own, tl.load(x + own, mask=there) + tl.sum(total, 0), mask=there)
