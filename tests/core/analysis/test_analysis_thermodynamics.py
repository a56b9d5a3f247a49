"""Temperature and drift: planted slopes and means come back with honest errors."""

from __future__ import annotations

import numpy as np
import pytest

from ffpt_core.analysis.thermodynamics import TEMPERATURE, TIME, TOTAL, plot_thermodynamics, thermodynamics
from ffpt_core.base.errors import FfptError

N_ATOMS = 21


def table(n_rows: int = 2000, slope: float = 0.0, noise: float = 0.0, seed: int = 0) -> dict[str, np.ndarray]:
    """Total energy with a slope in meV/atom/ps and noise in meV/atom; 500 K with 40 K noise; 0.01 ps a row."""
    rng = np.random.default_rng(seed)
    times = 0.01 * np.arange(1, n_rows + 1)
    per_atom = slope * times + noise * rng.normal(size=n_rows)
    total = -1.7e6 + per_atom / 1000.0 * N_ATOMS * 96.48533212
    return {TIME: times, TOTAL: total, TEMPERATURE: 500.0 + 40.0 * rng.normal(size=n_rows)}


@pytest.mark.parametrize("slope", [-2.0, 0.0, 0.5])
def test_drift_of_a_line_is_its_slope(slope: float) -> None:
    found = thermodynamics(table(slope=slope), N_ATOMS)
    assert found.drift == pytest.approx(slope, abs=1e-6)
    assert found.fluctuation == pytest.approx(0.0, abs=1e-5)


def test_drift_under_noise_lies_within_its_error() -> None:
    pulls = []
    for seed in range(100):
        found = thermodynamics(table(slope=0.3, noise=2.0, seed=seed), N_ATOMS)
        pulls.append((found.drift - 0.3) / found.drift_error)
    assert 0.7 < np.std(pulls) < 1.15
    assert found.fluctuation == pytest.approx(2.0, rel=0.05)


def test_error_of_the_drift_grows_with_correlation() -> None:
    independent = table(noise=2.0)
    correlated = dict(independent)
    swing = np.repeat(np.random.default_rng(1).normal(size=40), 50)
    correlated[TOTAL] = -1.7e6 + 2.0 * swing / 1000.0 * N_ATOMS * 96.48533212
    assert thermodynamics(correlated, N_ATOMS).drift_error > 3 * thermodynamics(independent, N_ATOMS).drift_error


def test_temperature_with_error_and_target() -> None:
    found = thermodynamics(table(), N_ATOMS, target=500.0, skip=5.0, name="run/0")
    assert found.times[0] == pytest.approx(5.0)
    assert abs(found.temperature - 500.0) < 4 * found.temperature_error
    assert found.temperature_error == pytest.approx(40.0 / np.sqrt(1501), rel=0.6)
    record = found.to_dict()
    assert record["target_k"] == 500.0 and record["n_rows"] == 1501
    assert "energies" not in record and record["length_ps"] == pytest.approx(15.0)


def test_what_is_refused() -> None:
    with pytest.raises(FfptError, match="run/0 has 0 rows after 50 ps"):
        thermodynamics(table(), N_ATOMS, skip=50.0, name="run/0")
    with pytest.raises(FfptError, match="no column 'Temperature"):
        thermodynamics({TIME: np.arange(5.0), TOTAL: np.arange(5.0)}, N_ATOMS)


def test_picture_has_a_line_a_replica_and_the_target() -> None:
    runs = {"a": [thermodynamics(table(seed=seed), N_ATOMS, target=500.0) for seed in range(3)]}
    figure = plot_thermodynamics(runs)
    assert [len(axes.lines) for axes in figure.axes] == [4, 3]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a"]
