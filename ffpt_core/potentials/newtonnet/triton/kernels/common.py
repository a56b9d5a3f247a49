"""What several kernels share: products, and which rows are whose."""

# What Triton compiles has pointers without types.
# ruff: noqa: ANN001, ANN201

from __future__ import annotations

import triton
import triton.language as tl

_CHUNK: tl.constexpr = tl.constexpr(32)  # columns of a product's first factor that are read at once


@triton.jit
def silu(x):
    """x sigmoid(x)."""
    return x * tl.sigmoid(x)


@triton.jit
def silu_slope(x):
    """silu'(x)."""
    sigmoid = tl.sigmoid(x)
    return sigmoid * (1.0 + x * (1.0 - sigmoid))


@triton.jit
def product(
    source, rows, mask, matrix,
    SILU: tl.constexpr, BLOCK: tl.constexpr, K: tl.constexpr, F: tl.constexpr,
):  # fmt: skip
    """(BLOCK, F): rows of an array in memory, or silu of them, times a (K, F) matrix.

    A factor comes from memory, piece by piece, also where this program has just written it (then behind a barrier):
    with whole rows and a whole matrix in registers a product is up to ten times slower.

    Args:
        rows: (BLOCK,) where the rows begin, int64; those outside of mask count as zeros.
    """
    inner, columns = tl.arange(0, _CHUNK), tl.arange(0, F)
    total = tl.zeros((BLOCK, F), source.dtype.element_ty)
    for k in range(0, K, _CHUNK):
        x = tl.load(source + rows[:, None] + (k + inner)[None, :], mask=mask[:, None], other=0.0)
        if SILU:
            x = silu(x)
        w = tl.load(matrix + (k + inner)[:, None] * F + columns[None, :])
        total = tl.dot(x, w, total, input_precision="ieee", out_dtype=total.dtype)
    return total


@triton.jit
def incident_pairs(entry, end, incident, others, distances, cutoff):
    """Pair, other atom, sign (1 for the first atom of the pair, -1 for the second) and whether it counts."""
    inside = entry < end
    code = tl.load(incident + entry, mask=inside, other=0)
    pair = code // 2
    counts = inside & (tl.load(distances + pair, mask=inside, other=cutoff) < cutoff)
    return pair, tl.load(others + entry, mask=inside, other=0), 1 - 2 * (code % 2), counts


@triton.jit
def rows4(n_atoms, BLOCK: tl.constexpr, F: tl.constexpr):
    """4 BLOCK rows, four to an atom.

    Returns:
        For each row its atom, whether that exists, whether the row is one of three components, whether it is the
        fourth; and where it begins in (n_atoms, 3, F) and in (n_atoms, F).
    """
    row = tl.arange(0, 4 * BLOCK)
    atom = tl.program_id(0) * BLOCK + row // 4
    component = row % 4
    there = atom < n_atoms
    wide = (atom.to(tl.int64) * 3 + component) * F
    return atom, there, there & (component < 3), there & (component == 3), wide, atom.to(tl.int64) * F


@triton.jit
def over_components(x, BLOCK: tl.constexpr, F: tl.constexpr):
    """Sum over the four rows of each atom, in all four of them."""
    total = tl.sum(tl.reshape(x, (BLOCK, 4, F)), 1)
    return tl.reshape(tl.broadcast_to(total[:, None, :], (BLOCK, 4, F)), (4 * BLOCK, F))
