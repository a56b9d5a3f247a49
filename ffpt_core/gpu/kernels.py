"""The Triton kernels: energies and forces of NewtonNet in about twenty launches.

Letters are those of DESIGN and ffpt_core.newtonnet: W1..W6, We, Wu, phi, m, e2, f. What differs from the equations as
they are written down, with the same results:

- Sums over neighbours come before W4: f_i += W4 sum_j silu(W3 m_ij) u_ij, a product over atoms instead of pairs.
- Sums go over the pairs of an atom in a fixed order, without atomic additions: results repeat bit for bit.
- Arrays of vectors are (n_atoms, 3, F). Kernels over atoms hold four rows for each, of which the fourth is empty, so
  that a product takes all components at once.

Rows of pairs are those of the pair list. ``order`` names the pairs within the cutoff, ``count`` says how many there
are; rows of others are never read. A program looks at BLOCK pairs or atoms; F is the number of features, B that of
radial functions, rounded up to a multiple of 32.
"""

# A kernel takes pointers without types, and what Triton compiles knows no keyword-only arguments.
# ruff: noqa: ANN001, ANN201, ANN202

from __future__ import annotations

import triton
import triton.language as tl

_CHUNK: tl.constexpr = tl.constexpr(32)  # columns of a product's first factor that are read at once


@triton.jit
def _silu(x):
    return x * tl.sigmoid(x)


@triton.jit
def _silu_slope(x):
    sigmoid = tl.sigmoid(x)
    return sigmoid * (1.0 + x * (1.0 - sigmoid))


@triton.jit
def _product(
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
            x = _silu(x)
        w = tl.load(matrix + (k + inner)[:, None] * F + columns[None, :])
        total = tl.dot(x, w, total, input_precision="ieee", out_dtype=total.dtype)
    return total


@triton.jit(do_not_specialize=["n_basis"])
def geometry(
    positions, cell, first, second, shifts, n_pairs, frequencies,
    units, distances, active, radial, slopes, displacements,
    cutoff, n_basis, PERIODIC: tl.constexpr, BLOCK: tl.constexpr, B: tl.constexpr,
):  # fmt: skip
    """Distances, unit vectors, radial functions and their slopes; which pairs are within the cutoff.

    Differences of positions are formed in the type of positions, float64. A pair beyond the cutoff, or with a
    coordinate that is not a number, gets the distance of the cutoff, and is not active.
    """
    pair = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = pair < tl.load(n_pairs)
    i = tl.load(first + pair, mask=inside, other=0)
    j = tl.load(second + pair, mask=inside, other=0)
    dx = tl.load(positions + 3 * i) - tl.load(positions + 3 * j)
    dy = tl.load(positions + 3 * i + 1) - tl.load(positions + 3 * j + 1)
    dz = tl.load(positions + 3 * i + 2) - tl.load(positions + 3 * j + 2)
    if PERIODIC:
        a = tl.load(shifts + 3 * pair, mask=inside, other=0).to(dx.dtype)
        b = tl.load(shifts + 3 * pair + 1, mask=inside, other=0).to(dx.dtype)
        c = tl.load(shifts + 3 * pair + 2, mask=inside, other=0).to(dx.dtype)
        dx += a * tl.load(cell) + b * tl.load(cell + 3) + c * tl.load(cell + 6)
        dy += a * tl.load(cell + 1) + b * tl.load(cell + 4) + c * tl.load(cell + 7)
        dz += a * tl.load(cell + 2) + b * tl.load(cell + 5) + c * tl.load(cell + 8)
    kind = distances.dtype.element_ty
    dx, dy, dz = dx.to(kind), dy.to(kind), dz.to(kind)
    r = tl.sqrt(dx * dx + dy * dy + dz * dz)
    close = inside & (r < cutoff)
    r = tl.where(close, r, cutoff)
    tl.store(active + pair, close.to(tl.int32))
    tl.store(distances + pair, r)
    tl.store(displacements + 3 * pair, dx, mask=close)
    tl.store(displacements + 3 * pair + 1, dy, mask=close)
    tl.store(displacements + 3 * pair + 2, dz, mask=close)
    tl.store(units + 3 * pair, dx / r, mask=close)
    tl.store(units + 3 * pair + 1, dy / r, mask=close)
    tl.store(units + 3 * pair + 2, dz / r, mask=close)

    # b_n = envelope(x) sin(n pi x) / x, as ffpt_core.newtonnet.RadialBasis has it.
    n = tl.arange(0, B)
    x = r / cutoff
    x2 = x * x
    x8 = x2 * x2 * x2 * x2
    envelope = (1.0 + x8 * x * (-55.0 + x * (99.0 - 45.0 * x)))[:, None]
    envelope_slope = (x8 * (-495.0 + x * (990.0 - 495.0 * x)))[:, None]
    frequency = tl.load(frequencies + n, mask=n < n_basis, other=0.0)[None, :]
    phase = frequency * x[:, None]
    wave = tl.sin(phase) / x[:, None]
    wave_slope = (frequency * tl.cos(phase) - wave) / x[:, None]
    where = pair[:, None].to(tl.int64) * B + n[None, :]
    kept = close[:, None] & (n < n_basis)[None, :]
    tl.store(radial + where, tl.where(kept, envelope * wave, 0.0), mask=close[:, None])
    slope = (envelope_slope * wave + envelope * wave_slope) / cutoff
    tl.store(slopes + where, tl.where(kept, slope, 0.0), mask=close[:, None])


@triton.jit(do_not_specialize=["n_rows"])
def compact(active, rank, order, count, n_rows, BLOCK: tl.constexpr):
    """order: the active pairs, one after the other; count: how many. rank is the running sum of active."""
    pair = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = pair < n_rows
    close = tl.load(active + pair, mask=inside, other=0) > 0
    place = tl.load(rank + pair, mask=inside, other=0)
    tl.store(order + place - 1, pair, mask=inside & close)
    tl.store(count + 0 * pair, place, mask=pair == n_rows - 1)


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
        m = _product(radial, pair.to(tl.int64) * B, inside, we, False, BLOCK, B, F)
        m *= tl.load(phi + i[:, None].to(tl.int64) * F + columns, mask=mask, other=0.0)
        m *= tl.load(phi + j[:, None].to(tl.int64) * F + columns, mask=mask, other=0.0)
        tl.store(message + rows, m, mask=mask)
        tl.debug_barrier()
        begin = pair.to(tl.int64) * F
        tl.store(h1 + rows, _product(message, begin, inside, w3, False, BLOCK, F, F), mask=mask)
        if TRANSPORT:
            tl.store(h2 + rows, _product(message, begin, inside, w5, False, BLOCK, F, F), mask=mask)
            tl.debug_barrier()
            tl.store(e2 + rows, _product(h2, begin, inside, w6, True, BLOCK, F, F), mask=mask)


@triton.jit
def _incident(entry, end, incident, others, distances, cutoff):
    """Pair, other atom, sign (1 for the first atom of the pair, -1 for the second) and whether it counts."""
    inside = entry < end
    code = tl.load(incident + entry, mask=inside, other=0)
    pair = code // 2
    counts = inside & (tl.load(distances + pair, mask=inside, other=cutoff) < cutoff)
    return pair, tl.load(others + entry, mask=inside, other=0), 1 - 2 * (code % 2), counts


@triton.jit
def atoms_gather(
    starts, incident, others, distances, units, message, h1, e2, features, vectors,
    summed, along, carried, cutoff,
    TRANSPORT: tl.constexpr, BLOCK: tl.constexpr, F: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Sums over the neighbours of an atom, COLUMNS features in a program.

    summed: a_i + sum m_ij; along: sum silu(W3 m_ij) u_ij; with TRANSPORT, carried: f_i + sum e2_ij f_j.
    """
    atom = tl.program_id(0)
    start, end = tl.load(starts + atom), tl.load(starts + atom + 1)
    columns = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    m = tl.zeros((BLOCK, COLUMNS), message.dtype.element_ty)
    ax, ay, az, fx, fy, fz = m, m, m, m, m, m
    block = start
    while block < end:
        pair, other, sign, counts = _incident(block + tl.arange(0, BLOCK), end, incident, others, distances, cutoff)
        mask = counts[:, None]
        rows = pair[:, None].to(tl.int64) * F + columns[None, :]
        m += tl.load(message + rows, mask=mask, other=0.0)
        s = _silu(tl.load(h1 + rows, mask=mask, other=0.0)) * sign[:, None].to(m.dtype)
        ax += s * tl.load(units + 3 * pair, mask=counts, other=0.0)[:, None]
        ay += s * tl.load(units + 3 * pair + 1, mask=counts, other=0.0)[:, None]
        az += s * tl.load(units + 3 * pair + 2, mask=counts, other=0.0)[:, None]
        if TRANSPORT:
            e = tl.load(e2 + rows, mask=mask, other=0.0)
            far = other[:, None].to(tl.int64) * 3 * F + columns[None, :]
            fx += e * tl.load(vectors + far, mask=mask, other=0.0)
            fy += e * tl.load(vectors + far + F, mask=mask, other=0.0)
            fz += e * tl.load(vectors + far + 2 * F, mask=mask, other=0.0)
        block += BLOCK
    own = atom.to(tl.int64) * F + columns
    own3 = atom.to(tl.int64) * 3 * F + columns
    tl.store(summed + own, tl.load(features + own) + tl.sum(m, 0))
    tl.store(along + own3, tl.sum(ax, 0))
    tl.store(along + own3 + F, tl.sum(ay, 0))
    tl.store(along + own3 + 2 * F, tl.sum(az, 0))
    if TRANSPORT:
        tl.store(carried + own3, tl.load(vectors + own3) + tl.sum(fx, 0))
        tl.store(carried + own3 + F, tl.load(vectors + own3 + F) + tl.sum(fy, 0))
        tl.store(carried + own3 + 2 * F, tl.load(vectors + own3 + 2 * F) + tl.sum(fz, 0))


@triton.jit
def _rows4(n_atoms, BLOCK: tl.constexpr, F: tl.constexpr):
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
def _over_components(x, BLOCK: tl.constexpr, F: tl.constexpr):
    """Sum over the four rows of each atom, in all four of them."""
    total = tl.sum(tl.reshape(x, (BLOCK, 4, F)), 1)
    return tl.reshape(tl.broadcast_to(total[:, None, :], (BLOCK, 4, F)), (4 * BLOCK, F))


@triton.jit
def _end_of_layer(
    summed, along, carried, w4, wu, features, vectors, updated, n_atoms,
    TRANSPORT: tl.constexpr, BLOCK: tl.constexpr, F: tl.constexpr,
):  # fmt: skip
    """f_i, Wu f_i and a_i, which go to memory; a_i comes back as well, in four rows."""
    _, there, is_vector, once, wide, narrow = _rows4(n_atoms, BLOCK, F)
    columns = tl.arange(0, F)[None, :]
    f = _product(along, wide, is_vector, w4, False, 4 * BLOCK, F, F)
    if TRANSPORT:
        f += tl.load(carried + wide[:, None] + columns, mask=is_vector[:, None], other=0.0)
    tl.store(vectors + wide[:, None] + columns, f, mask=is_vector[:, None])
    tl.debug_barrier()
    u = _product(vectors, wide, is_vector, wu, False, 4 * BLOCK, F, F)
    tl.store(updated + wide[:, None] + columns, u, mask=is_vector[:, None])
    a = tl.load(summed + narrow[:, None] + columns, mask=there[:, None], other=0.0) + _over_components(f * u, BLOCK, F)
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
    _, there, _, once, _, narrow = _rows4(n_atoms, BLOCK, F)
    columns = tl.arange(0, F)[None, :]
    own = narrow[:, None] + columns
    h = _product(features, narrow, there, w1, False, 4 * BLOCK, F, F) + tl.load(b1 + columns)
    tl.store(hidden + own, h, mask=once[:, None])
    tl.debug_barrier()
    p = _product(hidden, narrow, there, w2, True, 4 * BLOCK, F, F) + tl.load(b2 + columns)
    tl.store(phi + own, p, mask=once[:, None])


@triton.jit
def _start_of_way_back(
    a_bar, f, u, old_vectors_bar, wu_back, w4_back, work, vectors_bar, turned, n_atoms,
    ADD: tl.constexpr, BLOCK: tl.constexpr, F: tl.constexpr,
):  # fmt: skip
    """d/df = a_bar Wu f + (a_bar f) Wu, with ADD and what came through the layer after; and (d/df) W4."""
    _, _, is_vector, _, wide, _ = _rows4(n_atoms, BLOCK, F)
    where, mask = wide[:, None] + tl.arange(0, F)[None, :], is_vector[:, None]
    tl.store(work + where, a_bar * f, mask=mask)
    tl.debug_barrier()
    f_bar = a_bar * u + _product(work, wide, is_vector, wu_back, False, 4 * BLOCK, F, F)
    if ADD:
        f_bar += tl.load(old_vectors_bar + where, mask=mask, other=0.0)
    tl.store(vectors_bar + where, f_bar, mask=mask)
    tl.debug_barrier()
    tl.store(turned + where, _product(vectors_bar, wide, is_vector, w4_back, False, 4 * BLOCK, F, F), mask=mask)


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
    atom, there, _, once, _, narrow = _rows4(n_atoms, BLOCK, F)
    columns = tl.arange(0, F)[None, :]
    own, only = narrow[:, None] + columns, once[:, None]
    first = _product(features, narrow, there, r1, False, 4 * BLOCK, F, F) + tl.load(c1 + columns)
    tl.store(hidden + own, first, mask=only)
    tl.debug_barrier()
    second = _product(hidden, narrow, there, r2, True, 4 * BLOCK, F, F) + tl.load(c2 + columns)
    last = tl.load(r3 + columns)
    scale = tl.load(scales + atom, mask=there, other=0.0)
    energy = (tl.sum(_silu(second) * last, 1) + tl.load(c3)) * scale
    tl.store(energies + atom, energy.to(energies.dtype.element_ty), mask=once)
    tl.debug_barrier()  # hidden has been read by all
    tl.store(hidden + own, scale[:, None] * last * _silu_slope(second), mask=only)
    tl.debug_barrier()
    bar = _product(hidden, narrow, there, r2_back, False, 4 * BLOCK, F, F) * _silu_slope(first)
    tl.debug_barrier()
    tl.store(hidden + own, bar, mask=only)
    tl.debug_barrier()
    bar = _product(hidden, narrow, there, r1_back, False, 4 * BLOCK, F, F)
    tl.store(features_bar + own, bar, mask=only)
    _start_of_way_back(
        bar, f, u, work, wu_back, w4_back, work, vectors_bar, turned, n_atoms, False, BLOCK, F
    )  # fmt: skip


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
        s = _silu(hidden)
        gx, gy, gz = tl.sum(s * tx, 1), tl.sum(s * ty, 1), tl.sum(s * tz, 1)  # d/du
        bar = (tx * ux[:, None] + ty * uy[:, None] + tz * uz[:, None]) * _silu_slope(hidden)
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
        m_bar = _product(h1, begin, inside, w3_back, False, BLOCK, F, F)
        if TRANSPORT:
            bar = _product(weighted, begin, inside, w6_back, False, BLOCK, F, F)
            bar *= _silu_slope(tl.load(h2 + rows, mask=mask, other=0.0))
            tl.store(h2 + rows, bar, mask=mask)
            tl.debug_barrier()
            m_bar += _product(h2, begin, inside, w5_back, False, BLOCK, F, F)
        m_bar += tl.load(features_bar + i[:, None] * F + columns, mask=mask, other=0.0)
        m_bar += tl.load(features_bar + j[:, None] * F + columns, mask=mask, other=0.0)

        # Through the radial functions: d/dr.
        basis = pair.to(tl.int64) * B
        both = tl.load(phi + i[:, None] * F + columns, mask=mask, other=0.0)
        both *= tl.load(phi + j[:, None] * F + columns, mask=mask, other=0.0)
        r_bar = tl.sum(m_bar * both * _product(slopes, basis, inside, we, False, BLOCK, B, F), 1)
        if TRANSPORT:
            weights = _product(radial, basis, inside, we, False, BLOCK, B, F)
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


@triton.jit
def atoms_gather_back(
    starts, incident, others, distances, weighted, e2, phi, vectors_bar,
    phi_bar, old_vectors_bar, cutoff, BLOCK: tl.constexpr, F: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Sums over the neighbours of an atom on the way back: d/dphi_i, and d/df_i before the layer."""
    atom = tl.program_id(0)
    start, end = tl.load(starts + atom), tl.load(starts + atom + 1)
    columns = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    p = tl.zeros((BLOCK, COLUMNS), weighted.dtype.element_ty)
    fx, fy, fz = p, p, p
    block = start
    while block < end:
        pair, other, _, counts = _incident(block + tl.arange(0, BLOCK), end, incident, others, distances, cutoff)
        mask = counts[:, None]
        rows = pair[:, None].to(tl.int64) * F + columns[None, :]
        far = other[:, None].to(tl.int64) * F + columns[None, :]
        p += tl.load(weighted + rows, mask=mask, other=0.0) * tl.load(phi + far, mask=mask, other=0.0)
        e = tl.load(e2 + rows, mask=mask, other=0.0)
        far = other[:, None].to(tl.int64) * 3 * F + columns[None, :]
        fx += e * tl.load(vectors_bar + far, mask=mask, other=0.0)
        fy += e * tl.load(vectors_bar + far + F, mask=mask, other=0.0)
        fz += e * tl.load(vectors_bar + far + 2 * F, mask=mask, other=0.0)
        block += BLOCK
    own3 = atom.to(tl.int64) * 3 * F + columns
    tl.store(phi_bar + atom.to(tl.int64) * F + columns, tl.sum(p, 0))
    tl.store(old_vectors_bar + own3, tl.load(vectors_bar + own3) + tl.sum(fx, 0))
    tl.store(old_vectors_bar + own3 + F, tl.load(vectors_bar + own3 + F) + tl.sum(fy, 0))
    tl.store(old_vectors_bar + own3 + 2 * F, tl.load(vectors_bar + own3 + 2 * F) + tl.sum(fz, 0))


@triton.jit(do_not_specialize=["n_atoms"])
def atoms_backward(
    phi_bar, hidden, old_vectors_bar, vectors, updated, w2_back, w1_back, wu_back, w4_back,
    features_bar, old_features_bar, work, vectors_bar, turned, n_atoms,
    BLOCK: tl.constexpr, F: tl.constexpr,
):  # fmt: skip
    """From the start of a layer back through the end of the one before: d/da, d/df and (d/df) W4. hidden is used up."""
    _, there, is_vector, once, wide, narrow = _rows4(n_atoms, BLOCK, F)
    columns = tl.arange(0, F)[None, :]
    own, here, only = narrow[:, None] + columns, there[:, None], once[:, None]
    bar = _product(phi_bar, narrow, there, w2_back, False, 4 * BLOCK, F, F)
    bar *= _silu_slope(tl.load(hidden + own, mask=here, other=0.0))
    tl.debug_barrier()
    tl.store(hidden + own, bar, mask=only)
    tl.debug_barrier()
    a_bar = _product(hidden, narrow, there, w1_back, False, 4 * BLOCK, F, F)
    a_bar += tl.load(features_bar + own, mask=here, other=0.0)
    tl.store(old_features_bar + own, a_bar, mask=only)
    f = tl.load(vectors + wide[:, None] + columns, mask=is_vector[:, None], other=0.0)
    u = tl.load(updated + wide[:, None] + columns, mask=is_vector[:, None], other=0.0)
    _start_of_way_back(
        a_bar, f, u, old_vectors_bar, wu_back, w4_back, work, vectors_bar, turned, n_atoms, True, BLOCK, F
    )  # fmt: skip


@triton.jit
def forces(
    starts, incident, others, distances, displacements, gradients, output, virials, cutoff, BLOCK: tl.constexpr
):  # fmt: skip
    """Forces, and the share of each atom, half of each of its pairs, in the virial sum displacement x gradient."""
    atom = tl.program_id(0)
    start, end = tl.load(starts + atom), tl.load(starts + atom + 1)
    kind = output.dtype.element_ty
    x = tl.zeros((BLOCK,), kind)
    y, z = x, x
    xx, xy, xz, yx, yy, yz, zx, zy, zz = x, x, x, x, x, x, x, x, x
    block = start
    while block < end:
        pair, _, sign, counts = _incident(block + tl.arange(0, BLOCK), end, incident, others, distances, cutoff)
        sign = sign.to(kind)
        gx = tl.load(gradients + 3 * pair, mask=counts, other=0.0).to(kind)
        gy = tl.load(gradients + 3 * pair + 1, mask=counts, other=0.0).to(kind)
        gz = tl.load(gradients + 3 * pair + 2, mask=counts, other=0.0).to(kind)
        dx = 0.5 * tl.load(displacements + 3 * pair, mask=counts, other=0.0).to(kind)
        dy = 0.5 * tl.load(displacements + 3 * pair + 1, mask=counts, other=0.0).to(kind)
        dz = 0.5 * tl.load(displacements + 3 * pair + 2, mask=counts, other=0.0).to(kind)
        x, y, z = x - sign * gx, y - sign * gy, z - sign * gz
        xx, xy, xz = xx + dx * gx, xy + dx * gy, xz + dx * gz
        yx, yy, yz = yx + dy * gx, yy + dy * gy, yz + dy * gz
        zx, zy, zz = zx + dz * gx, zy + dz * gy, zz + dz * gz
        block += BLOCK
    tl.store(output + 3 * atom, tl.sum(x, 0))
    tl.store(output + 3 * atom + 1, tl.sum(y, 0))
    tl.store(output + 3 * atom + 2, tl.sum(z, 0))
    tl.store(virials + 9 * atom, tl.sum(xx, 0))
    tl.store(virials + 9 * atom + 1, tl.sum(xy, 0))
    tl.store(virials + 9 * atom + 2, tl.sum(xz, 0))
    tl.store(virials + 9 * atom + 3, tl.sum(yx, 0))
    tl.store(virials + 9 * atom + 4, tl.sum(yy, 0))
    tl.store(virials + 9 * atom + 5, tl.sum(yz, 0))
    tl.store(virials + 9 * atom + 6, tl.sum(zx, 0))
    tl.store(virials + 9 * atom + 7, tl.sum(zy, 0))
    tl.store(virials + 9 * atom + 8, tl.sum(zz, 0))
