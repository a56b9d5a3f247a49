"""Boxes of single molecules: labels, distances, density, wall, errors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from ase import units
from ase.neighborlist import neighbor_list
from hypothesis import given, settings
from hypothesis import strategies as st

from ffpt_core.base.errors import FfptError
from ffpt_core.cli.main import main
from ffpt_core.datasets import Dataset
from ffpt_core.sampling.packing import Wall, pack
from ffpt_core.sampling.rattle import rattle_and_label
from ffpt_core.teachers import Teacher
from ffpt_core.teachers.water import water_teacher


@pytest.fixture(scope="module")
def teacher() -> Teacher:
    return water_teacher("tip3p")


@pytest.fixture(scope="module")
def rattled(teacher: Teacher) -> Dataset:
    return rattle_and_label(teacher, 210, sigma=0.1)


def test_labels_are_the_teachers_of_every_molecule_where_it_lies(teacher: Teacher, rattled: Dataset) -> None:
    boxes = pack(rattled, 5, wall=Wall(stiffness=0.0))
    assert len(boxes) == 42 and (boxes.n_atoms == 15).all()
    calculator = teacher.calculator()
    for box in boxes[:3]:
        energy, forces = 0.0, []
        for first in range(0, 15, 3):
            molecule = box[first : first + 3]
            molecule.pbc, molecule.cell, molecule.calc = False, None, calculator
            energy += molecule.get_potential_energy()
            forces.append(molecule.get_forces())
        assert box.get_potential_energy() == pytest.approx(energy, abs=1e-10)
        np.testing.assert_allclose(box.get_forces(), np.concatenate(forces), atol=1e-9)


def test_wall_is_half_a_harmonic_spring_between_molecules() -> None:
    """Two argon atoms as molecules: one distance, known energy and forces."""
    atoms = Dataset.from_arrays([18], np.zeros((40, 1, 3)), np.zeros(40), np.zeros((40, 1, 3)))
    for reach, stiffness in ((3.0, 2.0), (2.0, 7.0)):
        for box in pack(atoms, 2, density=0.6, min_distance=0.5, wall=Wall(reach, stiffness)):
            distance = box.get_distance(0, 1, mic=True)
            overlap = max(0.0, reach - distance)
            assert box.get_potential_energy() == pytest.approx(0.5 * stiffness * overlap**2, abs=1e-12)
            vector = box.get_distance(0, 1, mic=True, vector=True)
            np.testing.assert_allclose(box.get_forces()[1], stiffness * overlap * vector / distance, atol=1e-12)
            np.testing.assert_allclose(box.get_forces().sum(axis=0), 0.0, atol=1e-12)


def test_forces_of_the_wall_are_its_gradient(rattled: Dataset) -> None:
    still = Dataset.from_arrays([8, 1, 1], rattled.positions.reshape(-1, 3, 3), np.zeros(210), np.zeros((210, 3, 3)))
    box = pack(still, 8)[0]
    of, step = np.repeat(np.arange(8), 3), 1e-4

    def energy(positions: np.ndarray) -> float:
        moved = box.copy()
        moved.positions = positions
        i, j, distances = neighbor_list("ijd", moved, 1.5)
        return 0.25 * 20.0 * ((1.5 - distances[of[i] != of[j]]) ** 2).sum()

    assert energy(box.positions) == pytest.approx(box.get_potential_energy()) and box.get_potential_energy() > 0
    for atom, axis in ((0, 0), (5, 1), (13, 2)):
        shift = np.zeros((24, 3))
        shift[atom, axis] = step
        slope = (energy(box.positions + shift) - energy(box.positions - shift)) / (2 * step)
        assert box.get_forces()[atom, axis] == pytest.approx(-slope, abs=1e-5)


@settings(max_examples=20, deadline=None)
@given(
    n_molecules=st.integers(3, 9), density=st.floats(0.3, 1.0), distance=st.floats(0.5, 1.5), seed=st.integers(0, 99)
)
def test_molecules_keep_their_distance_from_all_images(
    rattled: Dataset, n_molecules: int, density: float, distance: float, seed: int
) -> None:
    boxes = pack(rattled, n_molecules, density, distance, seed=seed)
    assert len(boxes) == len(rattled) // n_molecules
    for box in boxes[:5]:
        i, j, vectors, images = neighbor_list("ijdS", box, 4.0)
        other = (i // 3 != j // 3) | images.any(axis=1)
        assert vectors[other].min() >= distance - 1e-9
        grams = box.get_masses().sum() / units.mol
        assert grams / (box.get_volume() * 1e-24) == pytest.approx(density)


def test_every_frame_is_used_once_and_turned(rattled: Dataset) -> None:
    boxes = pack(rattled, 7, density=0.5)

    def shapes(frames: Dataset) -> np.ndarray:
        positions = frames.positions.reshape(-1, 3, 3)
        return np.sort(np.linalg.norm(positions[:, 1] - positions[:, 2], axis=1))

    np.testing.assert_allclose(shapes(boxes), shapes(rattled), atol=1e-9)
    # Turned at random, the bisectors have no direction left.
    positions = boxes.positions.reshape(-1, 3, 3)
    bisectors = positions[:, 1] + positions[:, 2] - 2 * positions[:, 0]
    bisectors /= np.linalg.norm(bisectors, axis=1, keepdims=True)
    assert np.abs(bisectors.mean(axis=0)).max() < 4 / np.sqrt(3 * len(bisectors))


def test_same_seed_same_boxes_and_frames_without_labels(rattled: Dataset) -> None:
    assert pack(rattled, 4, seed=3).fingerprint == pack(rattled, 4, seed=3).fingerprint
    assert pack(rattled, 4, seed=3).fingerprint != pack(rattled, 4, seed=4).fingerprint
    bare = Dataset.from_arrays([8, 1, 1], rattled.positions.reshape(-1, 3, 3))
    boxes = pack(bare, 4, seed=3)
    assert boxes.energies is None and boxes.forces is None
    np.testing.assert_array_equal(boxes.positions, pack(rattled, 4, seed=3).positions)


def test_what_cannot_be_packed(rattled: Dataset) -> None:
    single = Dataset.from_arrays([8, 1, 1], rattled.positions.reshape(-1, 3, 3))
    hydroxyl = Dataset.from_arrays([8, 1], rattled.positions.reshape(-1, 3, 3)[:, :2])
    for arguments, message in (
        ((pack(rattled, 4),), "isolated molecules"),
        ((Dataset.concatenate([single, hydroxyl]),), "of one molecule"),
        ((rattled, 300), "do not fill a box"),
        ((rattled, 27, 3.0, 1.5), "found no place"),
        ((rattled, 1, 5.0), "too small for molecules"),
        ((rattled, 8, 0.0), "positive density"),
        ((rattled, 8, 1.0, 1.0, Wall(-1.0)), "not negative"),
    ):
        with pytest.raises(FfptError, match=message):
            pack(*arguments)


def test_command(rattled: Dataset, tmp_path: Path) -> None:
    rattled.save(tmp_path / "rattled.npz")
    output = tmp_path / "packed.npz"
    assert main(["data", "pack", str(tmp_path / "rattled.npz"), "-o", str(output), "--molecules", "6"]) == 0
    assert Dataset.load(output).fingerprint == pack(rattled, 6).fingerprint
    assert main(["data", "info", str(output), "-o", str(tmp_path / "info.json")]) == 0
    assert "single molecules packed" in json.dumps(json.loads((tmp_path / "info.json").read_text()))
