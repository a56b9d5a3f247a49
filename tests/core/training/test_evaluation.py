"""Errors of any potential: of a network in batches, of others by evaluators of their atoms."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from conftest import small_potential

from ffpt_core import FfptError
from ffpt_core.base.files import read_json
from ffpt_core.cli.main import main
from ffpt_core.datasets import Dataset, write
from ffpt_core.potentials.interface import Evaluator, Potential
from ffpt_core.potentials.sources import open_potential
from ffpt_core.training import evaluate, predict


def mixed_frames() -> Dataset:
    """Waters in two orders of their atoms, one in a box, one frame of another molecule between them."""
    rng = np.random.default_rng(1)
    frames = []
    for k in range(9):
        symbols = ("OHH", "HHO", "CHHHH")[k % 3] if k != 6 else "OHH"
        compact = {"O": [0, 0, 0], "C": [0, 0, 0]}
        around = iter([[0.6, 0.6, 0.6], [-0.6, -0.6, 0.6], [-0.6, 0.6, -0.6], [0.6, -0.6, -0.6]])
        positions = np.array([compact.get(symbol) or next(around) for symbol in symbols], dtype=float)
        box = {"cell": [6.0, 6.5 + 0.1 * k, 7.0], "pbc": True} if k in (3, 6) else {}
        frames.append(Atoms(symbols, positions + rng.normal(0, 0.05, positions.shape), **box))
    bare = Dataset.from_atoms(frames)
    energies, forces = rng.normal(size=len(bare)), rng.normal(size=bare.positions.shape)
    return dataclasses.replace(bare, energies=energies, forces=forces, level="random")


class Wrapped(Potential):
    """A network that only says what every potential says."""

    def __init__(self, batches: bool) -> None:
        self._potential = small_potential()
        self.level, self.elements, self.batches = "wrapped", self._potential.elements, batches
        self.copies: list[int] = []

    def evaluator(self, numbers: Any, pbc: Sequence[bool] = (False,) * 3, copies: int = 1) -> Evaluator:
        self.check(numbers, pbc)
        self.copies.append(copies)
        return self._potential.evaluator(numbers, pbc, copies)

    def record(self) -> dict[str, Any]:
        return self._potential.record()

    def save_into(self, folder: Any) -> None:
        self._potential.save_into(folder)


@pytest.mark.parametrize("batches", [False, True], ids=["one by one", "copies"])
def test_any_potential_is_evaluated_as_a_network_is(batches: bool) -> None:
    dataset, wrapped = mixed_frames(), Wrapped(batches)
    energies, forces = predict(small_potential(), dataset)
    found_energies, found_forces = predict(wrapped, dataset, batch_size=2)
    np.testing.assert_allclose(found_energies, energies, rtol=0, atol=1e-9)
    np.testing.assert_allclose(found_forces, forces, rtol=0, atol=1e-8)
    assert max(wrapped.copies) == (2 if batches else 1)
    assert evaluate(wrapped, dataset).force_mae == pytest.approx(evaluate(small_potential(), dataset).force_mae)


def test_what_a_potential_does_not_know_is_said_before_the_first_frame() -> None:
    dataset, wrapped = mixed_frames(), Wrapped(False)
    wrapped.elements = frozenset({1, 8})
    with pytest.raises(FfptError, match="does not know C"):
        predict(wrapped, dataset)
    assert not wrapped.copies


def test_tblite_is_evaluated_with_the_keys_of_the_file(tmp_path: Path) -> None:
    """GFN2-xTB against its own labels, which the file has under names of its own."""
    pytest.importorskip("tblite")
    potential = open_potential("tblite:GFN2-xTB")
    dataset = Dataset.from_atoms([frame for frame in mixed_frames() if not frame.pbc.any()][:4])
    energies, forces = predict(potential, dataset)
    exact = [potential.energy_and_forces(frame) for frame in dataset]
    np.testing.assert_allclose(energies, [energy for energy, _ in exact], rtol=0, atol=1e-6)
    np.testing.assert_allclose(forces, np.concatenate([force for _, force in exact]), rtol=0, atol=1e-4)
    write(dataclasses.replace(dataset, energies=energies + 0.25, forces=forces), tmp_path / "frames.xyz", prefix="my_")
    arguments = ["tblite:GFN2-xTB", "--data", str(tmp_path / "frames.xyz"), "-o", str(tmp_path), "--level", "x"]
    assert main(["evaluate", *arguments, "--energy-key", "my_energy", "--forces-key", "my_forces"]) == 0
    record = read_json(tmp_path / "evaluate.json")
    assert record["level"] == "x"
    errors = record["errors"]["GFN2-xTB"]
    assert errors["energy_mae"] == pytest.approx(0.25, abs=1e-5)
    assert errors["force_mae"] < 1e-3
    assert (tmp_path / "evaluate.png").read_bytes().startswith(b"\x89PNG")
