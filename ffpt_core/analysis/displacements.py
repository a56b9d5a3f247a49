"""How far atoms travel: unwrapped coordinates, drift of the centre of mass, mean square displacements."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ffpt_core.analysis.liquids import cells
from ffpt_core.base.errors import FfptError
from ffpt_core.base.units import NANOMETRE
from ffpt_core.structure.periodic import unwrap

if TYPE_CHECKING:
    import mdtraj

LONGEST_STEP = 0.4
"""Share of a lattice vector that an atom may travel between two frames: from 0.5 on its image is ambiguous."""

_CHUNK = 4_000_000
"""Numbers transformed at once."""


def unwrapped(trajectory: mdtraj.Trajectory) -> tuple[np.ndarray, float]:
    """Positions without jumps at the faces of the cell, and the longest step between two frames.

    See ffpt_core.structure.periodic.unwrap.

    Returns:
        (n_frames, n_atoms, 3) positions in Angstrom, and the longest step as a share of a lattice vector.

    Raises:
        FfptError: there is no cell, or an atom moved by 0.4 of a lattice vector or more between two frames: then
            nobody can tell where it went.
    """
    positions, longest = unwrap(NANOMETRE * np.asarray(trajectory.xyz, dtype=float), cells(trajectory))
    if longest >= LONGEST_STEP:
        raise FfptError(
            f"atoms move by up to {longest:.2f} of a lattice vector between two frames, too far to unwrap: save frames "
            "more often, or say that the coordinates are unwrapped if they are"
        )
    return positions, longest


def without_drift(positions: np.ndarray, masses: np.ndarray) -> np.ndarray:
    """Positions relative to their centre of mass.

    Args:
        positions: (n_frames, n_atoms, 3), unwrapped.
        masses: (n_atoms,) in any unit; zero for virtual sites.
    """
    centre = np.einsum("fax,a->fx", positions, masses) / masses.sum()
    return positions - centre[:, None]


def square_displacements(positions: np.ndarray, n_lags: int | None = None) -> np.ndarray:
    """Mean square displacement of each atom over all time origins.

    The sum over origins of the products is an autocorrelation, found with fast Fourier transforms (Calandrini et
    al., Collection SFN 12, 201, 2011): n log n operations for n frames instead of n^2.

    Args:
        positions: (n_frames, n_atoms, 3) in Angstrom, unwrapped.
        n_lags: number of lags, of 0, 1, 2, ... frames; None: all.

    Returns:
        (n_lags, n_atoms) in square Angstrom.
    """
    n_frames, n_atoms, _ = positions.shape
    n_lags = n_frames if n_lags is None else min(n_lags, n_frames)
    step = max(1, _CHUNK // (6 * n_frames))
    parts = [_square_displacements(positions[:, start : start + step], n_lags) for start in range(0, n_atoms, step)]
    return np.concatenate(parts, axis=1)


def _square_displacements(positions: np.ndarray, n_lags: int) -> np.ndarray:
    from scipy.fft import irfft, next_fast_len, rfft

    n_frames = len(positions)
    # Differences do not see an offset, rounding does.
    centred = positions - positions.mean(axis=0)
    size = next_fast_len(2 * n_frames - 1, real=True)
    spectrum = np.sum(np.abs(rfft(centred, size, axis=0)) ** 2, axis=2)
    products = irfft(spectrum, size, axis=0)[:n_lags]
    # Sums over origins k of |r_k|^2 and of |r_(k + lag)|^2.
    squares = np.cumsum(np.concatenate([np.zeros((1, centred.shape[1])), np.sum(centred**2, axis=2)]), axis=0)
    lags = np.arange(n_lags)
    ends = squares[n_frames - lags] + squares[-1] - squares[lags]
    found = (ends - 2.0 * products) / (n_frames - lags)[:, None]
    found[0] = 0.0
    return np.maximum(found, 0.0)
