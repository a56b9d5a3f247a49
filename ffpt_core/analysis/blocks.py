"""Error bars of correlated samples, by cutting them into blocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np


def block_error(series: np.ndarray, n_blocks: int = 10) -> float:
    """Standard error of the mean of a correlated series: the scatter of the means of n_blocks equal blocks.

    Right when a block is much longer than the correlation time (Flyvbjerg and Petersen, J. Chem. Phys. 91,
    461, 1989). Samples at the start that fill no whole block are left out.

    Args:
        series: (n,) samples in the order of time.
        n_blocks: number of blocks; fewer where there are fewer samples.

    Returns:
        The error, or NaN with fewer than two samples.
    """
    series = np.asarray(series, dtype=float)
    n_blocks = min(n_blocks, len(series))
    if n_blocks < 2:
        return float("nan")
    length = len(series) // n_blocks
    means = series[len(series) - n_blocks * length :].reshape(n_blocks, length).mean(axis=1)
    return float(means.std(ddof=1) / np.sqrt(n_blocks))


def jackknife_error(blocks: np.ndarray | Sequence[np.ndarray], statistic: Callable[[np.ndarray], float]) -> float:
    """Standard error of a statistic of the mean over blocks, by leaving out one block at a time.

    Args:
        blocks: block averages of the same shape.
        statistic: a number computed from an average over blocks.

    Returns:
        The error, or NaN with fewer than two blocks.
    """
    table = np.asarray(blocks, dtype=float)
    n_blocks = len(table)
    if n_blocks < 2:
        return float("nan")
    without = (table.sum(axis=0) - table) / (n_blocks - 1)
    values = np.array([statistic(average) for average in without])
    return float(np.sqrt((n_blocks - 1) / n_blocks * np.sum((values - values.mean()) ** 2)))
