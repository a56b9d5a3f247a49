"""Between positions and pairs: distances, directions, radial functions; and back, the forces."""

# What Triton compiles has pointers without types.
# ruff: noqa: ANN001, ANN201

from __future__ import annotations

import triton
import triton.language as tl

from ffpt_core.potentials.newtonnet.triton.kernels.common import incident_pairs


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

    # b_n = envelope(x) sin(n pi x) / x, as ffpt_core.potentials.newtonnet.network.RadialBasis has it.
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
        pair, _, sign, counts = incident_pairs(block + tl.arange(0, BLOCK), end, incident, others, distances, cutoff)
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
