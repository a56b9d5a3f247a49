"""Collective variables of the reactions: coordination numbers as sums of logistic functions of distances."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SLOPE = 3.0
"""1/Angstrom, of the logistic functions (Guan et al., Nat. Comput. Sci. 3, 965 (2023), their code)."""


@dataclass(frozen=True)
class CoordinationNumber:
    """CN = sum over pairs of 2 / (1 + exp(SLOPE (r - mu))): one for each pair at r = mu, slope -1.5/Angstrom there.

    Source: Guan, Heindel, Ko, Yang, Head-Gordon, Nat. Comput. Sci. 3, 965 (2023), doi 10.1038/s43588-023-00549-5.

    Args:
        pairs: atom indices, from 0.
        mu: Angstrom.
    """

    pairs: tuple[tuple[int, int], ...]
    mu: float

    @property
    def largest(self) -> float:
        """The value with all pairs at distance zero, which bounds the variable; it is positive everywhere."""
        return len(self.pairs) * 2.0 / (1.0 + float(np.exp(-SLOPE * self.mu)))

    def __call__(self, positions: np.ndarray) -> np.ndarray:
        """The values of frames.

        Args:
            positions: (..., n_atoms, 3) Angstrom.

        Returns:
            (...) values.
        """
        first, second = np.array(self.pairs).T
        distances = np.linalg.norm(positions[..., first, :] - positions[..., second, :], axis=-1)
        # exp() of a long distance overflows to infinity, whose inverse is the right zero.
        with np.errstate(over="ignore"):
            return np.asarray((2.0 / (1.0 + np.exp(SLOPE * (distances - self.mu)))).sum(axis=-1))
