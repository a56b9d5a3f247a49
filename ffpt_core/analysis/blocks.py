"""Correlated samples: error bars by cutting them into blocks, and how many of them are independent."""

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


def statistical_inefficiency(series: Sequence[np.ndarray]) -> float:
    """How many samples in a row tell as much as one independent sample: g = 1 + 2 sum_t (1 - t/n) C(t).

    C is the normalised autocorrelation function; the sum ends where it is first negative, behind which there is noise
    only (Chodera et al., J. Chem. Theory Comput. 3, 26, 2007).

    Args:
        series: (n_k,) samples of one quantity in the order of time, of runs under the same conditions; the mean and C
            are averages over them all.

    Returns:
        g, at least 1; 1 where the quantity does not change.
    """
    from scipy.signal import correlate

    runs = [np.asarray(one, dtype=float) for one in series if len(one)]
    longest = max((len(one) for one in runs), default=0)
    if not longest:
        return 1.0
    mean = np.concatenate(runs).mean()
    sums, pairs = np.zeros(longest), np.zeros(longest)
    for one in runs:
        n = len(one)
        sums[:n] += correlate(one - mean, one - mean)[n - 1 :]
        pairs[:n] += np.arange(n, 0, -1)
    if not sums[0] > 1e-20 * pairs[0] * max(1.0, mean**2):
        return 1.0
    correlation = (sums / pairs) / (sums[0] / pairs[0])
    negative = np.flatnonzero(correlation <= 0)
    end = negative[0] if len(negative) else longest
    lags = np.arange(1, end)
    return float(max(1.0, 1 + 2 * np.sum((1 - lags / longest) * correlation[1:end])))
