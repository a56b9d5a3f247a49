"""h(r): rigid molecules give delta functions, the integral is one, periodic distances are those of nearest images."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import molecule

from ffpt_core.base.errors import FfptError
from ffpt_core.structure.distances import distance_distribution


def test_rigid_molecule_is_a_sum_of_delta_functions() -> None:
    methane = molecule("CH4")
    frames = np.repeat(methane.positions[None], 30, axis=0) + np.arange(30)[:, None, None]
    found = distance_distribution(frames, edges=np.arange(0.0, 3.0, 0.05))
    filled = np.flatnonzero(found.density)
    bonds, others = methane.get_distance(0, 1), methane.get_distance(1, 2)
    np.testing.assert_array_equal(filled, np.searchsorted(found.edges, [bonds, others], side="right") - 1)
    np.testing.assert_allclose(found.density[filled] * 0.05, [4 / 10, 6 / 10])
    np.testing.assert_allclose(found.error, 0.0, atol=1e-12)
    assert found.outside == pytest.approx(0.0) and found.n_frames == 30


def test_integral_is_one_also_for_replicas_of_different_length() -> None:
    rng = np.random.default_rng(0)
    replicas = [rng.normal(size=(n_frames, 6, 3)) for n_frames in (7, 23)]
    found = distance_distribution(replicas)
    assert np.sum(found.density * np.diff(found.edges)) == pytest.approx(1.0)
    together = distance_distribution(np.concatenate(replicas), edges=found.edges)
    np.testing.assert_allclose(together.density, found.density)
    short = distance_distribution(replicas, edges=np.array([0.0, 1.0, 2.0]))
    assert np.sum(short.density) + short.outside == pytest.approx(1.0)


def test_distances_of_periodic_frames_are_those_of_nearest_images() -> None:
    frames = np.array([[[0.5, 5.0, 5.0], [9.5, 5.0, 5.0]]])
    cells = np.repeat(10.0 * np.eye(3)[None], 1, axis=0)
    edges = np.arange(0.025, 12.0, 0.05)
    nearest, isolated = distance_distribution(frames, edges, cells), distance_distribution(frames, edges)
    assert nearest.centres[np.argmax(nearest.density)] == pytest.approx(1.0, abs=0.03)
    assert isolated.centres[np.argmax(isolated.density)] == pytest.approx(9.0, abs=0.03)


def test_what_has_no_distances_is_refused() -> None:
    with pytest.raises(FfptError, match="finite"):
        distance_distribution(np.full((2, 3, 3), np.nan))
    with pytest.raises(FfptError, match="two atoms or more"):
        distance_distribution([np.zeros((2, 3, 3)), np.zeros((2, 4, 3))])
