"""Errors of h(r) are those of known distributions; errors of blocks."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import molecule
from scipy.stats import norm

from ffpt_core.analysis.blocks import block_error, jackknife_error
from ffpt_core.analysis.structure import dataset_frames, distribution_error, plot_distances
from ffpt_core.base.errors import FfptError
from ffpt_core.datasets import Dataset
from ffpt_core.structure.distances import distance_distribution


def dimers(lengths: np.ndarray) -> np.ndarray:
    """(n, 2, 3) positions of two atoms at given distances, turned at random."""
    rng = np.random.default_rng(1)
    direction = rng.normal(size=(len(lengths), 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    positions = np.zeros((len(lengths), 2, 3))
    positions[:, 1] = lengths[:, None] * direction
    return positions + rng.normal(size=(len(lengths), 1, 3))


def test_error_of_two_gaussians_is_the_integral_between_them() -> None:
    rng = np.random.default_rng(5)
    edges = np.arange(0.0, 4.0, 0.02)
    reference = distance_distribution(dimers(rng.normal(1.5, 0.1, 40_000)), edges)
    same = distribution_error(distance_distribution(dimers(rng.normal(1.5, 0.1, 40_000)), edges), reference)
    shifted = distribution_error(distance_distribution(dimers(rng.normal(1.6, 0.1, 40_000)), edges), reference)
    exact = 2 * (norm.cdf(0.5) - norm.cdf(-0.5))
    assert shifted.mae == pytest.approx(exact, abs=0.015)
    assert 0 < shifted.error < 0.02
    # Half the frames in each half: twice the variance of the full sample against the full sample.
    assert same.mae == pytest.approx(same.floor / np.sqrt(2), rel=0.25)


def test_error_of_distributions_with_nothing_in_common_is_two() -> None:
    edges = np.arange(0.0, 3.0, 0.02)
    near, far = (distance_distribution(dimers(np.full(20, length)), edges) for length in (1.0, 2.0))
    assert distribution_error(near, far).mae == pytest.approx(2.0)
    beyond = distance_distribution(dimers(np.full(20, 7.0)), edges)
    assert distribution_error(beyond, near).mae == pytest.approx(2.0)
    with pytest.raises(FfptError, match="different bins"):
        distribution_error(near, distance_distribution(dimers(np.ones(4))))


def test_error_bar_covers_the_truth_about_two_times_in_three() -> None:
    edges = np.array([0.0, 1.5, 3.0])
    rng = np.random.default_rng(2)
    inside = 0
    for _ in range(200):
        found = distance_distribution(dimers(np.clip(rng.normal(1.5, 0.1, 200), 1.0, 2.0)), edges)
        inside += abs(found.density[0] * 1.5 - 0.5) < found.error[0] * 1.5
    assert 110 < inside < 160


def test_a_data_set_is_of_one_system() -> None:
    frames = np.random.default_rng(0).normal(size=(5, 3, 3))
    positions, cells = dataset_frames(Dataset.from_arrays(np.array([8, 1, 1]), frames))
    np.testing.assert_array_equal(positions, frames)
    assert cells is None
    mixed = Dataset.from_atoms([molecule("H2O"), molecule("CH4")])
    with pytest.raises(FfptError, match="one system"):
        dataset_frames(mixed)


def test_picture_names_the_errors() -> None:
    edges = np.arange(0.0, 3.0, 0.02)
    rng = np.random.default_rng(0)
    found = {label: distance_distribution(dimers(rng.normal(1.5, 0.1, 500)), edges) for label in ("a", "reference")}
    figure = plot_distances(found, "reference", {"a": distribution_error(found["a"], found["reference"])})
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "reference" in texts and any(text.startswith("a: MAE 0.") for text in texts)


def test_block_error_of_correlated_samples() -> None:
    """An autoregressive series has a known error: variance of the mean = sigma^2 (1 + a) / (1 - a) / n."""
    rng, a, n_samples = np.random.default_rng(0), 0.9, 4000
    errors, means = [], []
    for _ in range(60):
        noise = rng.normal(size=n_samples)
        series = np.empty(n_samples)
        series[0] = noise[0] / np.sqrt(1 - a**2)
        for index in range(1, n_samples):
            series[index] = a * series[index - 1] + noise[index]
        errors.append(block_error(series))
        means.append(series.mean())
    exact = np.sqrt((1 + a) / (1 - a) / (1 - a**2) / n_samples)
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(exact, rel=0.15)
    assert np.isnan(block_error(np.ones(1)))


def test_jackknife_of_a_mean_is_its_standard_error() -> None:
    blocks = np.random.default_rng(0).normal(size=(8, 1))
    expected = blocks.std(ddof=1) / np.sqrt(8)
    assert jackknife_error(blocks, lambda average: float(average[0])) == pytest.approx(expected)
