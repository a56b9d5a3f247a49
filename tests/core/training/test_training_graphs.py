"""Training on a GPU: padded batches, static work, recordings. All but the recording itself is checked on a CPU."""

from __future__ import annotations

import contextlib
import copy
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from ffpt_core import FfptError, NetworkPotential, load
from ffpt_core.datasets import Dataset
from ffpt_core.potentials.newtonnet.network import NewtonNet
from ffpt_core.potentials.ordered_sums import why_no_triton
from ffpt_core.training import evaluate, loop, make_configuration, train
from ffpt_core.training.batches import FrameBatches, chunks, shuffled
from ffpt_core.training.configuration import TrainingConfiguration
from ffpt_core.training.display import Watcher
from ffpt_core.training.graphs import Recording
from ffpt_core.training.replayed import ReplayedTraining, ReplayedValidation, errors_of, fits
from ffpt_core.training.resident import _PADDING, ResidentFrames, capacities
from ffpt_core.training.step import Learner
from ffpt_core.training.steps import AT_ONCE_ON_GPU, EagerSteps

CUTOFF = 4.0
CPU = torch.device("cpu")
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

RATE = 2.0**-9
"""The device has rates in float32: this one is the same there."""


def clusters(n_frames: int, periodic: bool = False, seed: int = 0) -> Dataset:
    """Frames of 1 to 7 atoms, some beyond the cutoff, some in cells thinner than it; random labels."""
    rng = np.random.default_rng(seed)
    frames = []
    for k in range(n_frames):
        n = int(rng.integers(1, 8))
        positions = np.cumsum(rng.normal([1.0, 0.4, 0.0], 0.2, size=(n, 3)), axis=0) + 100.0
        cell = {"cell": np.diag([2.9, 5.0, 6.0]) + 0.1, "pbc": True} if periodic and k % 2 else {}
        frames.append(Atoms(rng.choice([1, 8], size=n), positions, **cell))
    bare = Dataset.from_atoms(frames)
    energies = rng.normal(size=n_frames) - 2000.0 * bare.n_atoms
    forces = rng.normal(size=bare.positions.shape)
    return Dataset(bare.numbers, bare.offsets, bare.positions, energies, forces, bare.cells, bare.pbc, "random")


def small_potential(dtype: torch.dtype = torch.float64) -> NetworkPotential:
    torch.manual_seed(3)
    network = NewtonNet(n_features=16, n_basis=6, n_layers=2, cutoff=CUTOFF).to(dtype)
    return NetworkPotential(network, [1, 8], shifts={1: -2000.0, 8: -2001.0}, scales={1: 0.8, 8: 0.9}).train()


def settings(**changes: Any) -> TrainingConfiguration:
    values = {"data": {"train": "none"}, "output": "none", "precision": "float64", "learning_rate": RATE}
    return make_configuration(values | {"kernel": "torch"} | changes)


def resident(potential: NetworkPotential, batches: FrameBatches, batch_size: int) -> ResidentFrames:
    return ResidentFrames(batches, potential.shifts.cpu().numpy(), CUTOFF, batch_size, potential.device)


def replayed(
    potential: NetworkPotential, configuration: TrainingConfiguration, batches: FrameBatches, batch_size: int
) -> tuple[ReplayedTraining, Learner]:
    """Steps of a potential where it is, and what makes them."""
    learner = Learner(potential, configuration)
    pool = torch.cuda.graph_pool_handle() if potential.device.type == "cuda" else None
    frames = resident(potential, batches, batch_size)
    return ReplayedTraining(learner, configuration.loss, frames, pool), learner


def run_all(steps: ReplayedTraining, learner: Learner, order: np.ndarray, batch_size: int, at_once: int) -> None:
    """Steps on all these frames, as the loop of a run calls them: the first alone, then some at once."""
    for frames in (order[:batch_size], *chunks(order[batch_size:], at_once * batch_size)):
        steps.run(frames, [RATE] * -(-len(frames) // batch_size))
        if frames[0] == order[0]:
            learner.begin_averages()


def eager(potential: NetworkPotential, configuration: TrainingConfiguration, batches: FrameBatches) -> EagerSteps:
    return EagerSteps(Learner(potential, configuration), configuration, batches, batches)


def ordinary_steps(
    potential: NetworkPotential, configuration: TrainingConfiguration, batches: FrameBatches, parts: list[np.ndarray]
) -> tuple[float, list[torch.Tensor]]:
    """The same, written out once more. Returns the sum of losses, and averaged weights."""
    weights = list(potential.network.parameters())
    optimizer = torch.optim.Adam(weights, lr=RATE, fused=True)
    steps = eager(potential, configuration, batches)
    total, averages = 0.0, []
    for step, part in enumerate(parts):
        loss = steps.loss(batches[part].to(potential.device))
        optimizer.zero_grad()
        loss.backward()
        if configuration.gradient_clip:
            torch.nn.utils.clip_grad_norm_(weights, configuration.gradient_clip)
        optimizer.step()
        total += loss.item()
        if configuration.ema:
            keep = configuration.ema if step else 0.0
            old = averages or weights
            averages = [keep * one + (1 - keep) * other.detach() for one, other in zip(old, weights, strict=True)]
    return total, averages


@pytest.mark.parametrize(
    "loss", [{}, {"kind": "robust", "energy_delta": 0.3, "force_delta": 0.4}], ids=["mse", "robust"]
)
@pytest.mark.parametrize("periodic", [False, True], ids=["isolated", "also periodic"])
def test_padding_changes_nothing(periodic: bool, loss: dict[str, Any]) -> None:
    """Loss and gradients of padded batches, of any capacity that they fit, are those of the frames alone."""
    batches, potential = FrameBatches(clusters(40, periodic), CUTOFF), small_potential()
    configuration = settings(loss=loss)
    weights = list(potential.network.parameters())
    ordinary = eager(potential, configuration, batches)
    steps, _ = replayed(potential, configuration, batches, 6)
    frames = resident(potential, batches, 6)
    order = np.random.default_rng(1).permutation(40)[:33]  # the last batch has three
    for slots in frames.slots(order):
        part = slots[slots < 40]
        expected = ordinary.loss(batches[part])
        gradients = torch.autograd.grad(expected, weights, allow_unused=True)
        fits = frames.capacities[frames.capacities.index(frames.capacity(slots)) :]
        for capacity in fits:
            found = steps.loss(frames.gather(torch.from_numpy(slots), capacity))
            assert found.item() == pytest.approx(expected.item(), rel=1e-12)
            for one, other in zip(torch.autograd.grad(found, weights, allow_unused=True), gradients, strict=True):
                assert (one is None) == (other is None)
                if one is not None:
                    torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-12 * float(other.abs().max()))


def test_a_padded_batch_is_the_batch_with_zeros_behind_it() -> None:
    batches, potential = FrameBatches(clusters(20, periodic=True), CUTOFF), small_potential()
    frames = resident(potential, batches, 5)
    (slots,) = frames.slots(np.array([7, 3, 11]))
    assert slots.tolist() == [7, 3, 11, 20, 20, 20]
    padded, plain = frames.gather(torch.from_numpy(slots), frames.capacities[-1]), batches[slots[:3]]
    n_atoms, n_pairs = len(plain.numbers), plain.pairs.shape[1]
    for name in ("numbers", "positions", "frames", "forces"):
        assert torch.equal(getattr(padded, name)[:n_atoms], getattr(plain, name)), name
    assert torch.equal(padded.pairs[:, :n_pairs], plain.pairs)
    torch.testing.assert_close(padded.translations[:n_pairs], plain.translations, rtol=1e-14, atol=1e-14)
    shifts = potential.shift_energies(plain.numbers, plain.frames, 3)
    torch.testing.assert_close(padded.energies[:3], plain.energies - shifts, rtol=0, atol=1e-10)
    assert padded.frame_share == 3 / 5
    assert padded.atom_share == n_atoms / frames.capacities[-1].atoms
    assert set(padded.frames[n_atoms:].tolist()) == {5}
    first, second = padded.pairs[:, n_pairs:]
    distances = torch.linalg.vector_norm(padded.positions[first] - padded.positions[second], dim=1)
    assert (distances >= 2 * CUTOFF).all()
    assert (first >= n_atoms).all()
    energies, forces = errors_of(potential, padded)
    assert not energies[3:].any() and not forces[n_atoms:].any()


@pytest.mark.parametrize("batch_size", [1, 4, 30])
def test_all_batches_of_a_run_have_few_shapes(batch_size: int) -> None:
    batches, potential = FrameBatches(clusters(60, periodic=True), CUTOFF), small_potential()
    frames = resident(potential, batches, batch_size)
    assert len(frames.capacities) <= 3
    used = []
    for epoch in range(12):
        for numbers in chunks(shuffled(60, 50, 1, epoch), AT_ONCE_ON_GPU * batch_size):  # windows that mix passes
            for slots in frames.slots(numbers):
                capacity = frames.capacity(slots)
                atoms, pairs = frames.counts[slots].sum(axis=0)
                assert atoms + _PADDING <= capacity.atoms and pairs <= capacity.pairs
                batch = frames.gather(torch.from_numpy(slots), capacity)
                assert (len(batch.numbers), batch.pairs.shape[1]) == capacity
                used.append(capacity)
    assert len(set(used)) <= 3


def test_capacities() -> None:
    assert capacities(np.full(9, 21), np.full(9, 152), 10) == [(240, 1520)], "one size needs no second"
    rng = np.random.default_rng(0)
    n_atoms = rng.integers(2, 7, 5000)
    n_pairs = n_atoms * (n_atoms - 1) // 2
    sizes = capacities(n_atoms, n_pairs, 100)
    assert sizes == sorted(sizes)
    assert sizes[-1].pairs >= 100 * 15
    sums = n_pairs[rng.integers(0, 5000, (1000, 100))].sum(axis=1)
    assert np.mean(sums <= sizes[0].pairs) > 0.8
    assert np.mean(sums <= sizes[-2].pairs) > 0.999
    assert sizes[-2].pairs < 1.4 * sums.mean()


class Launches(TorchDispatchMode):
    """Writes down what is launched: operations with shapes and plain arguments; which tensors come from outside."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Any] = []
        self.external: set[int] = set()
        self._made: dict[int, torch.Tensor] = {}

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        inputs, _ = tree_flatten((args, kwargs or {}))
        described = [tuple(x.shape) if isinstance(x, torch.Tensor) else x for x in inputs]
        if function.namespace != "profiler":  # marks, of which each is its own
            self.calls.append((str(function), described))
        for tensor in inputs:
            if isinstance(tensor, torch.Tensor) and tensor.untyped_storage().data_ptr() not in self._made:
                self.external.add(tensor.untyped_storage().data_ptr())
        results = function(*args, **(kwargs or {}))
        for tensor in tree_flatten(results)[0]:
            if isinstance(tensor, torch.Tensor) and tensor.untyped_storage().data_ptr() not in self.external:
                self._made[tensor.untyped_storage().data_ptr()] = tensor  # kept, so that no memory is used twice
        return results


def test_a_step_is_the_same_work_on_the_same_tensors_whatever_the_batch() -> None:
    """What a graph repeats: launches with their arguments, and the tensors that they take from outside."""
    batches, potential = FrameBatches(clusters(40, periodic=True), CUTOFF), small_potential()
    configuration = settings(ema=0.9, gradient_clip=1.0)
    steps, learner = replayed(potential, configuration, batches, 6)
    frames = steps.frames
    validation = ReplayedValidation(learner.evaluate, configuration.loss, frames, None)
    capacity = frames.capacities[-1]
    static = [*steps.state(), *potential.buffers(), *potential.network.buffers(), *vars(frames).values()]
    static += [*vars(steps).values(), *vars(validation).values(), *validation.state()]
    known = {tensor.untyped_storage().data_ptr() for tensor in static if isinstance(tensor, torch.Tensor)}
    for replays in (steps, validation):
        seen = []
        for numbers in (np.arange(6), np.array([30, 8, 9])):
            replays.begin(numbers)
            with Launches() as launches:
                replays.step(capacity)
            assert launches.external <= known
            seen.append(launches.calls)
        assert len(seen[0]) > 100
        assert seen[0] == seen[1]


def test_no_value_decides_what_a_replayed_step_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """On tensors without values, where reading one raises."""
    batches = FrameBatches(clusters(20, periodic=True), CUTOFF)
    with FakeTensorMode():
        try:
            potential = small_potential()
        except RuntimeError as error:
            pytest.skip(f"this PyTorch cannot cast modules of fake tensors: {error}")
        configuration = settings(ema=0.9, gradient_clip=1.0)
        frames = ResidentFrames(batches, np.zeros(119), CUTOFF, 5, CPU)
        monkeypatch.setattr(copy, "deepcopy", lambda _: small_potential())  # fake tensors have no deep copy
        learner = Learner(potential, configuration)
        steps = ReplayedTraining(learner, configuration.loss, frames, None)
        monkeypatch.setattr(learner, "_adam", lambda _: None)  # on a CPU, Adam reads its rate
        steps.step(frames.capacities[0])
        ReplayedValidation(learner.evaluate_learned, configuration.loss, frames, None).step(frames.capacities[0])
        with pytest.raises(DataDependentOutputException):
            steps.loss_sum.item()


@pytest.mark.parametrize("changes", [{}, {"ema": 0.8, "gradient_clip": 20.0}], ids=["plain", "clipped and averaged"])
def test_replayed_steps_are_ordinary_steps(changes: dict[str, Any]) -> None:
    batches, start = FrameBatches(clusters(40), CUTOFF), small_potential()
    configuration = settings(**changes)
    order = np.random.default_rng(2).permutation(40)[:38]
    potential = copy.deepcopy(start)
    steps, learner = replayed(potential, configuration, batches, 6)
    run_all(steps, learner, order, 6, at_once=AT_ONCE_ON_GPU)
    total, expected = ordinary_steps(start, configuration, batches, np.split(order, range(6, 38, 6)))
    assert steps.loss_sum.item() == pytest.approx(total, rel=1e-9)
    for found, wanted in ((potential.network.parameters(), start.network.parameters()), (learner.averages, expected)):
        for one, other in zip(found, wanted, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-9)


def test_replayed_validation_is_evaluation() -> None:
    dataset, potential = clusters(30, periodic=True), small_potential()
    frames = resident(potential, FrameBatches(dataset, CUTOFF), 7)
    validation = ReplayedValidation(potential, settings().loss, frames, None)
    errors = evaluate(potential, dataset)
    for _ in range(2):
        means = validation.means(dataset.n_atoms)
        assert means["energy_mae"] == pytest.approx(errors.energy_mae, rel=1e-9)
        assert means["force_mae"] == pytest.approx(errors.force_mae, rel=1e-9)
        assert means["energy_loss"] == pytest.approx(errors.energy_rmse**2, rel=1e-9)
        assert means["force_loss"] == pytest.approx(errors.force_rmse**2, rel=1e-9)


def whole_run(folder: Path, **changes: Any) -> TrainingConfiguration:
    """A small run in float64, on a CPU in PyTorch."""
    values = {
        "data": {"train": str(folder / "frames.npz"), "n_validation": 10},
        "output": str(folder / "run"),
        "network": {"n_features": 16, "n_basis": 8, "n_layers": 2, "cutoff": CUTOFF},
        "epochs": 6,
        "batch_size": 7,
        "learning_rate": RATE,
        "precision": "float64",
        "threads": 1,
        "device": "cpu",
        "kernel": "torch",
    }
    return make_configuration(values | changes)


def same_history(one: list[dict[str, float]], other: list[dict[str, float]], rel: float) -> None:
    for row, expected in zip(one, other, strict=True):
        assert row == pytest.approx(expected | {"seconds": row["seconds"]}, rel=rel)


RUNS: dict[str, dict[str, Any]] = {
    "plateau": {"schedule": {"kind": "plateau", "patience": 0, "warmup": 9}},
    "cosine, averaged, clipped": {
        "schedule": {"kind": "cosine", "warmup": 5},
        "ema": 0.9,
        "gradient_clip": 30.0,
        "loss": {"kind": "robust"},
        "frames_per_epoch": 33,
    },
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    clusters(60).save(tmp_path / "frames.npz")
    return tmp_path


class Stop(Exception):
    pass


def stopped_after(monkeypatch: pytest.MonkeyPatch, configuration: TrainingConfiguration, epochs: int) -> None:
    """Train until so many epochs have been written to the folder."""

    class StopAfter(Watcher):
        def epoch(self, row: Mapping[str, float]) -> None:
            if row["epoch"] == epochs:
                raise Stop

    with monkeypatch.context() as patch:
        patch.setattr("ffpt_core.training.run.watching", lambda *_: contextlib.nullcontext([StopAfter()]))
        with pytest.raises(Stop):
            train(configuration)


@pytest.mark.parametrize("name", RUNS)
def test_whole_runs_are_those_of_the_ordinary_way(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Histories agree; a stopped run continues bit for bit; either way continues what the other began."""
    ordinary = train(whole_run(folder, **RUNS[name]))
    (folder / "run").rename(folder / "ordinary")
    stopped_after(monkeypatch, whole_run(folder, **RUNS[name]), 2)
    monkeypatch.setattr(loop, "fits", lambda *_: True)
    switched = train(whole_run(folder, **RUNS[name]))
    (folder / "run").rename(folder / "switched")
    unbroken = train(whole_run(folder, **RUNS[name]))
    (folder / "run").rename(folder / "unbroken")
    stopped_after(monkeypatch, whole_run(folder, **RUNS[name]), 3)
    continued = train(whole_run(folder, **RUNS[name]))
    same_history(switched.history, ordinary.history, rel=1e-4)
    same_history(unbroken.history, ordinary.history, rel=1e-4)
    same_history(continued.history, unbroken.history, rel=0)
    expected = load(folder / "unbroken" / "potential.pt", device="cpu").state_dict()
    for key, value in load(folder / "run" / "potential.pt", device="cpu").state_dict().items():
        assert torch.equal(value, expected[key]), key
    (folder / "run").rename(folder / "continued")
    stopped_after(monkeypatch, whole_run(folder, **RUNS[name]), 2)
    monkeypatch.setattr(loop, "fits", lambda *_: False)
    same_history(train(whole_run(folder, **RUNS[name])).history, ordinary.history, rel=1e-4)


def test_divergence_of_replayed_steps_is_an_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "fits", lambda *_: True)
    with pytest.raises(FfptError, match=r"the loss is no longer a number \(epoch \d+, step \d+\)"):
        train(whole_run(folder, learning_rate=1e6, epochs=50))


def test_frames_that_would_fill_a_gpu_stay_on_the_host(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    batches = FrameBatches(clusters(20), CUTOFF)
    assert not fits(CPU, batches, batches)
    gpu = torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (10**9, 10**9))
    assert fits(gpu, batches, batches)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (1000, 10**9))
    with caplog.at_level(logging.WARNING):
        assert not fits(gpu, batches, batches)
    assert "batches are made on the CPU" in caplog.text


@needs_gpu
@pytest.mark.parametrize("changes", [{}, {"ema": 0.8, "gradient_clip": 20.0}], ids=["plain", "clipped and averaged"])
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_graphs_train_as_eager_steps_do(changes: dict[str, Any], precision: str) -> None:
    """Several capacities, a smaller last batch, two calls; products of padded batches round differently."""
    batches, start = (
        FrameBatches(clusters(60, periodic=True), CUTOFF),
        small_potential(getattr(torch, precision)).cuda(),
    )
    configuration = settings(precision=precision, **changes)
    order = np.random.default_rng(2).permutation(60)[:58]
    potential = copy.deepcopy(start)
    steps, learner = replayed(potential, configuration, batches, 4)
    run_all(steps, learner, order, 4, at_once=5)
    total, expected = ordinary_steps(start, configuration, batches, np.split(order, range(4, 58, 4)))
    assert steps.recorded and steps.recordings > 1
    tolerance = {"float32": 2e-3, "float64": 1e-7}[precision]
    assert steps.loss_sum.item() == pytest.approx(total, rel=tolerance)
    for found, wanted in ((potential.network.parameters(), start.network.parameters()), (learner.averages, expected)):
        for one, other in zip(found, wanted, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=tolerance)


@needs_gpu
def test_work_that_cannot_be_recorded_is_called(caplog: pytest.LogCaptureFixture) -> None:
    total = torch.zeros((), device="cuda")

    def add() -> None:
        total.add_(1.0)
        total.item()

    with caplog.at_level(logging.WARNING):
        recording = Recording(add, [total], torch.cuda.graph_pool_handle())
    assert not recording.recorded
    assert "one kernel at a time" in caplog.text
    assert total.item() == 0.0, "trying has no effect"
    recording()
    recording()
    assert total.item() == 2.0


@needs_gpu
def test_a_recording_repeats_its_work_and_leaves_no_trace_of_the_trial() -> None:
    total, step = torch.zeros((), device="cuda"), torch.ones((), device="cuda")
    recording = Recording(lambda: total.add_(step), [total], torch.cuda.graph_pool_handle())
    assert recording.recorded
    assert total.item() == 0.0
    recording()
    step.fill_(10.0)
    recording()
    assert total.item() == 11.0


@needs_gpu
@pytest.mark.parametrize("name", RUNS)
def test_whole_runs_on_a_gpu(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """As eager on the same GPU; stopped and continued bit for bit, where Triton gives sums an order."""
    graphs = train(whole_run(folder, **RUNS[name], device="cuda"))
    (folder / "run").rename(folder / "graphs")
    stopped_after(monkeypatch, whole_run(folder, **RUNS[name], device="cuda"), 3)
    continued = train(whole_run(folder, **RUNS[name], device="cuda"))
    (folder / "run").rename(folder / "continued")
    monkeypatch.setattr(loop, "fits", lambda *_: False)
    eager = train(whole_run(folder, **RUNS[name], device="cuda"))
    same_history(graphs.history, eager.history, rel=1e-4)
    same_history(continued.history, graphs.history, rel=1e-4)
    if not why_no_triton(torch.device("cuda")):
        expected = load(folder / "graphs" / "potential.pt", device="cpu").state_dict()
        for key, value in load(folder / "continued" / "potential.pt", device="cpu").state_dict().items():
            assert torch.equal(value, expected[key]), key
