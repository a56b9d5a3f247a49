"""Half pair lists: every pair of atoms (and of periodic images) closer than a cutoff, once.

A pair list is an int64 tensor (2, n_pairs) of first and second atoms with the lattice translation of
each pair, so that the displacement of pair p is ``x[first] - x[second] + translations[p]``. Everything
here is plain tensor code that TorchScript compiles.
"""

# TorchScript reads the annotations of this file: no postponed evaluation here.
from typing import List, Optional, Tuple

import torch
from torch import Tensor

_BLOCK = 2_000_000  # about 100 MB


def all_pairs(n_atoms: int, device: Optional[torch.device] = None) -> Tensor:
    """(2, n_atoms (n_atoms - 1) / 2) int64: every pair of n_atoms atoms, first < second."""
    return torch.triu_indices(n_atoms, n_atoms, 1, device=device)


def isolated_pairs(positions: Tensor, cutoff: float, at_once: int = _BLOCK) -> Tensor:
    """Pairs of an isolated structure.

    Args:
        positions: (n_atoms, 3) Angstrom.
        cutoff: Angstrom.
        at_once: candidate pairs examined at once, which bounds the memory.

    Returns:
        (2, n_pairs) int64, first < second.
    """
    n_atoms = positions.shape[0]
    found: List[Tensor] = []
    rows = max(1, at_once // max(1, n_atoms))
    for start in range(0, n_atoms, rows):
        block = positions[start : start + rows]
        squared = (block.unsqueeze(1) - positions.unsqueeze(0)).square().sum(2)
        close = torch.nonzero(torch.triu(squared < cutoff * cutoff, diagonal=start + 1)).t()
        found.append(torch.stack([close[0] + start, close[1]]))
    if len(found) == 0:
        return torch.zeros(2, 0, dtype=torch.int64, device=positions.device)
    return torch.cat(found, dim=1)


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


def periodic_pairs(
    positions: Tensor, cell: Tensor, pbc: Tensor, cutoff: float, at_once: int = _BLOCK
) -> Tuple[Tensor, Tensor]:
    """Pairs of a periodic structure with any cell: triclinic, thin, periodic in one to three directions.

    Where the cell is at least twice the cutoff thick, each pair has one image at most; where it is
    thinner, all images within the cutoff are listed, those of an atom with itself included.

    Args:
        positions: (n_atoms, 3) Angstrom, wrapped or not.
        cell: (3, 3) rows are cell vectors, Angstrom.
        pbc: (3,) bool.
        cutoff: Angstrom.
        at_once: candidate pairs examined at once, which bounds the memory.

    Returns:
        (2, n_pairs) int64 first <= second, and (n_pairs, 3) translations, Angstrom.
    """
    cell = complete_cell(cell, pbc).to(positions.dtype)
    inverse = torch.linalg.inv(cell)
    periodic = pbc.to(positions.dtype)
    # Perpendicular thickness along k is 1/|column k of the inverse|. A displacement reduced to fractional
    # coordinates in [-1/2, 1/2] has images within the cutoff only up to cutoff/thickness + 1/2 cells away.
    reach = torch.floor((cutoff * torch.linalg.vector_norm(inverse, dim=0) + 0.5) * periodic)
    ranges = [torch.arange(-int(reach[k]), int(reach[k]) + 1, device=positions.device) for k in range(3)]
    images = torch.cartesian_prod(ranges[0], ranges[1], ranges[2]).to(positions.dtype)

    n_atoms = positions.shape[0]
    found_pairs: List[Tensor] = []
    found_translations: List[Tensor] = []
    rows = max(1, at_once // max(1, n_atoms * images.shape[0]))
    for start in range(0, n_atoms, rows):
        block = positions[start : start + rows]
        candidates = torch.triu_indices(block.shape[0], n_atoms, start, device=positions.device)
        first, second = candidates[0], candidates[1]
        displacements = block[first] - positions[second]
        nearest = -torch.round(displacements @ inverse) * periodic
        cells = nearest.unsqueeze(1) + images.unsqueeze(0)
        translations = cells @ cell
        squared = (displacements.unsqueeze(1) + translations).square().sum(2)
        # An atom meets each of its own images twice, n and -n: keep the one that comes first in order.
        order = cells[:, :, 0] * 1e6 + cells[:, :, 1] * 1e3 + cells[:, :, 2]
        distinct = ((first + start) != second).unsqueeze(1) | (order > 0)
        found = torch.nonzero((squared < cutoff * cutoff) & distinct)
        pair, image = found[:, 0], found[:, 1]
        found_pairs.append(torch.stack([first[pair] + start, second[pair]]))
        found_translations.append(translations[pair, image])
    if len(found_pairs) == 0:
        return torch.zeros(2, 0, dtype=torch.int64, device=positions.device), positions.new_zeros(0, 3)
    return torch.cat(found_pairs, dim=1), torch.cat(found_translations)
