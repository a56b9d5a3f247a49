"""Sums over the neighbours of an atom, in a fixed order."""

# What Triton compiles has pointers without types.
# ruff: noqa: ANN001, ANN201

from __future__ import annotations

import triton
import triton.language as tl

from ffpt_core.potentials.newtonnet.triton.kernels.common import incident_pairs, silu


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
        pair, other, sign, counts = incident_pairs(
            block + tl.arange(0, BLOCK), end, incident, others, distances, cutoff
        )
        mask = counts[:, None]
        rows = pair[:, None].to(tl.int64) * F + columns[None, :]
        m += tl.load(message + rows, mask=mask, other=0.0)
        s = silu(tl.load(h1 + rows, mask=mask, other=0.0)) * sign[:, None].to(m.dtype)
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
        pair, other, _, counts = incident_pairs(block + tl.arange(0, BLOCK), end, incident, others, distances, cutoff)
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
