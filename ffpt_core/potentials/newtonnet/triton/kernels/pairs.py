"""What is computed for every pair: messages, and their derivatives on the way back."""

# What Triton compiles has pointers without types.
# ruff: noqa: ANN001, ANN201

from __future__ import annotations

import triton
import triton.language as tl

from ffpt_core.potentials.newtonnet.triton.kernels.common import product, silu, silu_slope


@triton.jit
def pairs_forward(
    order, count, first, second, radial, phi, we, w3, w5, w6,
    message, h1, h2, e2,
    TRANSPORT: tl.constexpr, BLOCK: tl.constexpr, F: tl.constexpr, B: tl.constexpr,
):  # fmt: skip
    """m_ij, W3 m_ij, and with TRANSPORT (all layers but the first) W5 m_ij and e2_ij."""
    place = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    n = tl.load(count)
    if tl.program_id(0) * BLOCK < n:
        inside = place < n
        pair = tl.load(order + place, mask=inside, other=0)
        i, j = tl.load(first + pair), tl.load(second + pair)
        columns = tl.arange(0, F)[None, :]
        rows = pair[:, None].to(tl.int64) * F + columns
        mask = inside[:, None]
        m = product(radial, pair.to(tl.int64) * B, inside, we, False, BLOCK, B, F)
        m *= tl.load(phi + i[:, None].to(tl.int64) * F + columns, mask=mask, other=0.0)
        m *= tl.load(phi + j[:, None].to(tl.int64) * F + columns, mask=mask, other=0.0)
        tl.store(message + rows, m, mask=mask)
        tl.debug_barrier()
        begin = pair.to(tl.int64) * F
        tl.store(h1 + rows, product(message, begin, inside, w3, False, BLOCK, F, F), mask=mask)
        if TRANSPORT:
            tl.store(h2 + rows, product(message, begin, inside, w5, False, BLOCK, F, F), mask=mask)
            tl.debug_barrier()
            tl.store(e2 + rows, product(h2, begin, inside, w6, True, BLOCK, F, F), mask=mask)


@triton.jit
def pairs_backward(
    order, count, first, second, radial, slopes, units, distances, phi, h1, h2,
    features_bar, vectors_bar, turned, vectors, we, w3_back, w5_back, w6_back,
    weighted, gradients,
    TRANSPORT: tl.constexpr, ADD: tl.constexpr,
    BLOCK: tl.constexpr, F: tl.constexpr, B: tl.constexpr,
):  # fmt: skip
    """From derivatives by atoms after a layer to those by pairs.

    gradients: this layer's share of d(energy)/d(displacement), added with ADD; weighted, with TRANSPORT:
    d(energy)/d(m_ij) times We radial_ij. vectors are those before the layer, vectors_bar those after it. h1 and h2 are
    used up.
    """
    place = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    n = tl.load(count)
    if tl.program_id(0) * BLOCK < n:
        inside = place < n
        pair = tl.load(order + place, mask=inside, other=0)
        i, j = tl.load(first + pair).to(tl.int64), tl.load(second + pair).to(tl.int64)
        columns = tl.arange(0, F)[None, :]
        rows = pair[:, None].to(tl.int64) * F + columns
        mask = inside[:, None]
        ux = tl.load(units + 3 * pair, mask=inside, other=0.0)
        uy = tl.load(units + 3 * pair + 1, mask=inside, other=0.0)
        uz = tl.load(units + 3 * pair + 2, mask=inside, other=0.0)
        at_i, at_j = i[:, None] * 3 * F + columns, j[:, None] * 3 * F + columns

        # Through silu(W3 m) u, summed over neighbours before W4.
        tx = tl.load(turned + at_i, mask=mask, other=0.0) - tl.load(turned + at_j, mask=mask, other=0.0)
        ty = tl.load(turned + at_i + F, mask=mask, other=0.0) - tl.load(turned + at_j + F, mask=mask, other=0.0)
        tz = tl.load(turned + at_i + 2 * F, mask=mask, other=0.0) - tl.load(turned + at_j + 2 * F, mask=mask, other=0.0)
        hidden = tl.load(h1 + rows, mask=mask, other=0.0)
        s = silu(hidden)
        gx, gy, gz = tl.sum(s * tx, 1), tl.sum(s * ty, 1), tl.sum(s * tz, 1)  # d/du
        bar = (tx * ux[:, None] + ty * uy[:, None] + tz * uz[:, None]) * silu_slope(hidden)
        tl.store(h1 + rows, bar, mask=mask)
        if TRANSPORT:
            e_bar = tl.load(vectors_bar + at_i, mask=mask, other=0.0) * tl.load(vectors + at_j, mask=mask, other=0.0)
            e_bar += tl.load(vectors_bar + at_j, mask=mask, other=0.0) * tl.load(vectors + at_i, mask=mask, other=0.0)
            for component in tl.static_range(1, 3):
                near, far = at_i + component * F, at_j + component * F
                e_bar += tl.load(vectors_bar + near, mask=mask, other=0.0) * tl.load(
                    vectors + far, mask=mask, other=0.0
                )
                e_bar += tl.load(vectors_bar + far, mask=mask, other=0.0) * tl.load(
                    vectors + near, mask=mask, other=0.0
                )
            tl.store(weighted + rows, e_bar, mask=mask)
        tl.debug_barrier()
        begin = pair.to(tl.int64) * F
        m_bar = product(h1, begin, inside, w3_back, False, BLOCK, F, F)
        if TRANSPORT:
            bar = product(weighted, begin, inside, w6_back, False, BLOCK, F, F)
            bar *= silu_slope(tl.load(h2 + rows, mask=mask, other=0.0))
            tl.store(h2 + rows, bar, mask=mask)
            tl.debug_barrier()
            m_bar += product(h2, begin, inside, w5_back, False, BLOCK, F, F)
        m_bar += tl.load(features_bar + i[:, None] * F + columns, mask=mask, other=0.0)
        m_bar += tl.load(features_bar + j[:, None] * F + columns, mask=mask, other=0.0)

        # Through the radial functions: d/dr.
        basis = pair.to(tl.int64) * B
        both = tl.load(phi + i[:, None] * F + columns, mask=mask, other=0.0)
        both *= tl.load(phi + j[:, None] * F + columns, mask=mask, other=0.0)
        r_bar = tl.sum(m_bar * both * product(slopes, basis, inside, we, False, BLOCK, B, F), 1)
        if TRANSPORT:
            weights = product(radial, basis, inside, we, False, BLOCK, B, F)
            tl.debug_barrier()  # weighted has been read by all
            tl.store(weighted + rows, m_bar * weights, mask=mask)
        r = tl.load(distances + pair, mask=inside, other=1.0)
        r_bar -= (gx * ux + gy * uy + gz * uz) / r
        gx, gy, gz = ux * r_bar + gx / r, uy * r_bar + gy / r, uz * r_bar + gz / r
        if ADD:
            gx += tl.load(gradients + 3 * pair, mask=inside, other=0.0)
            gy += tl.load(gradients + 3 * pair + 1, mask=inside, other=0.0)
            gz += tl.load(gradients + 3 * pair + 2, mask=inside, other=0.0)
        tl.store(gradients + 3 * pair, gx, mask=inside)
        tl.store(gradients + 3 * pair + 1, gy, mask=inside)
        tl.store(gradients + 3 * pair + 2, gz, mask=inside)
