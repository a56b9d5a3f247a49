"""The C++ kernel is the network: energies, forces, virial, on any threads, for any system; and life without it."""

from __future__ import annotations

import copy

import ase.build
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.calculator import all_changes
from conftest import small_potential
from hypothesis import given, settings
from hypothesis import strategies as st
from network_checks import assert_is_the_network
from openmm_models import rattled, water_box

from ffpt_core import FfptError, NetworkPotential
from ffpt_core.datasets import Dataset
from ffpt_core.potentials.ase import PotentialCalculator
from ffpt_core.potentials.backends import choose_backend
from ffpt_core.potentials.flat_weights import FlatWeights
from ffpt_core.potentials.newtonnet.cpp import (
    CppEvaluator,
    CppFrames,
    CppNetwork,
    Structures,
    chunks_of,
    kernel,
    load_kernel,
    network,
)
from ffpt_core.potentials.newtonnet.cpp.network import weights_of
from ffpt_core.potentials.newtonnet.network import NewtonNet
from ffpt_core.structure.pairs import all_pairs
from ffpt_core.teachers import aspirin
from ffpt_core.training.batches import FrameBatches

pytestmark = pytest.mark.skipif(isinstance(load_kernel(), str), reason=f"the kernel does not compile: {load_kernel()}")

TRICLINIC = np.array([[11.0, 0, 0], [2.0, 10.4, 0], [-1.5, 1.0, 10.8]])
THIN = np.array([[6.0, 0, 0], [1.0, 6.5, 0], [0.5, -1.0, 7.0]])


@pytest.fixture
def threads():
    """Sets PyTorch's number of threads for a test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def _potential(dtype: torch.dtype, n_features: int = 128, n_basis: int = 20, n_layers: int = 3) -> NetworkPotential:
    torch.manual_seed(1)
    network = NewtonNet(n_features, n_basis, n_layers).to(dtype)
    return NetworkPotential(network, (1, 6, 8), {1: -13.6, 6: -1030.0, 8: -2040.0}, {1: 0.7, 6: 1.2, 8: 1.1}).eval()


@pytest.mark.parametrize(
    ("dtype", "tolerances"),
    # Energies have a sum of shifts of -17,500 eV, whose last digit in float64 is 4e-12.
    [(torch.float32, (1e-6, 5e-7)), (torch.float64, (3e-11, 1e-14))],
    ids=["float32", "float64"],
)
@pytest.mark.parametrize(("n_features", "n_basis", "n_layers"), [(128, 20, 3), (16, 8, 3), (40, 13, 2), (100, 33, 1)])
def test_the_kernel_is_the_network(dtype, tolerances, n_features, n_basis, n_layers) -> None:
    """Widths that are no multiple of a processor's vector are padded."""
    potential = _potential(dtype, n_features, n_basis, n_layers)
    assert_is_the_network(CppEvaluator, potential, rattled(aspirin().atoms, 0.2), *tolerances)
    assert_is_the_network(CppEvaluator, potential, rattled(ase.build.molecule("H2O")), *tolerances)
    for cell in (TRICLINIC, THIN):
        assert_is_the_network(CppEvaluator, potential, water_box(cell, 8), *tolerances)


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 90), st.integers(0, 2**32 - 1), st.sampled_from([(0, 0, 0), (1, 0, 1), (1, 1, 1)]))
def test_any_atoms_in_any_cell(n_atoms, seed, pbc) -> None:
    """With and without neighbour lists, tiles that are full and not, cells with one periodic direction missing."""
    rng = np.random.default_rng(seed)
    side = 1.8 * n_atoms ** (1 / 3)
    grid = np.stack(np.meshgrid(*[np.arange(np.ceil(n_atoms ** (1 / 3)))] * 3), axis=-1).reshape(-1, 3)[:n_atoms]
    positions = 1.8 * grid + rng.normal(scale=0.15, size=(n_atoms, 3))
    cell = np.diag([side + 2.0] * 3) + rng.uniform(-1, 1, (3, 3))
    atoms = Atoms(rng.choice([1, 6, 8], n_atoms), positions, cell=cell, pbc=np.array(pbc, dtype=bool))
    assert_is_the_network(CppEvaluator, small_potential(), atoms, 2e-10, 1e-12)  # up to -200,000 eV


@pytest.mark.parametrize("count", [2, 3, 5])
def test_threads_change_rounding_only(threads, count) -> None:
    potential = _potential(torch.float64)
    atoms = rattled(aspirin().atoms)
    evaluate = CppEvaluator(potential, atoms.numbers)
    threads(1)
    energy, forces, virial = evaluate(atoms.positions)
    threads(count)
    for _ in range(2):
        other_energy, other_forces, other_virial = evaluate(atoms.positions)
        assert other_energy == pytest.approx(energy, rel=1e-15)
        np.testing.assert_allclose(other_forces, forces, rtol=0, atol=2e-15 * np.abs(forces).max() * 10)
        np.testing.assert_allclose(other_virial, virial, rtol=0, atol=1e-13)


def test_the_same_numbers_whenever_the_neighbour_list_was_made(threads) -> None:
    """To the last bit, also on two threads: a run that was stopped makes its lists at other times."""
    threads(2)
    potential = _potential(torch.float32, 32, 8, 2)
    box = water_box(TRICLINIC, 27)
    moving = CppEvaluator(potential, box.numbers, box.pbc)
    rng = np.random.default_rng(0)
    for _ in range(12):
        box.positions += rng.normal(scale=0.04, size=box.positions.shape)
        fresh = CppEvaluator(potential, box.numbers, box.pbc)
        cell = np.array(box.cell)
        kept, new = moving(box.positions, cell), fresh(box.positions, cell)
        assert kept[0] == new[0]
        np.testing.assert_array_equal(kept[1], new[1])


@pytest.mark.parametrize("cell", [None, THIN])
def test_copies_do_not_see_each_other(cell) -> None:
    """One of them breaks; the others have the energies and forces that they have alone."""
    potential = _potential(torch.float64, 32, 8, 2)
    base = aspirin().atoms if cell is None else water_box(cell, 8)
    copies = [rattled(base, 0.1, seed) for seed in range(4)]
    positions = np.concatenate([atoms.positions for atoms in copies])
    positions[len(base) + 3] = np.nan
    energies, forces, _ = CppEvaluator(potential, base.numbers, base.pbc, copies=4)(positions, cell)
    assert np.isnan(energies).tolist() == [False, True, False, False]
    for k in (0, 2, 3):
        energy, alone = potential.energy_and_forces(copies[k])
        assert energies[k] == pytest.approx(energy, abs=3e-11)
        np.testing.assert_allclose(forces.reshape(4, -1, 3)[k], alone, rtol=0, atol=1e-13)


def test_many_structures_in_one_call() -> None:
    potential = _potential(torch.float64, 32, 8, 2)
    network = CppNetwork(potential)
    frames = [rattled(aspirin().atoms, seed=seed) for seed in range(7)]
    pairs = np.concatenate([all_pairs(21).numpy() + 21 * k for k in range(7)], axis=1)
    positions = np.concatenate([frame.positions for frame in frames])  # on top of each other in space
    structures = Structures(np.tile(frames[0].numbers, 7), positions, pairs)
    result = network.evaluate_frames(structures, chunks_of(structures, np.repeat(np.arange(7), 21), 7))
    shift = potential.shifts.numpy()[frames[0].numbers].sum()
    for k, frame in enumerate(frames):
        energy, forces = potential.energy_and_forces(frame)
        assert result.energies[21 * k : 21 * (k + 1)].sum() + shift == pytest.approx(energy, abs=3e-11)
        np.testing.assert_allclose(result.forces[21 * k : 21 * (k + 1)], forces, rtol=0, atol=1e-13)


def test_forces_are_the_slope_of_the_energy() -> None:
    potential = _potential(torch.float64)
    atoms = rattled(aspirin().atoms)
    evaluate = CppEvaluator(potential, atoms.numbers)
    direction = np.random.default_rng(0).normal(size=atoms.positions.shape)
    step = 1e-4
    (rise,) = evaluate(atoms.positions + step * direction)[0] - evaluate(atoms.positions - step * direction)[0]
    assert rise / (2 * step) == pytest.approx(-np.sum(evaluate(atoms.positions)[1] * direction), rel=1e-6)


def test_lone_atoms_have_the_energy_of_their_element() -> None:
    potential = _potential(torch.float64)
    atoms = Atoms("HCO", 20.0 * np.eye(3))
    energy, forces, virial = CppEvaluator(potential, atoms.numbers)(atoms.positions)
    assert energy == pytest.approx(potential.energy_and_forces(atoms)[0], abs=1e-12)
    assert not forces.any() and not virial.any()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_coordinates_that_are_not_finite_give_nan(value) -> None:
    potential = small_potential()
    for atoms in (aspirin().atoms.copy(), water_box(TRICLINIC, 27)):
        evaluate = CppEvaluator(potential, atoms.numbers, atoms.pbc)
        cell = np.array(atoms.cell) if atoms.pbc.any() else None
        before = evaluate(atoms.positions, cell)
        broken = atoms.positions.copy()
        broken[7, 1] = value
        (energy,), forces, virial = evaluate(broken, cell)
        assert np.isnan(energy)
        assert np.flatnonzero(np.isnan(forces).any(axis=1)).tolist() == [7]
        assert np.isnan(virial).any()
        assert evaluate(atoms.positions, cell)[0] == before[0]


def test_calculator_follows_its_atoms() -> None:
    potential = _potential(torch.float64, 32, 8, 2)
    calculator = PotentialCalculator(potential, {"backend": "cpp"})
    for atoms in (ase.build.molecule("H2O"), aspirin().atoms.copy(), water_box(TRICLINIC, 8), water_box(THIN, 8)):
        calculator.calculate(atoms, ["energy"], all_changes)
        energy, forces, stress = potential.energy_forces_stress(atoms)
        assert calculator.results["energy"] == pytest.approx(energy, abs=1e-10)
        np.testing.assert_allclose(calculator.results["forces"], forces, atol=1e-12)
        if atoms.pbc.all():
            voigt = [stress[0, 0], stress[1, 1], stress[2, 2], stress[1, 2], stress[0, 2], stress[0, 1]]
            np.testing.assert_allclose(calculator.results["stress"], voigt, atol=1e-12)
    with pytest.raises(FfptError, match="does not know N"):
        calculator.calculate(ase.build.molecule("NH3"), ["energy"], all_changes)


def test_without_a_compiler_pytorch_does_the_work(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(kernel.pooch, "os_cache", lambda name: tmp_path / name)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    load_kernel.cache_clear()
    try:
        assert load_kernel() == "no C++ compiler is installed (g++ or clang++)"
        potential = small_potential()
        assert choose_backend("auto", potential).name == "torch"
        with pytest.raises(FfptError, match="C\\+\\+ kernel cannot be used: no C\\+\\+ compiler"):
            CppNetwork(potential)
        water = ase.build.molecule("H2O")
        water.calc = potential.calculator()
        assert water.get_potential_energy() == potential.energy_and_forces(water)[0]
    finally:
        load_kernel.cache_clear()


def test_the_library_is_compiled_once_and_never_half_there(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(kernel.pooch, "os_cache", lambda name: tmp_path / name)
    broken = tmp_path / "broken.cpp"
    broken.write_text("int main() { return nothing; }")
    source = kernel.SOURCE
    monkeypatch.setattr(kernel, "SOURCE", broken)
    load_kernel.cache_clear()
    try:
        reason = load_kernel()
        assert isinstance(reason, str) and "cannot compile broken.cpp" in reason and "\n" not in reason
        assert not list((tmp_path / "ffpt").iterdir())
        monkeypatch.setattr(kernel, "SOURCE", source)
        load_kernel.cache_clear()
        assert not isinstance(load_kernel(), str)
        assert len(list((tmp_path / "ffpt").iterdir())) == 1
        monkeypatch.setattr(kernel, "_compile", None)
        load_kernel.cache_clear()
        assert not isinstance(load_kernel(), str)
    finally:
        load_kernel.cache_clear()


def _gradients(potential: NetworkPotential, evaluate, batch) -> list[torch.Tensor]:
    """Of a loss that weighs every energy and force component differently."""
    generator = torch.Generator().manual_seed(0)
    energies, forces = evaluate(*batch[:6])
    weights = [torch.randn(x.shape, generator=generator, dtype=torch.float64) for x in (energies, forces)]
    potential.zero_grad()
    ((energies * weights[0]).sum() + (forces * weights[1]).sum()).backward()
    return [torch.zeros_like(w) if w.grad is None else w.grad.clone() for w in potential.parameters()]


MOLECULES = [
    rattled(ase.build.molecule(name), 0.1, seed) for seed, name in enumerate(("H2O", "O2", "OH", "H2O2", "H2"))
]


@pytest.mark.parametrize(
    ("frames", "sizes"),
    [
        ([rattled(aspirin().atoms, 0.1, seed) for seed in range(3)], (128, 20, 3)),
        ([rattled(aspirin().atoms, 0.1, seed) for seed in range(5)], (40, 13, 1)),
        ([*MOLECULES * 5, Atoms("H"), Atoms("HO", [[0, 0, 0], [0, 0, 7.0]])], (32, 8, 3)),  # with no pair at all
        ([water_box(THIN, 8, seed) for seed in range(3)], (32, 8, 2)),
    ],
    ids=["aspirin", "one layer", "small molecules", "periodic"],
)
@pytest.mark.parametrize("count", [1, 2])
def test_weight_gradients_are_those_of_autograd(threads, count, frames, sizes) -> None:
    threads(count)
    potential = _potential(torch.float64, *sizes).train()
    batch = FrameBatches(Dataset.from_atoms(frames), 5.0)[np.arange(len(frames))]
    expected = _gradients(potential, potential, batch)
    fused = CppFrames(potential)
    for _ in range(2):
        for gradient, other in zip(expected, _gradients(potential, fused, batch), strict=True):
            np.testing.assert_allclose(other, gradient, rtol=0, atol=1e-12 * float(gradient.abs().max()))
    single = copy.deepcopy(potential).to(torch.float32)
    for gradient, other in zip(expected, _gradients(single, CppFrames(single), batch), strict=True):
        np.testing.assert_allclose(other, gradient, rtol=0, atol=2e-5 * float(gradient.abs().max()))


def test_gradients_of_flat_weights_are_those_of_the_weights() -> None:
    """Also in their order: the kernel's is that of the parameters."""
    potential = _potential(torch.float64, 32, 8, 2).train()
    batch = FrameBatches(Dataset.from_atoms(MOLECULES), 5.0)[np.arange(5)]
    expected = _gradients(potential, potential, batch)
    flat = FlatWeights(potential.network)
    _gradients(potential, CppFrames(potential, flat.tensor), batch)
    assert flat.tensor.grad is not None
    for gradient, other in zip(expected, flat.parts(flat.tensor.grad), strict=True):
        np.testing.assert_allclose(other, gradient, rtol=0, atol=1e-12 * float(gradient.abs().max()))


def test_an_unknown_element_is_refused_by_the_kernel_itself() -> None:
    potential = _potential(torch.float64, 32, 8, 2)
    network, pairs = CppNetwork(potential), np.zeros((2, 0), dtype=np.int64)
    unknown = max(potential.elements) + 1
    for number in (0, unknown, -1, 200):
        structures = Structures(np.array([number]), np.zeros((1, 3)), pairs)
        with pytest.raises((FfptError, IndexError), match=r"an element that the potential does not know|out of bounds"):
            network.evaluate(structures)


@pytest.mark.parametrize("frames", [MOLECULES * 12, [water_box(THIN, 8, seed) for seed in range(3)]])
def test_gradients_do_not_depend_on_what_is_kept_of_the_evaluation(threads, monkeypatch, frames) -> None:
    """All of it, some, nothing; that of another evaluation; that of chunks for another number of threads."""
    threads(2)
    potential = _potential(torch.float64, 32, 8, 2).train()
    batch = FrameBatches(Dataset.from_atoms(frames), 5.0)[np.arange(len(frames))]
    other = FrameBatches(Dataset.from_atoms(MOLECULES[::-1]), 5.0)[np.arange(5)]
    fused = CppFrames(potential)
    weights = weights_of(potential.network)

    def gradients(between=lambda: None) -> list[torch.Tensor]:
        energies, forces = fused(*batch[:6])
        between()
        return list(torch.autograd.grad((energies**2).sum() + (forces**2).sum(), weights))

    def without_gradients() -> None:
        with torch.no_grad():
            fused(*other[:6])

    expected = gradients()
    for between in (lambda: fused(*other[:6]), without_gradients, lambda: fused.network.load(weights)):
        assert all(map(torch.equal, gradients(between), expected))
    for limit in (0, 1_500_000, 3_000_000):  # none; one of two chunks of molecules; one of three boxes
        monkeypatch.setattr(network, "_RECORDED_BYTES", limit)
        assert all(map(torch.equal, gradients(), expected))
    monkeypatch.undo()
    for found, one in zip(gradients(lambda: threads(1)), expected, strict=True):
        torch.testing.assert_close(found, one, rtol=0, atol=1e-13 * float(one.abs().max()))


def test_training_follows_its_weights() -> None:
    potential = _potential(torch.float64, 32, 8, 2).train()
    batch = FrameBatches(Dataset.from_atoms(MOLECULES), 5.0)[np.arange(5)]
    fused = CppFrames(potential)
    before = fused(*batch[:6])[0]
    with torch.no_grad():
        for weight in potential.parameters():
            weight.mul_(1.1)
    after = fused(*batch[:6])[0]
    assert (after - before).abs().max() > 1e-3
    torch.testing.assert_close(after, potential(*batch[:6])[0], rtol=0, atol=1e-13)


def test_no_such_kernel() -> None:
    with pytest.raises(FfptError, match="no backend 'cuda'; there are triton, cpp, torch"):
        choose_backend("cuda", small_potential())
