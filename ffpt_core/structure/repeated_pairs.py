"""Half pair lists of many copies of one system: block-diagonal, copy after copy, never a pair between two copies.

Copies may lie anywhere, on top of each other too: each is searched by itself. Plain tensor code that TorchScript
compiles, as in pairs.
"""

# TorchScript reads the annotations of this file: no postponed evaluation here.
import torch
from torch import Tensor

from ffpt_core.structure.pairs import find_pairs


def repeated_pairs(pairs: Tensor, n_atoms: int, replicas: int) -> Tensor:
    """The pairs of one copy, for every copy.

    Args:
        pairs: (2, n_pairs) int64, of one copy.
        n_atoms: of one copy.
        replicas: number of copies.

    Returns:
        (2, replicas * n_pairs) int64.
    """
    offsets = n_atoms * torch.arange(replicas, device=pairs.device)
    return (pairs.unsqueeze(1) + offsets.unsqueeze(1)).reshape(2, -1)


def replica_pairs(positions: Tensor, replicas: int, cell: Tensor, pbc: Tensor, cutoff: float) -> tuple[Tensor, Tensor]:
    """The pairs within the cutoff of copies that share a cell.

    Args:
        positions: (replicas * n_atoms, 3) Angstrom.
        replicas: number of copies.
        cell, pbc, cutoff: as in ffpt_core.structure.pairs.find_pairs.

    Returns:
        (2, n_pairs) int64, and (n_pairs, 3) shifts, as find_pairs has them.
    """
    n_atoms = positions.shape[0] // replicas
    found: list[Tensor] = []
    shifts: list[Tensor] = []
    for k in range(replicas):
        pairs, shift = find_pairs(positions[k * n_atoms : (k + 1) * n_atoms], cell, pbc, cutoff)
        found.append(pairs + k * n_atoms)
        shifts.append(shift)
    return torch.cat(found, dim=1), torch.cat(shifts)
