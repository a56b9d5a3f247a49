"""The data set that comes with ffpt is what its card says."""

from __future__ import annotations

import importlib.resources

import numpy as np
import pytest

from ffpt_core.base.units import BOLTZMANN
from ffpt_core.datasets import Dataset, aspirin_gfn2
from ffpt_core.sampling.labelling import Job, label
from ffpt_core.teachers import aspirin

FOLDER = importlib.resources.files("ffpt_core.datasets") / "data"
RUNS = 12


@pytest.fixture(scope="module")
def data() -> Dataset:
    return aspirin_gfn2()


def test_it_is_aspirin_in_the_order_of_the_teacher(data: Dataset) -> None:
    teacher = aspirin()
    assert len(data) == 1500
    assert data.level == "GFN2-xTB"
    assert (data.numbers.reshape(1500, 21) == teacher.numbers).all()
    positions = data.positions.reshape(1500, 21, 3)
    bonds = teacher.bonds
    lengths = np.linalg.norm(positions[:, bonds[:, 0]] - positions[:, bonds[:, 1]], axis=2)
    assert lengths.min() > 0.8
    assert lengths.max() < 1.9


def test_labels_belong_to_their_frames(data: Dataset) -> None:
    pytest.importorskip("tblite")
    some = np.array([0, 777, 1499])
    again = label(Job(data[some], "tblite:GFN2-xTB"), quiet=True)
    np.testing.assert_allclose(again.energies, data.energies[some], atol=1e-6)
    np.testing.assert_allclose(again.forces, data[some].forces, atol=2e-5)


def test_forces_have_no_net_part(data: Dataset) -> None:
    np.testing.assert_allclose(data.forces.reshape(1500, 21, 3).sum(axis=1), 0.0, atol=1e-4)


def test_runs_are_equilibrated_and_frames_differ(data: Dataset) -> None:
    """Mean energies of the twelve runs agree within the spread of frames: none is still heating up."""
    means = data.energies.reshape(RUNS, -1).mean(axis=1)
    assert np.abs(means - means.mean()).max() < data.energies.std()
    first, last = np.split(data.energies.reshape(RUNS, -1)[:, :124], 2, axis=1)
    assert abs(first.mean() - last.mean()) < 0.05
    # 57 harmonic vibrations at 500 K spread by sqrt(57 / 2) k T.
    assert data.energies.std() == pytest.approx(np.sqrt(57 / 2) * BOLTZMANN * 500, rel=0.1)
    assert len(np.unique(data.energies)) == 1500


def test_the_card_names_this_file(data: Dataset) -> None:
    card = (FOLDER / "aspirin-gfn2.md").read_text()
    assert data.fingerprint in card
    assert "CC0" in card
    assert len((FOLDER / "aspirin-gfn2.npz").read_bytes()) < 1.5e6
