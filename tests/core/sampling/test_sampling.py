"""Rattling, effective temperatures, distance distributions and ffpt rattle."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ffpt_core.base.errors import FfptError
from ffpt_core.base.units import BOLTZMANN
from ffpt_core.datasets import Dataset
from ffpt_core.sampling.rattle import (
    energy_distribution,
    molecule_distances,
    rattle,
    rattle_and_label,
    vibrational_degrees_of_freedom,
)
from ffpt_core.teachers import aspirin


def test_noise_is_gaussian_of_the_given_width_and_never_rescaled() -> None:
    start = np.arange(30.0).reshape(10, 3)
    noise = rattle(start, 20_000, sigma=0.2, seed=1) - start
    assert noise.std() == pytest.approx(0.2, rel=0.005)
    assert np.abs(noise.mean(axis=0)).max() < 6 * 0.2 / np.sqrt(20_000)
    assert (noise**4).mean() == pytest.approx(3 * 0.2**4, rel=0.02)  # kurtosis of a Gaussian
    covariance = np.cov(noise.reshape(len(noise), -1), rowvar=False)
    assert np.abs(covariance - 0.04 * np.eye(30)).max() < 0.003  # atoms move on their own, the centre too


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**31))
@settings(max_examples=20, deadline=None)
def test_more_frames_begin_with_the_same_frames(few: int, more: int, seed: int) -> None:
    start = np.zeros((4, 3))
    np.testing.assert_array_equal(rattle(start, few + more, seed=seed)[:few], rattle(start, few, seed=seed))


def test_sigma_scales_the_noise_and_zero_gives_copies() -> None:
    start = np.random.default_rng(0).standard_normal((5, 3))
    small, large = rattle(start, 3, 0.1), rattle(start, 3, 0.3)
    np.testing.assert_allclose(large - start, 3 * (small - start), atol=1e-12)
    np.testing.assert_array_equal(rattle(start, 2, 0.0), [start, start])
    assert not np.array_equal(rattle(start, 1, seed=1), rattle(start, 1, seed=2))


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 6))
@settings(max_examples=20, deadline=None)
def test_geometries_are_taken_in_turn_each_frame_with_a_sigma_of_its_own(few: int, more: int, n: int) -> None:
    geometries = 100.0 * np.arange(n)[:, None, None] + np.zeros((n, 3, 3))
    frames = rattle(geometries, few + more, 0.2, seed=3, sigma_min=0.0)
    np.testing.assert_array_equal(np.round(frames.mean(axis=(1, 2)) / 100), np.arange(few + more) % n)
    np.testing.assert_array_equal(frames[:few], rattle(geometries, few, 0.2, seed=3, sigma_min=0.0))


def test_sigmas_are_uniform_between_their_limits() -> None:
    frames = rattle(np.zeros((400, 3)), 2000, 0.2, seed=5, sigma_min=0.05)
    widths = np.sort(frames.std(axis=(1, 2)))
    assert np.abs(widths - np.linspace(0.05, 0.2, 2000)).max() < 0.012  # of 1,200 numbers each, and 2,000 frames
    same = rattle(np.zeros((4, 3)), 5, 0.1, seed=1, sigma_min=0.1)
    np.testing.assert_allclose(same, rattle(np.zeros((4, 3)), 5, 0.1, seed=1), atol=1e-15)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros((2, 3)), 1, 0.1, 0, 0.2), "smallest sigma"),
        ((np.zeros((2, 3)), 1, 0.1, 0, -0.1), "smallest sigma"),
        ((np.zeros((0, 2, 3)), 1), "positions of shape"),
        ((np.zeros((2, 2)), 1), "positions of shape"),
        ((np.full((2, 3), np.nan), 1), "finite"),
        ((np.zeros((2, 3)), 0), "at least one frame"),
        ((np.zeros((2, 3)), 1, -0.1), "sigma"),
        ((np.zeros((2, 3)), 1, np.inf), "sigma"),
    ],
)
def test_bad_input(arguments: tuple, message: str) -> None:
    with pytest.raises(FfptError, match=message):
        rattle(*arguments)


def test_labels_are_the_teachers() -> None:
    teacher = aspirin()
    data = rattle_and_label(teacher, 50, 0.2, seed=4)
    assert isinstance(data, Dataset)
    assert data.level == "GAFF-2.11"
    positions = data.positions.reshape(50, 21, 3)
    np.testing.assert_array_equal(positions, rattle(teacher.atoms.positions, 50, 0.2, seed=4))
    energies, forces = teacher.energies_and_forces(positions)
    np.testing.assert_array_equal(data.energies, energies)
    np.testing.assert_array_equal(data.forces.reshape(forces.shape), forces)


def test_frames_of_the_teachers_dynamics_are_rattled_where_a_temperature_is_given() -> None:
    teacher = aspirin()
    thermal = rattle_and_label(teacher, 200, 0.0, seed=4, temperature=500.0)
    wild = rattle_and_label(teacher, 200, 0.2, seed=4, sigma_min=0.0, temperature=500.0)
    minimum = teacher.energies_and_forces(teacher.atoms.positions[None])[0][0]
    # Equipartition: 57 vibrations of kT/2; the frames are 20 fs apart, so 4 ps are few.
    assert (thermal.energies - minimum).mean() == pytest.approx(57 * BOLTZMANN * 500 / 2, rel=0.15)
    # As many in the thermal region as a third of the sigmas are small, and the rest far above it.
    above = (wild.energies - thermal.energies) / (57 * BOLTZMANN * 500 / 2)
    assert (above < 5).sum() > 30
    assert (above > 5).sum() > 100


@pytest.mark.parametrize("n_vib", [1, 6, 57])
def test_harmonic_oscillators_have_the_temperature_they_were_drawn_at(n_vib: int) -> None:
    """E = kT/2 chi-square(n): equipartition."""
    temperature = 12_345.0
    draws = np.random.default_rng(0).chisquare(n_vib, 200_000)
    found = energy_distribution(-3.0 + 0.5 * BOLTZMANN * temperature * draws, -3.0, n_vib)
    assert found.mean_temperature == pytest.approx(temperature, rel=0.02)
    assert found.median_temperature == pytest.approx(temperature, rel=0.02)


def test_clashes_move_the_mean_and_not_the_median() -> None:
    energies = np.random.default_rng(0).chisquare(57, 10_000)
    clashing = np.concatenate([energies, np.full(20, 1e6)])
    before, after = energy_distribution(energies, 0.0, 57), energy_distribution(clashing, 0.0, 57)
    assert after.mean_temperature > 10 * before.mean_temperature
    assert after.median_temperature == pytest.approx(before.median_temperature, rel=0.01)


def test_effective_temperature_of_rattled_aspirin() -> None:
    teacher = aspirin()
    data = rattle_and_label(teacher, 4000)
    minimum = teacher.provenance["relaxed_energy_eV"]
    found = energy_distribution(data.energies, minimum, vibrational_degrees_of_freedom(teacher.atoms.positions))
    assert found.n_vib == 57
    assert found.mean_temperature == pytest.approx(17_000, rel=0.03)
    assert found.median_temperature == pytest.approx(16_700, rel=0.03)
    assert found.energies.min() > 0  # nothing is below the relaxed geometry
    json.dumps({key: value for key, value in found.to_dict().items() if key != "histogram_eV_per_dof"})


def test_vibrations() -> None:
    assert vibrational_degrees_of_freedom(np.zeros((1, 3))) == 0
    assert vibrational_degrees_of_freedom(np.array([[0, 0, 0], [0, 0, 0.74]])) == 1
    assert vibrational_degrees_of_freedom(np.array([[0, 0, 0], [1.0, 1, 1], [-2, -2, -2]])) == 4
    assert vibrational_degrees_of_freedom(np.array([[0, 0, 0], [1.0, 0, 0], [0, 1.0, 0]])) == 3


def test_distances_of_a_triangle() -> None:
    triangle = np.array([[[0.0, 0, 0], [3.0, 0, 0], [0, 4.0, 0]]]).repeat(5, axis=0)
    found = molecule_distances(triangle, np.array([[0, 1]]), maximum=6.0, bin_width=0.5)
    width = np.diff(found.edges)
    assert (found.pairs * width).sum() == pytest.approx(1.0)
    np.testing.assert_allclose((found.pairs * width)[[6, 8, 10]], 1 / 3)
    assert (found.bonds * width)[6] == pytest.approx(1.0)
    np.testing.assert_allclose(found.shortest, 3.0)
    np.testing.assert_allclose(found.bond_range, 3.0)


def test_many_frames_are_the_same_in_blocks() -> None:
    positions = np.random.default_rng(0).standard_normal((4500, 40, 3))  # more distances than are held at once
    whole = molecule_distances(positions, np.array([[0, 1]]))
    parts = [molecule_distances(part, np.array([[0, 1]])) for part in np.split(positions, 3)]
    np.testing.assert_allclose(whole.pairs, np.mean([part.pairs for part in parts], axis=0), atol=1e-12)
    assert whole.shortest[0] == min(part.shortest[0] for part in parts)


def test_the_command_writes_data_record_and_picture(tmp_path: Path) -> None:
    from ffpt_core.cli.rattle import rattle as command

    teacher = aspirin()
    teacher.save(tmp_path / "aspirin")
    command([str(tmp_path / "aspirin")], tmp_path / "out.npz", frames=200, sigma=0.1, seed=5)
    data = Dataset.load(tmp_path / "out.npz")
    assert data.fingerprint == rattle_and_label(teacher, 200, 0.1, 5).fingerprint
    record = json.loads((tmp_path / "out.json").read_text())
    assert record["fingerprint"] == data.fingerprint
    assert record["energies"]["n_vib"] == 57
    # A harmonic molecule's energy goes with sigma squared.
    assert record["energies"]["mean_temperature_K"] == pytest.approx(17_000 / 4, rel=0.1)
    assert list(record["distances"]) == ["rattled", "MD of GAFF-2.11, 500 K"]
    assert (tmp_path / "out.png").read_bytes()[:4] == b"\x89PNG"


def test_the_command_compares_with_frames_of_the_same_atoms_only(tmp_path: Path) -> None:
    from ffpt_core.cli.rattle import rattle as command

    teacher = aspirin()
    rattle_and_label(teacher, 20, 0.05).save(tmp_path / "md.npz")
    command(["aspirin"], tmp_path / "out.npz", frames=20, compare=tmp_path / "md.npz")
    assert "md" in json.loads((tmp_path / "out.json").read_text())["distances"]
    Dataset.from_arrays(teacher.numbers[::-1], teacher.atoms.positions[None]).save(tmp_path / "other.npz")
    with pytest.raises(FfptError, match="other atoms"):
        command(["aspirin"], tmp_path / "out.npz", frames=20, compare=tmp_path / "other.npz")
    with pytest.raises(FfptError, match="npz"):
        command(["aspirin"], tmp_path / "out.xyz", frames=20)
