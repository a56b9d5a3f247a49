"""The speed benchmark: it runs and writes what it promises; its operation counts are those that PyTorch counts."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import silu
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import metadynamics, systems
from benchmarks.floor import matrix_products, totals
from benchmarks.rows import ROWS
from benchmarks.timing import Case, Effort, Spread, paired_times
from ffpt_core import NetworkPotential

ROOT = Path(__file__).parents[1]


def _folded(potential: NetworkPotential, numbers: Tensor, pairs: Tensor) -> list[tuple[Tensor, Tensor]]:
    """For every two elements of the first layer: which pairs they are, and W3 diag(phi_i phi_j) We."""
    layer = potential.network.layers[0]
    found = []
    for a, b in itertools.combinations_with_replacement(numbers.unique(), 2):
        phi_a, phi_b = (layer.node_out(silu(layer.node_in(potential.network.embedding(z)))) for z in (a, b))
        kind = ((numbers[pairs] == a) | (numbers[pairs] == b)).all(0)
        kind &= (numbers[pairs] != a).any(0) | (a == b)
        kind &= (numbers[pairs] != b).any(0) | (a == b)
        found.append((kind, (layer.direction_in.weight * (phi_a * phi_b)) @ layer.radial.weight))
    return found


def _energy(
    potential: NetworkPotential,
    numbers: Tensor,
    pairs: Tensor,
    displacements: Tensor,
    folded: list[tuple[Tensor, Tensor]] | None,
) -> Tensor:
    """NewtonNet's equations on half pairs, written down once more, without a backward pass of its own.

    folded: rearrange: sum over neighbours before W4, no W5 and W6 where they multiply zeros, W3 of the first layer
    folded with We.
    """
    rearranged = folded is not None
    network = potential.network
    i, j = pairs

    def at_atoms(from_j: Tensor, from_i: Tensor) -> Tensor:
        zeros = torch.zeros(len(numbers), *from_j.shape[1:], dtype=from_j.dtype)
        return zeros.index_add(0, i, from_j).index_add(0, j, from_i)

    distances = displacements.norm(dim=1)
    units = (displacements / distances[:, None])[:, :, None]
    radial, _ = network.radial_basis(distances)
    a = network.embedding(numbers)
    f = torch.zeros(len(numbers), 3, network.n_features, dtype=a.dtype)
    for number, layer in enumerate(network.layers):
        phi = layer.node_out(silu(layer.node_in(a)))
        message = layer.radial(radial) * phi[i] * phi[j]
        a = a + at_atoms(message, message)
        if folded is not None and number == 0:
            hidden = torch.zeros_like(message)
            for kind, matrix in folded:
                rows = kind.nonzero()[:, 0]
                hidden = hidden.index_copy(0, rows, radial[rows] @ matrix.T)
            hidden = silu(hidden)
        else:
            hidden = silu(layer.direction_in(message))
        if rearranged and 3 * len(numbers) < pairs.shape[1]:
            along = layer.direction_out(at_atoms(hidden[:, None] * units, -hidden[:, None] * units))
        else:
            e1 = layer.direction_out(hidden)[:, None]
            along = at_atoms(e1 * units, -e1 * units)
        if not (rearranged and number == 0):
            e2 = layer.transport_out(silu(layer.transport_in(message)))[:, None]
            along = along + at_atoms(e2 * f[j], e2 * f[i])
        f = f + along
        a = a + (f * layer.update(f)).sum(1)
    hidden = silu(network.readout_hidden(silu(network.readout_in(a))))
    return network.readout_out(hidden).sum()


@pytest.mark.parametrize("rearranged", [False, True])
@pytest.mark.parametrize("structure", [systems.hydroperoxyl, systems.aspirin, lambda: systems.water(20)])
def test_the_operation_count_is_that_of_the_equations(structure, rearranged) -> None:
    atoms = structure()
    potential = systems.random_potential().double()
    potential.requires_grad_(False)
    numbers = torch.as_tensor(atoms.numbers)
    pairs, displacements = _pairs(potential, atoms)
    displacements = displacements.requires_grad_(True)

    folded = _folded(potential, numbers, pairs) if rearranged else None
    with FlopCounterMode(display=False) as counter:
        energy = _energy(potential, numbers, pairs, displacements, folded)
        (gradient,) = torch.autograd.grad(energy, displacements)

    expected_energy, expected_forces = potential.energy_and_forces(atoms)
    forces = torch.zeros(len(atoms), 3, dtype=torch.float64)
    forces = forces.index_add(0, pairs[1], gradient).index_add(0, pairs[0], -gradient)
    assert energy.item() == pytest.approx(expected_energy, rel=0, abs=1e-9)
    np.testing.assert_allclose(forces.numpy(), expected_forces, rtol=0, atol=1e-10)

    count = totals(matrix_products(len(atoms), pairs.shape[1], rearranged=rearranged))
    assert counter.get_total_flops() == 2 * count["multiply_adds"]


def _pairs(potential: NetworkPotential, atoms) -> tuple[Tensor, Tensor]:
    """(2, n_pairs) and displacements, by ASE's neighbour list."""
    from ase.neighborlist import neighbor_list

    i, j, vectors, shifts = neighbor_list("ijDS", atoms, potential.cutoff)
    order = shifts[:, 0] * 1e4 + shifts[:, 1] * 1e2 + shifts[:, 2]
    once = (i < j) | ((i == j) & (order > 0))
    return torch.as_tensor(np.stack([i, j])[:, once]), torch.as_tensor(-vectors[once])


def test_bytes_of_a_product_are_those_of_its_three_matrices() -> None:
    product = next(p for p in matrix_products(21, 151) if p.name == "We" and p.direction == "forward")
    assert product.bytes == 4 * (151 * 20 + 20 * 128 + 151 * 128)
    assert product.multiply_adds == 151 * 20 * 128


def test_every_round_visits_every_case_and_times_are_per_unit_of_work() -> None:
    visited: list[str] = []
    cases = [
        Case("a", lambda: visited.append("a"), amount=2.0, prepare=lambda: visited.append("prepared")),
        Case("b", lambda: visited.append("b")),
    ]
    times = paired_times(cases, Effort(rounds=7, budget=60.0, visit=0.0))
    assert {name: values.shape for name, values in times.items()} == {"a": (7, 2), "b": (7, 2)}
    rounds = [name for name in visited[-7 * 5 :] if name != "prepared"]
    assert rounds == ["a", "a", "b", "b", "b", "b", "a", "a"] * 3 + ["a", "a", "b", "b"]
    assert visited.count("prepared") == 7 + 3


def test_a_spread_holds_two_thirds_of_the_rounds() -> None:
    spread = Spread.of(np.arange(101.0))
    assert (spread.low, spread.median, spread.high) == (16.0, 50.0, 84.0)


def test_water_has_the_density_and_the_neighbours_of_water() -> None:
    box = systems.water(64)
    assert box.get_masses().sum() / box.get_volume() == pytest.approx(0.997 * 0.602214, rel=1e-3)
    pairs, _ = _pairs(systems.random_potential(), box)
    # A uniform fluid has n rho 4/3 pi r^3 / 2 pairs.
    uniform = len(box) ** 2 / box.get_volume() * 4 / 3 * np.pi * 5.0**3 / 2
    assert pairs.shape[1] == pytest.approx(uniform, rel=0.05)


def test_motion_is_as_small_as_steps_of_md_and_closes() -> None:
    atoms = systems.aspirin()
    frames = systems.motion(atoms)
    positions = np.array([frame.positions for frame in [*frames, frames[0]]])
    steps = np.abs(np.diff(positions, axis=0)).max(axis=(1, 2))
    assert steps.min() > 0.0 and steps.max() < 0.013
    assert len({frame.positions.tobytes() for frame in frames}) > len(frames) // 2


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> tuple[dict, str, Path]:
    """What a quick run without peers wrote and said."""
    folder = tmp_path_factory.mktemp("benchmark")
    command = [sys.executable, "-m", "benchmarks.speed", "--quick", "--no-peers", "--threads", "1"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, "--output", str(folder)], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "speed.json").read_text()), done.stdout, folder


def test_the_quick_run_measures_every_row(report) -> None:
    written, said, folder = report
    rows = written["rows"]["cpu"]
    assert list(rows) == list(ROWS)
    for key, row in rows.items():
        assert row["cases"] or row["skipped"], key
        assert row["title"] in said
        for name, entry in row["cases"].items():
            seconds = entry["seconds"]
            assert 0 < seconds["low"] <= seconds["median"] <= seconds["high"], (key, name)
    assert written["missing_peers"] == {"all peers": "--no-peers"}
    assert (folder / "speed.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_the_floor_of_a_row_belongs_to_its_system(report) -> None:
    details = report[0]["rows"]["cpu"]["aspirin"]["details"]
    atoms = systems.aspirin()
    pairs, _ = _pairs(systems.random_potential(), atoms)
    assert (details["n_atoms"], details["n_pairs"]) == (21, pairs.shape[1])
    stated = totals(matrix_products(21, pairs.shape[1]))
    assert {name: details["floor"]["stated"][name] for name in stated} == stated


def test_langevin_steps_refer_to_the_evaluation_by_the_same_backend(report) -> None:
    cases = report[0]["rows"]["cpu"]["langevin-aspirin"]["cases"]
    assert {"pythonforce, evaluation", "pythonforce, Reference", "pythonforce, CPU"} <= set(cases)
    for name, entry in cases.items():
        if not name.endswith("evaluation"):
            assert entry["against"] == name.split(",")[0] + ", evaluation"
            assert entry["ratio"]["median"] > 0


def test_memory_of_a_box_is_its_own(report) -> None:
    cases = report[0]["rows"]["cpu"]["boxes"]["cases"]
    assert len(cases) == 2
    for entry in cases.values():
        assert 0 < entry["peak_bytes"] < report[0]["rows"]["cpu"]["boxes"]["details"]["memory_limit_bytes"]
        assert entry["bytes_per_atom"] * entry["n_atoms"] < entry["peak_bytes"]


def test_metadynamics(tmp_path) -> None:
    threads = torch.get_num_threads()
    try:
        metadynamics.main(["--quick", "--output", str(tmp_path)])
    finally:
        torch.set_num_threads(threads)
    rates = json.loads((tmp_path / "metadynamics.json").read_text())["steps_per_second"]
    assert list(rates) == ["3", "4", "5", "6"]
    for ways in rates.values():
        assert {"no bias", "native"} <= set(ways)
        assert all(0 < way["low"] <= way["median"] <= way["high"] for way in ways.values())
    assert (tmp_path / "metadynamics.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
