"""Nearest images, paths without jumps, whole molecules: in right-angled and in skewed cells."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from ffpt_core.structure.periodic import half_width, make_whole, nearest_image, unwrap

CUBE = 6.0 * np.eye(3)
BRICK = np.diag([4.0, 7.0, 11.0])
SKEWED = np.array([[6.0, 0.0, 0.0], [2.9, 5.0, 0.0], [-2.5, 2.4, 4.5]])
VERY_SKEWED = np.array([[5.0, 0.0, 0.0], [14.0, 4.0, 0.0], [-9.0, 7.0, 3.0]])


def shortest(vectors: np.ndarray, cell: np.ndarray, reach: int = 6) -> np.ndarray:
    """Lengths of the shortest images, by trying all."""
    images = np.array(list(itertools.product(range(-reach, reach + 1), repeat=3))) @ cell
    return np.linalg.norm(vectors[:, None] + images, axis=-1).min(axis=1)


@pytest.mark.parametrize("cell", [CUBE, BRICK, SKEWED, VERY_SKEWED])
def test_nearest_image_is_the_shortest_of_all(cell: np.ndarray) -> None:
    vectors = np.random.default_rng(0).uniform(-1.0, 1.0, (300, 3)) @ cell
    found = nearest_image(vectors, cell)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), shortest(vectors, cell), atol=1e-10)
    shifts = (found - vectors) @ np.linalg.inv(cell)
    np.testing.assert_allclose(shifts, np.rint(shifts), atol=1e-9)


def test_rounding_alone_is_not_enough_in_a_skewed_cell() -> None:
    vectors = np.random.default_rng(0).uniform(-1.0, 1.0, (300, 3)) @ SKEWED
    rounded = vectors - np.rint(vectors @ np.linalg.inv(SKEWED)) @ SKEWED
    assert (np.linalg.norm(rounded, axis=1) > shortest(vectors, SKEWED) + 1e-6).sum() > 10


def test_several_cells_and_any_leading_shape() -> None:
    rng = np.random.default_rng(1)
    cells = np.stack([CUBE, SKEWED, VERY_SKEWED])
    vectors = rng.uniform(-15.0, 15.0, (3, 40, 3))
    found = nearest_image(vectors, cells)
    for one, row, cell in zip(found, vectors, cells, strict=True):
        np.testing.assert_allclose(one, nearest_image(row, cell), atol=1e-12)
    cubes = np.stack([CUBE, BRICK])
    np.testing.assert_array_equal(nearest_image(vectors[:2], cubes)[1], nearest_image(vectors[1], BRICK))
    tensor = rng.uniform(-9.0, 9.0, (2, 3, 4, 3))
    found = nearest_image(tensor, SKEWED)
    assert found.shape == tensor.shape
    np.testing.assert_allclose(found[1, 2, 3], nearest_image(tensor[1, 2, 3], SKEWED), atol=1e-12)


def test_half_width_is_half_the_distance_of_the_closest_faces() -> None:
    assert half_width(BRICK) == pytest.approx(2.0)
    np.testing.assert_allclose(half_width(np.stack([CUBE, BRICK])), [3.0, 2.0])
    a, b, c = SKEWED
    faces = [abs(np.linalg.det(SKEWED)) / np.linalg.norm(np.cross(*pair)) for pair in ((a, b), (b, c), (c, a))]
    assert half_width(SKEWED) == pytest.approx(0.5 * min(faces))


@pytest.mark.parametrize("cell", [CUBE, SKEWED])
def test_a_path_that_was_wrapped_is_found_again(cell: np.ndarray) -> None:
    rng = np.random.default_rng(2)
    path = np.cumsum(rng.normal(0.0, 0.25, (200, 5, 3)), axis=0)
    cells = np.broadcast_to(cell, (200, 3, 3))
    fractional = path @ np.linalg.inv(cell)
    wrapped = (fractional - np.floor(fractional)) @ cell
    found, longest = unwrap(wrapped, cells)
    np.testing.assert_allclose(found - found[0], path - path[0], atol=1e-9)
    assert longest == pytest.approx(np.abs(np.diff(path, axis=0) @ np.linalg.inv(cell)).max())


@pytest.mark.parametrize("cell", [CUBE, SKEWED])
def test_a_chain_that_was_cut_is_whole_again(cell: np.ndarray) -> None:
    chain = np.array([[0.1 + 1.2 * step, 0.5 * step, 0.3 * step] for step in range(8)])
    cut = chain - np.floor(chain @ np.linalg.inv(cell)) @ cell
    bonds = np.array([(step, step + 1) for step in range(7)])
    whole = make_whole(cut, cell, bonds)
    np.testing.assert_allclose(whole - whole[0], chain - chain[0], atol=1e-10)
    np.testing.assert_array_equal(make_whole(chain, cell, bonds), chain)  # to the last bit
