"""Diffusion: random walks of known D, wrapped as unwrapped, errors of the right size, refusals."""

from __future__ import annotations

import mdtraj
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from liquid_examples import atoms, random_walk

from ffpt_core.analysis import Diffusion, diffusion, yeh_hummer
from ffpt_core.analysis.diffusion_plot import plot_diffusion
from ffpt_core.analysis.displacements import square_displacements, unwrapped, without_drift
from ffpt_core.analysis.self_diffusion import finite_size, ratio
from ffpt_core.base.errors import FfptError

CUBE = 30.0 * np.eye(3)
TILTED = np.array([[30.0, 0.0, 0.0], [9.0, 28.0, 0.0], [-8.0, 7.0, 27.0]])


def walk(coefficient: float = 0.25, n_frames: int = 2000, seed: int = 0, cell: np.ndarray = CUBE) -> mdtraj.Trajectory:
    """Wrapped random walk."""
    shares = random_walk(coefficient, n_frames, seed=seed) @ np.linalg.inv(cell)
    return atoms((shares - np.floor(shares)) @ cell, cell, interval=0.5)


def measure(found: mdtraj.Trajectory | list[mdtraj.Trajectory], **settings: bool) -> Diffusion:
    return diffusion(found, "all", (1.0, 10.0), **({"remove_drift": False} | settings))


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 40), st.integers(1, 5), st.integers(0, 1000))
def test_fourier_sums_are_those_over_origins(n_frames: int, n_atoms: int, seed: int) -> None:
    positions = 1000.0 + random_walk(1.0, n_frames, n_atoms, seed=seed)
    direct = [
        np.mean(np.sum((positions[lag:] - positions[: n_frames - lag]) ** 2, axis=2), axis=0)
        for lag in range(n_frames)
    ]  # fmt: skip
    np.testing.assert_allclose(square_displacements(positions), direct, rtol=1e-9, atol=1e-8)
    np.testing.assert_allclose(square_displacements(positions, 2), direct[:2], rtol=1e-9, atol=1e-8)


def test_random_walk_has_its_coefficient() -> None:
    found = measure([walk(seed=1), walk(seed=2)])
    assert found.coefficient == pytest.approx(0.25, abs=3 * found.error)
    assert 0.001 < found.error < 0.02
    assert found.exponent == pytest.approx(1.0, abs=0.05)
    record = found.to_dict()
    assert record["coefficient_1e-9_m2_per_s"] == pytest.approx(10.0 * record["coefficient_angstrom2_per_ps"])
    np.testing.assert_allclose(found.msd[1:5], 6 * 0.25 * found.lags[1:5], rtol=0.02)
    assert (found.window, found.n_atoms, found.lengths) == ((1.0, 10.0), 60, (999.5, 999.5))


def test_error_bars_have_the_size_of_the_deviations() -> None:
    runs = [measure(walk(n_frames=250, seed=seed)) for seed in range(40)]
    deviation = np.sqrt(np.mean([(run.coefficient - 0.25) ** 2 for run in runs]))
    for estimate in ("segment_error", "atom_error", "error"):
        size = np.sqrt(np.mean([getattr(run, estimate) ** 2 for run in runs]))
        assert 0.7 < size / deviation < 1.6, estimate


@pytest.mark.parametrize("cell", [CUBE, TILTED], ids=["cube", "tilted"])
def test_wrapped_is_unwrapped(cell: np.ndarray) -> None:
    wrapped = walk(n_frames=500, cell=cell)
    free = atoms(random_walk(0.25, 500), None, interval=0.5)
    positions, longest = unwrapped(wrapped)
    moved = positions - positions[0]
    np.testing.assert_allclose(moved, 10.0 * (free.xyz - free.xyz[0]), atol=2e-3)
    assert 0.03 < longest < 0.2
    expected = measure(free, is_unwrapped=True)
    assert measure(wrapped).coefficient == pytest.approx(expected.coefficient, rel=1e-4)
    assert expected.edges is None and expected.longest_step is None


def test_drift_is_removed() -> None:
    still = random_walk(0.25, 1500)
    drifting = still + 0.05 * np.arange(1500)[:, None, None]
    fast = measure(atoms(drifting, CUBE, 0.5))
    assert fast.coefficient > 0.3 and fast.exponent > 1.01
    # The centre of mass of N free walkers takes a share of 1/N of their motion with it.
    kept, removed = (measure(atoms(drifting, CUBE, 0.5), remove_drift=True), measure(atoms(still, CUBE, 0.5)))
    assert kept.coefficient == pytest.approx(0.25 * (1 - 1 / 60), abs=3 * kept.error)
    assert removed.coefficient == pytest.approx(0.25, abs=3 * removed.error)
    masses = np.random.default_rng(0).random(60)
    centred = without_drift(drifting, masses)
    np.testing.assert_allclose(np.einsum("fax,a->fx", centred, masses), 0.0, atol=1e-9)


def test_flight_and_rest_are_told_from_diffusion() -> None:
    velocities = np.random.default_rng(0).normal(size=(1, 60, 3))
    flying = atoms(0.1 * np.arange(200)[:, None, None] * velocities, CUBE, 0.5)
    assert measure(flying).exponent == pytest.approx(2.0, abs=1e-3)
    resting = measure(atoms(np.random.default_rng(0).normal(size=(500, 60, 3)), CUBE, 0.5))
    assert resting.coefficient == pytest.approx(0.0, abs=4 * resting.error)
    assert resting.offset == pytest.approx(6.0, rel=0.02)
    with pytest.raises(FfptError, match="there is no ratio"):
        ratio(resting, measure(atoms(np.zeros((100, 60, 3)), CUBE, 0.5)))


def test_ratio_and_its_error() -> None:
    fast, slow = measure(walk(0.5)), measure(walk(0.25, seed=7))
    value, error = ratio(fast, slow)
    assert value == pytest.approx(2.0, abs=3 * error)
    expected = value * np.hypot(fast.error / fast.coefficient, slow.error / slow.coefficient)
    assert error == pytest.approx(expected)


def test_correction_of_yeh_and_hummer() -> None:
    """By hand: 2.837297 * 1.380649e-23 * 300 / (6 pi * 0.85e-3 * 12.43e-10) = 5.901e-10 m^2/s."""
    assert 10.0 * yeh_hummer(300.0, 0.85, 12.43) == pytest.approx(0.5901, abs=2e-4)
    assert finite_size(measure(walk(n_frames=200)), 300.0, 0.85) == pytest.approx(yeh_hummer(300.0, 0.85, 30.0))
    with pytest.raises(FfptError, match="cubic"):
        finite_size(measure(walk(n_frames=200, cell=TILTED)), 300.0, 0.85)
    with pytest.raises(FfptError, match="positive"):
        yeh_hummer(300.0, 0.0, 12.43)


def test_frames_too_far_apart_are_refused() -> None:
    """Steps of 3 Angstrom in a box of 12 cannot be told from steps to the other side."""
    fast = walk(9.0, 100, cell=12.0 * np.eye(3))
    with pytest.raises(FfptError, match=r"0\.\d\d of a lattice vector between two frames"):
        measure(fast)
    free = atoms(random_walk(9.0, 2000), 12.0 * np.eye(3), interval=0.5)
    found = measure(free, is_unwrapped=True)
    assert found.coefficient == pytest.approx(9.0, abs=3 * found.error)


def test_what_is_refused() -> None:
    found = walk(n_frames=100)
    with pytest.raises(FfptError, match="has no cell"):
        measure(atoms(random_walk(0.25, 100), None, 0.5))
    with pytest.raises(FfptError, match="picks no atom"):
        diffusion(found)
    with pytest.raises(FfptError, match="not in mdtraj's language"):
        diffusion(found, "element O or or")
    with pytest.raises(FfptError, match=r"beyond half of the shortest trajectory \(49\.5 ps\)"):
        diffusion(found, "all", (1.0, 40.0))
    with pytest.raises(FfptError, match="fewer than three lags"):
        diffusion(found, "all", (5.0, 5.5))
    assert diffusion(found, "all").window == (2.0, 12.5)
    with pytest.raises(FfptError, match="pool equal ones"):
        measure([found, atoms(random_walk(0.25, 100), CUBE, interval=0.1)])
    found.time = np.append(found.time[:-1], 99.0)
    with pytest.raises(FfptError, match="not evenly spaced"):
        measure(found)
    with pytest.raises(FfptError, match="fewer than two frames"):
        measure(found[0])
    found.xyz[3, 2] = np.inf
    with pytest.raises(FfptError, match=r"finite|evenly"):
        measure(found[:50])


def test_picture_shows_corrected_values() -> None:
    found = {"run": measure(walk(n_frames=200)), "reference": measure(walk(n_frames=200, seed=1))}
    figure = plot_diffusion(found, "reference", {"run": 0.02, "reference": 0.02})
    assert len(figure.axes[1].containers) == 4
    assert "corrected" in figure.axes[1].get_title()
    assert figure.axes[1].get_ylabel() == "D (10⁻⁹ m²/s)"
