"""Half pair lists in tensor code: every pair of atoms (and of periodic images) closer than a cutoff, once.

A pair list is an int64 tensor (2, n_pairs) of first and second atoms, first <= second, with whole numbers of cells
(n_pairs, 3): the displacement of pair p is ``x[first] - x[second] + shifts[p] @ cell``. It is sorted by first atom,
second atom and shifts, in this order; of an atom and its own images, each comes once, with the first number of its
shifts that is not zero positive. Everything here is plain tensor code that TorchScript compiles, for exported
potentials, which run without ffpt; numpy callers have the same lists, faster, from ffpt_core.neighbours.
"""

# TorchScript reads the annotations of this file: no postponed evaluation here.
from typing import List, Optional, Tuple

import torch
from torch import Tensor

_BLOCK = 1_000_000  # candidate pairs examined at once: about 100 MB


def all_pairs(n_atoms: int, device: Optional[torch.device] = None) -> Tensor:
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
    missing: List[int] = []
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


def _grid(extents: List[float], periodic: List[bool], cutoff: float, n_atoms: int) -> Tuple[List[int], List[int]]:
    """Number of bins along each direction, and how many bins away a neighbour can be."""
    # Bins of half a cutoff: a quarter fewer candidates than with bins of a cutoff, for a longer list of bins.
    bins = [max(1, int(min(2.0 * extent / cutoff, 1e6))) for extent in extents]
    while bins[0] * bins[1] * bins[2] > 8 * n_atoms + 64:  # bounded memory, however far apart the atoms are
        longest = bins.index(max(bins))
        bins[longest] = (bins[longest] + 1) // 2
    reach: List[int] = []
    for k in range(3):
        # A hair more than the cutoff, so that rounding at the face of a bin loses no pair.
        far = 1.0 + 1.000001 * cutoff * bins[k] / max(extents[k], 1e-12)
        reach.append(int(far) if periodic[k] else int(min(far, bins[k] - 1.0)))
    return bins, reach


def find_pairs(
    positions: Tensor, cell: Tensor, pbc: Tensor, cutoff: float, at_once: int = _BLOCK
) -> Tuple[Tensor, Tensor]:
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
    found_keys: List[Tensor] = [torch.zeros(0, dtype=torch.int64, device=device)]
    found_shifts: List[Tensor] = [positions.new_zeros(0, 3)]
    cell = complete_cell(cell, pbc).to(positions.dtype)
    inverse = torch.linalg.inv(cell)
    periodic = pbc.to(positions.dtype)
    fractional = torch.nan_to_num(positions, 0.0, 0.0, 0.0) @ inverse
    wraps = torch.floor(fractional) * periodic
    fractional = fractional - wraps
    if n_atoms == 0:
        return torch.zeros(2, 0, dtype=torch.int64, device=device), found_shifts[0]

    # Extent of the bins' grid: the cell where it is periodic, else what the atoms span.
    low = torch.amin(fractional, 0) * (1.0 - periodic)
    span = torch.where(pbc, torch.ones_like(low), torch.amax(fractional, 0) - low)
    thickness = 1.0 / torch.linalg.vector_norm(inverse, dim=0)
    extents: List[float] = (span * thickness).tolist()
    directions: List[bool] = pbc.tolist()
    bins, reach = _grid(extents, directions, cutoff, n_atoms)

    sizes = torch.tensor(bins, device=device)
    bin3 = ((fractional - low) / span.clamp(min=1e-300) * sizes).to(torch.int64)
    bin3 = torch.minimum(bin3.clamp(min=0), sizes - 1)
    strides = torch.tensor([bins[1] * bins[2], bins[2], 1], device=device)
    bin_sorted, order = torch.sort((bin3 * strides).sum(1), stable=True)
    counts = torch.bincount(bin_sorted, minlength=bins[0] * bins[1] * bins[2])
    starts = torch.cumsum(counts, 0) - counts
    bin3, wraps = bin3.index_select(0, order), wraps.index_select(0, order)
    # Wrapped positions; those that are not finite stay so, and are close to nothing.
    wrapped = positions.index_select(0, order) - wraps @ cell

    # Half of the bins around an atom, its own first: the other half sees the same pairs from the other side.
    ranges = [torch.arange(-reach[k], reach[k] + 1, device=device) for k in range(3)]
    offsets = torch.cartesian_prod(ranges[0], ranges[1], ranges[2])
    offsets = offsets[offsets.shape[0] // 2 :]
    n_offsets = offsets.shape[0]
    rows = max(1, at_once // (n_offsets * int(counts.max())))
    for start in range(0, n_atoms, rows):
        here = bin3[start : start + rows]
        targets = here.unsqueeze(1) + offsets.unsqueeze(0)  # (rows, n_offsets, 3)
        cells = torch.div(targets, sizes, rounding_mode="floor")
        inside = (pbc | (cells == 0)).all(2).flatten()
        target = ((targets - cells * sizes) * strides).sum(2).flatten() * inside
        n_targets = counts.index_select(0, target) * inside
        images = cells.reshape(-1, 3).to(positions.dtype)
        origins = (wrapped[start : start + rows].unsqueeze(1) - (images @ cell).view(-1, n_offsets, 3)).view(-1, 3)
        # One candidate for each atom in each target bin.
        entry = torch.repeat_interleave(n_targets)
        before = starts.index_select(0, target) - (torch.cumsum(n_targets, 0) - n_targets)
        second = torch.arange(entry.shape[0], device=device) + before.index_select(0, entry)
        d = origins.index_select(0, entry) - wrapped.index_select(0, second)
        kept = torch.nonzero((d * d).sum(1) < cutoff * cutoff).squeeze(1)
        entry, second = entry.index_select(0, kept), second.index_select(0, kept)
        first = torch.div(entry, n_offsets, rounding_mode="floor") + start
        # Within a bin an atom meets itself, and every other atom from both sides.
        once = torch.nonzero((entry % n_offsets != 0) | (first < second)).squeeze(1)
        entry, first, second = entry.index_select(0, once), first.index_select(0, once), second.index_select(0, once)
        shifts = wraps.index_select(0, second) - wraps.index_select(0, first) - images.index_select(0, entry)
        first, second = order.index_select(0, first), order.index_select(0, second)
        found_keys.append(torch.minimum(first, second) * n_atoms + torch.maximum(first, second))
        found_shifts.append(torch.where((first < second).unsqueeze(1), shifts, -shifts))
    all_keys, all_shifts = torch.cat(found_keys), torch.cat(found_shifts)
    keys, ranks = torch.sort(all_keys)
    if bool((keys[1:] == keys[:-1]).any()):  # a thin cell: several images of a pair
        for k in (2, 1, 0):
            ranks = torch.sort(all_shifts[:, k], stable=True)[1]
            all_keys, all_shifts = all_keys.index_select(0, ranks), all_shifts.index_select(0, ranks)
        keys, ranks = torch.sort(all_keys, stable=True)
    first = torch.div(keys, n_atoms, rounding_mode="floor")
    return torch.stack([first, keys - first * n_atoms]), all_shifts.index_select(0, ranks)


def still_complete(
    positions: Tensor, cell: Tensor, old_positions: Tensor, old_inverse: Tensor, cutoff: float, skin: float
) -> bool:
    """Whether a list of the pairs closer than cutoff + skin still holds all pairs closer than cutoff.

    With a deformation A of the cell, an atom is where A took it, x_old A, or up to e away from there. A pair that is
    not in the list was at least cutoff + skin apart, so that it is now at least (1 - |A - 1|)(cutoff + skin) - 2e
    apart, |A - 1| being the Frobenius norm. In a cell that stays, this is the usual rule: no atom has moved by more
    than skin/2. Atoms that were moved into another cell count as moved.

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
    return bool(2.0 * farthest + (cutoff + skin) * strain <= skin)
