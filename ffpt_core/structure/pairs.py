"""Half pair lists in tensor code: every pair of atoms (and of periodic images) closer than a cutoff, once.

A pair list is an int64 tensor (2, n_pairs) of first and second atoms, first <= second, with whole numbers of cells
(n_pairs, 3): the displacement of pair p is ``x[first] - x[second] + shifts[p] @ cell``. It is sorted by first atom,
second atom and shifts, in this order; of an atom and its own images, each comes once, with the first number of its
shifts that is not zero positive. Everything here is plain tensor code that TorchScript compiles, for exported
potentials, which run without ffpt; numpy callers have the same lists, faster, from ffpt_core.structure.neighbours.
"""

# TorchScript reads the annotations of this file: no postponed evaluation here.
from typing import NamedTuple

import torch
from torch import Tensor

_BLOCK = 1_000_000  # candidate pairs examined at once: about 100 MB


def all_pairs(n_atoms: int, device: torch.device | None = None) -> Tensor:
    """(2, n_atoms (n_atoms - 1) / 2) int64: every pair of n_atoms atoms, first < second."""
    return torch.triu_indices(n_atoms, n_atoms, 1, device=device)


def complete_cell(cell: Tensor, pbc: Tensor) -> Tensor:
    """The cell with the vectors of directions that are not periodic replaced by unit vectors normal to the rest.

    Args:
        cell: (3, 3) rows are cell vectors, Angstrom; those of directions without periodicity may be zero.
        pbc: (3,) bool.

    Returns:
        (3, 3) an invertible cell that spans the same lattice along the periodic directions.
    """
    completed = cell.clone()
    missing: list[int] = []
    for k in range(3):
        if not bool(pbc[k]):
            missing.append(k)
    if len(missing) == 3:
        return torch.eye(3, dtype=cell.dtype, device=cell.device)
    if len(missing) == 1:
        k = missing[0]
        normal = torch.linalg.cross(cell[(k + 1) % 3], cell[(k + 2) % 3])
        completed[k] = normal / torch.linalg.vector_norm(normal)
    elif len(missing) == 2:
        axis = cell[3 - missing[0] - missing[1]]
        axis = axis / torch.linalg.vector_norm(axis)
        seed = torch.zeros_like(axis)
        seed[int(torch.argmin(torch.abs(axis)))] = 1.0
        normal = torch.linalg.cross(axis, seed)
        normal = normal / torch.linalg.vector_norm(normal)
        completed[missing[0]] = normal
        completed[missing[1]] = torch.linalg.cross(axis, normal)
    return completed


def _grid(extents: list[float], periodic: list[bool], cutoff: float, n_atoms: int) -> tuple[list[int], list[int]]:
    """Number of bins along each direction, and how many bins away a neighbour can be."""
    # Bins of half a cutoff: a quarter fewer candidates than with bins of a cutoff, for a longer list of bins.
    bins = [max(1, int(min(2.0 * extent / cutoff, 1e6))) for extent in extents]
    while bins[0] * bins[1] * bins[2] > 8 * n_atoms + 64:  # bounded memory, however far apart the atoms are
        longest = bins.index(max(bins))
        bins[longest] = (bins[longest] + 1) // 2
    reach: list[int] = []
    for k in range(3):
        # A hair more than the cutoff, so that rounding at the face of a bin loses no pair.
        far = 1.0 + 1.000001 * cutoff * bins[k] / max(extents[k], 1e-12)
        reach.append(int(far) if periodic[k] else int(min(far, bins[k] - 1.0)))
    return bins, reach


class _Bins(NamedTuple):
    """Atoms sorted into the bins of a grid, those of a bin one after the other: an atom's place is where it is then.

    Bins are counted along each direction, (3,), or through the whole grid: bin3 @ strides.
    """

    order: Tensor  # (n_atoms,) the atom in each place
    bin3: Tensor  # (n_atoms, 3) bin of the atom in each place, along each direction
    wraps: Tensor  # (n_atoms, 3) cells by which it was wrapped
    wrapped: Tensor  # (n_atoms, 3) its wrapped position, Angstrom
    sizes: Tensor  # (3,) bins along each direction
    strides: Tensor  # (3,)
    counts: Tensor  # (n_bins,) atoms in each bin
    starts: Tensor  # (n_bins,) place of the first of them
    reach: list[int]  # how many bins away a neighbour can be, along each direction


def _sort_into_bins(positions: Tensor, cell: Tensor, inverse: Tensor, pbc: Tensor, cutoff: float) -> _Bins:
    """The bins of one or more atoms in a complete cell with its inverse."""
    periodic = pbc.to(positions.dtype)
    fractional = torch.nan_to_num(positions, 0.0, 0.0, 0.0) @ inverse
    wraps = torch.floor(fractional) * periodic
    fractional = fractional - wraps

    # Extent of the bins' grid: the cell where it is periodic, else what the atoms span.
    low = torch.amin(fractional, 0) * (1.0 - periodic)
    span = torch.where(pbc, torch.ones_like(low), torch.amax(fractional, 0) - low)
    thickness = 1.0 / torch.linalg.vector_norm(inverse, dim=0)
    extents: list[float] = (span * thickness).tolist()
    directions: list[bool] = pbc.tolist()
    bins, reach = _grid(extents, directions, cutoff, positions.shape[0])

    sizes = torch.tensor(bins, device=positions.device)
    bin3 = ((fractional - low) / span.clamp(min=1e-300) * sizes).to(torch.int64)
    bin3 = torch.minimum(bin3.clamp(min=0), sizes - 1)
    strides = torch.tensor([bins[1] * bins[2], bins[2], 1], device=positions.device)
    bin_sorted, order = torch.sort((bin3 * strides).sum(1), stable=True)
    counts = torch.bincount(bin_sorted, minlength=bins[0] * bins[1] * bins[2])
    starts = torch.cumsum(counts, 0) - counts
    bin3, wraps = bin3.index_select(0, order), wraps.index_select(0, order)
    # Wrapped positions; those that are not finite stay so, and are close to nothing.
    wrapped = positions.index_select(0, order) - wraps @ cell
    return _Bins(order, bin3, wraps, wrapped, sizes, strides, counts, starts, reach)


def _half_of_the_bins_around(reach: list[int], device: torch.device) -> Tensor:
    """(n_offsets, 3), an atom's own bin first: the other half sees the same pairs from the other side."""
    ranges = [torch.arange(-reach[k], reach[k] + 1, device=device) for k in range(3)]
    offsets = torch.cartesian_prod(ranges[0], ranges[1], ranges[2])
    return offsets[offsets.shape[0] // 2 :]


def _bins_around(bins: _Bins, pbc: Tensor, offsets: Tensor, start: int, end: int) -> tuple[Tensor, Tensor, Tensor]:
    """The bins at offsets from those of the atoms in the places start to end, those of an atom one after the other.

    Returns:
        For each of the n = (end - start) n_offsets: (n,) which bin of the grid it is; (n,) how many atoms it holds,
        none where the grid has ended; (n, 3) the cell it is in, in the type of positions.
    """
    targets = bins.bin3[start:end].unsqueeze(1) + offsets.unsqueeze(0)  # (end - start, n_offsets, 3)
    cells = torch.div(targets, bins.sizes, rounding_mode="floor")
    inside = (pbc | (cells == 0)).all(2).flatten()
    target = ((targets - cells * bins.sizes) * bins.strides).sum(2).flatten() * inside
    n_targets = bins.counts.index_select(0, target) * inside
    return target, n_targets, cells.reshape(-1, 3).to(bins.wrapped.dtype)


def _pairs_of_block(
    bins: _Bins, cell: Tensor, pbc: Tensor, cutoff: float, offsets: Tensor, start: int, end: int
) -> tuple[Tensor, Tensor]:
    """The pairs of the atoms in the places start to end with those in the bins around them.

    Returns:
        (n,) keys, first n_atoms + second, and (n, 3) shifts of the pairs.
    """
    n_atoms, n_offsets = bins.order.shape[0], offsets.shape[0]
    target, n_targets, images = _bins_around(bins, pbc, offsets, start, end)
    origins = (bins.wrapped[start:end].unsqueeze(1) - (images @ cell).view(-1, n_offsets, 3)).view(-1, 3)
    # One candidate for each atom in each target bin.
    entry = torch.repeat_interleave(n_targets)
    before = bins.starts.index_select(0, target) - (torch.cumsum(n_targets, 0) - n_targets)
    second = torch.arange(entry.shape[0], device=entry.device) + before.index_select(0, entry)
    d = origins.index_select(0, entry) - bins.wrapped.index_select(0, second)
    kept = torch.nonzero((d * d).sum(1) < cutoff * cutoff).squeeze(1)
    entry, second = entry.index_select(0, kept), second.index_select(0, kept)
    first = torch.div(entry, n_offsets, rounding_mode="floor") + start
    # Within a bin an atom meets itself, and every other atom from both sides.
    once = torch.nonzero((entry % n_offsets != 0) | (first < second)).squeeze(1)
    entry, first, second = entry.index_select(0, once), first.index_select(0, once), second.index_select(0, once)
    shifts = bins.wraps.index_select(0, second) - bins.wraps.index_select(0, first) - images.index_select(0, entry)
    first, second = bins.order.index_select(0, first), bins.order.index_select(0, second)
    keys = torch.minimum(first, second) * n_atoms + torch.maximum(first, second)
    return keys, torch.where((first < second).unsqueeze(1), shifts, -shifts)


def _in_order(keys: Tensor, shifts: Tensor, n_atoms: int) -> tuple[Tensor, Tensor]:
    """Pairs, as _pairs_of_block has them, as a sorted list: (2, n_pairs), and (n_pairs, 3) shifts."""
    sorted_keys, ranks = torch.sort(keys)
    if bool((sorted_keys[1:] == sorted_keys[:-1]).any()):  # a thin cell: several images of a pair
        for k in (2, 1, 0):
            ranks = torch.sort(shifts[:, k], stable=True)[1]
            keys, shifts = keys.index_select(0, ranks), shifts.index_select(0, ranks)
        sorted_keys, ranks = torch.sort(keys, stable=True)
    first = torch.div(sorted_keys, n_atoms, rounding_mode="floor")
    return torch.stack([first, sorted_keys - first * n_atoms]), shifts.index_select(0, ranks)


def find_pairs(
    positions: Tensor, cell: Tensor, pbc: Tensor, cutoff: float, at_once: int = _BLOCK
) -> tuple[Tensor, Tensor]:
    """The half pair list of any structure: isolated or periodic in one to three directions; any cell.

    A cell list: atoms are sorted into bins, and candidates come from nearby bins, so that time and memory grow with
    the number of atoms. In cells thinner than the cutoff all images are listed, those of an atom with itself
    included. An atom whose position is not finite is in no pair.

    Args:
        positions: (n_atoms, 3) Angstrom, wrapped or not.
        cell: (3, 3) rows are cell vectors, Angstrom; see complete_cell.
        pbc: (3,) bool.
        cutoff: Angstrom.
        at_once: candidate pairs examined at once, which bounds the memory.

    Returns:
        (2, n_pairs) int64, and (n_pairs, 3) shifts, whole numbers in the type of positions; see the head of this file.
    """
    n_atoms, device = positions.shape[0], positions.device
    keys: list[Tensor] = [torch.zeros(0, dtype=torch.int64, device=device)]
    shifts: list[Tensor] = [positions.new_zeros(0, 3)]
    cell = complete_cell(cell, pbc).to(positions.dtype)
    inverse = torch.linalg.inv(cell)
    if n_atoms == 0:
        return torch.zeros(2, 0, dtype=torch.int64, device=device), shifts[0]
    bins = _sort_into_bins(positions, cell, inverse, pbc, cutoff)
    offsets = _half_of_the_bins_around(bins.reach, device)
    rows = max(1, at_once // (offsets.shape[0] * int(bins.counts.max())))
    for start in range(0, n_atoms, rows):
        block = _pairs_of_block(bins, cell, pbc, cutoff, offsets, start, start + rows)
        keys.append(block[0])
        shifts.append(block[1])
    return _in_order(torch.cat(keys), torch.cat(shifts), n_atoms)


def list_holds(farthest: float, strain: float, cutoff: float, skin: float) -> bool:
    """Whether a list of the pairs closer than cutoff + skin still holds all pairs closer than cutoff.

    With a deformation A of the cell, an atom is where A took it, x_old A, or up to e away from there. A pair that is
    not in the list was at least cutoff + skin apart, so that it is now at least (1 - |A - 1|)(cutoff + skin) - 2e
    apart, |A - 1| being the Frobenius norm. In a cell that stays, this is the usual rule: no atom has moved by more
    than skin/2. Atoms that were moved into another cell count as moved.

    Args:
        farthest: e, Angstrom.
        strain: |A - 1|.
        cutoff: Angstrom.
        skin: Angstrom.

    Returns:
        False also where a number is not finite.
    """
    return 2.0 * farthest + (cutoff + skin) * strain <= skin


def still_complete(
    positions: Tensor, cell: Tensor, old_positions: Tensor, old_inverse: Tensor, cutoff: float, skin: float
) -> bool:
    """list_holds for positions and a cell as tensors.

    Args:
        positions: (n_atoms, 3) Angstrom, now.
        cell: (3, 3) Angstrom, now, complete (see complete_cell).
        old_positions: (n_atoms, 3) Angstrom, for which the list was made.
        old_inverse: (3, 3) inverse of the complete cell for which it was made.
        cutoff: Angstrom.
        skin: Angstrom.

    Returns:
        False also where a position is not finite.
    """
    deformation = old_inverse @ cell
    strain = torch.linalg.matrix_norm(deformation - torch.eye(3, dtype=cell.dtype, device=cell.device))
    moved = positions - old_positions @ deformation
    farthest = torch.sqrt(torch.amax((moved * moved).sum(1)))
    both = torch.stack([farthest, strain]).cpu()  # a GPU is waited for once
    return list_holds(float(both[0]), float(both[1]), cutoff, skin)
