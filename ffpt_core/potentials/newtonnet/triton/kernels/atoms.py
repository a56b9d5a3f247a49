"""What is computed for every atom: ends and starts of layers, the readout, and their derivatives."""

# What Triton compiles has pointers without types.
# ruff: noqa: ANN001, ANN201, ANN202

from __future__ import annotations

import triton
import triton.language as tl

from ffpt_core.potentials.newtonnet.triton.kernels.common import over_components, product, rows4, silu, silu_slope


@triton.jit
def _end_of_layer(
    summed, along, carried, w4, wu, features, vectors, updated, n_atoms,
    TRANSPORT: tl.constexpr, BLOCK: tl.constexpr, F: tl.constexpr,
):  # fmt: skip
    """f_i, Wu f_i and a_i, which go to memory; a_i comes back as well, in four rows."""
    _, there, is_vector, once, wide, narrow = rows4(n_atoms, BLOCK, F)
    columns = tl.arange(0, F)[None, :]
    f = product(along, wide, is_vector, w4, False, 4 * BLOCK, F, F)
    if TRANSPORT:
        f += tl.load(carried + wide[:, None] + columns, mask=is_vector[:, None], other=0.0)
    tl.store(vectors + wide[:, None] + columns, f, mask=is_vector[:, None])
    tl.debug_barrier()
    u = product(vectors, wide, is_vector, wu, False, 4 * BLOCK, F, F)
    tl.store(updated + wide[:, None] + columns, u, mask=is_vector[:, None])
    a = tl.load(summed + narrow[:, None] + columns, mask=there[:, None], other=0.0) + over_components(f * u, BLOCK, F)
    tl.store(features + narrow[:, None] + columns, a, mask=once[:, None])
    tl.debug_barrier()
    return f, u


@triton.jit(do_not_specialize=["n_atoms"])
def atoms_forward(
    summed, along, carried, w4, wu, w1, b1, w2, b2,
    features, vectors, updated, hidden, phi, n_atoms,
    TRANSPORT: tl.constexpr, BLOCK: tl.constexpr, F: tl.constexpr,
):  # fmt: skip
    """End of a layer and start of the next: f_i, Wu f_i, a_i, W1 a_i + b1 and phi_i."""
    _end_of_layer(
        summed, along, carried, w4, wu, features, vectors, updated, n_atoms, TRANSPORT, BLOCK, F
    )  # fmt: skip
    _, there, _, once, _, narrow = rows4(n_atoms, BLOCK, F)
    columns = tl.arange(0, F)[None, :]
    own = narrow[:, None] + columns
    h = product(features, narrow, there, w1, False, 4 * BLOCK, F, F) + tl.load(b1 + columns)
    tl.store(hidden + own, h, mask=once[:, None])
    tl.debug_barrier()
    p = product(hidden, narrow, there, w2, True, 4 * BLOCK, F, F) + tl.load(b2 + columns)
    tl.store(phi + own, p, mask=once[:, None])


@triton.jit
def _start_of_way_back(
    a_bar, f, u, old_vectors_bar, wu_back, w4_back, work, vectors_bar, turned, n_atoms,
    ADD: tl.constexpr, BLOCK: tl.constexpr, F: tl.constexpr,
):  # fmt: skip
    """d/df = a_bar Wu f + (a_bar f) Wu, with ADD and what came through the layer after; and (d/df) W4."""
    _, _, is_vector, _, wide, _ = rows4(n_atoms, BLOCK, F)
    where, mask = wide[:, None] + tl.arange(0, F)[None, :], is_vector[:, None]
    tl.store(work + where, a_bar * f, mask=mask)
    tl.debug_barrier()
    f_bar = a_bar * u + product(work, wide, is_vector, wu_back, False, 4 * BLOCK, F, F)
    if ADD:
        f_bar += tl.load(old_vectors_bar + where, mask=mask, other=0.0)
    tl.store(vectors_bar + where, f_bar, mask=mask)
    tl.debug_barrier()
    tl.store(turned + where, product(vectors_bar, wide, is_vector, w4_back, False, 4 * BLOCK, F, F), mask=mask)


@triton.jit(do_not_specialize=["n_atoms"])
def atoms_turn(
    summed, along, carried, scales, w4, wu, r1, c1, r2, c2, r3, c3, r2_back, r1_back, wu_back, w4_back,
    features, vectors, updated, hidden, work, energies, features_bar, vectors_bar, turned, n_atoms,
    TRANSPORT: tl.constexpr, BLOCK: tl.constexpr, F: tl.constexpr,
):  # fmt: skip
    """End of the last layer, the energies, and the start of the way back: d/da, d/df and (d/df) W4."""
    f, u = _end_of_layer(
        summed, along, carried, w4, wu, features, vectors, updated, n_atoms, TRANSPORT, BLOCK, F
    )  # fmt: skip
    atom, there, _, once, _, narrow = rows4(n_atoms, BLOCK, F)
    columns = tl.arange(0, F)[None, :]
    own, only = narrow[:, None] + columns, once[:, None]
    first = product(features, narrow, there, r1, False, 4 * BLOCK, F, F) + tl.load(c1 + columns)
    tl.store(hidden + own, first, mask=only)
    tl.debug_barrier()
    second = product(hidden, narrow, there, r2, True, 4 * BLOCK, F, F) + tl.load(c2 + columns)
    last = tl.load(r3 + columns)
    scale = tl.load(scales + atom, mask=there, other=0.0)
    energy = (tl.sum(silu(second) * last, 1) + tl.load(c3)) * scale
    tl.store(energies + atom, energy.to(energies.dtype.element_ty), mask=once)
    tl.debug_barrier()  # hidden has been read by all
    tl.store(hidden + own, scale[:, None] * last * silu_slope(second), mask=only)
    tl.debug_barrier()
    bar = product(hidden, narrow, there, r2_back, False, 4 * BLOCK, F, F) * silu_slope(first)
    tl.debug_barrier()
    tl.store(hidden + own, bar, mask=only)
    tl.debug_barrier()
    bar = product(hidden, narrow, there, r1_back, False, 4 * BLOCK, F, F)
    tl.store(features_bar + own, bar, mask=only)
    _start_of_way_back(
        bar, f, u, work, wu_back, w4_back, work, vectors_bar, turned, n_atoms, False, BLOCK, F
    )  # fmt: skip


@triton.jit(do_not_specialize=["n_atoms"])
def atoms_backward(
    phi_bar, hidden, old_vectors_bar, vectors, updated, w2_back, w1_back, wu_back, w4_back,
    features_bar, old_features_bar, work, vectors_bar, turned, n_atoms,
    BLOCK: tl.constexpr, F: tl.constexpr,
):  # fmt: skip
    """From the start of a layer back through the end of the one before: d/da, d/df and (d/df) W4. hidden is used up."""
    _, there, is_vector, once, wide, narrow = rows4(n_atoms, BLOCK, F)
    columns = tl.arange(0, F)[None, :]
    own, here, only = narrow[:, None] + columns, there[:, None], once[:, None]
    bar = product(phi_bar, narrow, there, w2_back, False, 4 * BLOCK, F, F)
    bar *= silu_slope(tl.load(hidden + own, mask=here, other=0.0))
    tl.debug_barrier()
    tl.store(hidden + own, bar, mask=only)
    tl.debug_barrier()
    a_bar = product(hidden, narrow, there, w1_back, False, 4 * BLOCK, F, F)
    a_bar += tl.load(features_bar + own, mask=here, other=0.0)
    tl.store(old_features_bar + own, a_bar, mask=only)
    f = tl.load(vectors + wide[:, None] + columns, mask=is_vector[:, None], other=0.0)
    u = tl.load(updated + wide[:, None] + columns, mask=is_vector[:, None], other=0.0)
    _start_of_way_back(
        a_bar, f, u, old_vectors_bar, wu_back, w4_back, work, vectors_bar, turned, n_atoms, True, BLOCK, F
    )  # fmt: skip
