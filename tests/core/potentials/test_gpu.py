"""The Triton kernels are the network: on a GPU where there is one, else by Triton's interpreter, which is NumPy."""

from __future__ import annotations

import copy
import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import ase.build
import numpy as np
import pytest
import torch
from ase import Atoms

pytest.importorskip("triton", reason="Triton comes with PyTorch for CUDA on Linux")

from network_checks import assert_is_the_network
from openmm_models import rattled, water_box

from ffpt_core import FfptError, NetworkPotential
from ffpt_core.base.files import read_json
from ffpt_core.base.units import KJ_PER_MOL, KJ_PER_MOL_NM
from ffpt_core.potentials.backends import choose_backend
from ffpt_core.potentials.newtonnet.cpp import CppEvaluator, load_kernel
from ffpt_core.potentials.newtonnet.network import NewtonNet
from ffpt_core.potentials.newtonnet.triton import evaluator, kernels
from ffpt_core.potentials.newtonnet.triton.backend import TritonBackend
from ffpt_core.potentials.newtonnet.triton.evaluator import TritonEvaluator
from ffpt_core.potentials.newtonnet.triton.network import SEPARATE, TritonNetwork
from ffpt_core.potentials.newtonnet.triton.pair_list import PairList
from ffpt_core.potentials.ordered_sums import why_no_triton
from ffpt_core.structure.neighbours import half_list
from ffpt_core.teachers import aspirin
from ffpt_openmm import MDSettings, run_md
from ffpt_openmm.forces.pythonforce import evaluation

WITH_GPU = torch.cuda.is_available()
DEVICE = "cuda" if WITH_GPU else "cpu"
needs_gpu = pytest.mark.skipif(not WITH_GPU, reason="no GPU: PyTorch finds none")
TRICLINIC = np.array([[11.0, 0, 0], [2.0, 10.4, 0], [-1.5, 1.0, 10.8]])
THIN = np.array([[4.0, 0, 0], [0.6, 4.3, 0], [0.3, -0.6, 4.6]])
# The interpreter computes in float64 as well, which leaves nothing to rounding; the kernels on a GPU do not.
KINDS = [torch.float32] if WITH_GPU else [torch.float32, torch.float64]
TOLERANCES = {torch.float32: (3e-6, 2e-6), torch.float64: (3e-11, 1e-13)}  # eV, of -17,500 eV; eV/Angstrom


def _potential(dtype: torch.dtype = KINDS[-1], cutoff: float = 5.0, **sizes: int) -> NetworkPotential:
    torch.manual_seed(1)
    network = NewtonNet(**{"n_features": 32, "n_basis": 20, "n_layers": 3} | sizes, cutoff=cutoff).to(dtype)
    shifts, scales = {1: -13.6, 6: -1030.0, 8: -2040.0}, {1: 0.7, 6: 1.2, 8: 1.1}
    return NetworkPotential(network, (1, 6, 8), shifts, scales).eval().to(DEVICE)


def _exact(potential: NetworkPotential) -> NetworkPotential:
    return copy.deepcopy(potential).to(torch.float64)


def _assert_is_the_network(potential: NetworkPotential, atoms: Atoms) -> None:
    assert_is_the_network(TritonEvaluator, potential, atoms, *TOLERANCES[potential.dtype])


@pytest.mark.parametrize("dtype", KINDS, ids=str)
@pytest.mark.parametrize(
    "sizes",
    [{"n_features": 128}, {"n_features": 64, "n_basis": 33, "n_layers": 2}, {"n_basis": 8, "n_layers": 1}],
    ids=str,
)
def test_the_kernels_are_the_network(dtype, sizes) -> None:
    """One to three layers, radial functions of one piece and of two, molecules of a few atoms."""
    _assert_is_the_network(_potential(dtype, **sizes), rattled(ase.build.molecule("CH3CH2OH"), 0.1))


@pytest.mark.parametrize("dtype", KINDS, ids=str)
def test_molecules_and_boxes(dtype) -> None:
    """All pairs of a molecule, pair lists of boxes, cells thinner than the cutoff, one periodic direction."""
    _assert_is_the_network(_potential(dtype), rattled(aspirin().atoms, 0.2))
    short = _potential(dtype, cutoff=3.0)
    _assert_is_the_network(short, water_box(TRICLINIC, 4))
    _assert_is_the_network(short, Atoms("OHH", ase.build.molecule("H2O").positions, cell=THIN, pbc=True))
    _assert_is_the_network(short, Atoms("OHH", ase.build.molecule("H2O").positions, cell=THIN, pbc=(0, 1, 0)))


def test_atoms_without_neighbours() -> None:
    potential = _potential()
    atoms = Atoms("OH", [[0, 0, 0], [0, 0, 9.0]])
    for some in (atoms, atoms[:1]):
        (energy,), forces, virial = TritonEvaluator(potential, some.numbers)(some.positions)
        assert energy == pytest.approx(_exact(potential).energy_and_forces(some)[0], abs=1e-6)
        assert not forces.any() and not virial.any()


def test_the_pair_list_follows_the_atoms() -> None:
    """A box whose atoms move: the same as a new evaluator at every step, few lists, one that outgrows its room."""
    potential, box = _potential(cutoff=3.0), water_box(TRICLINIC, 4)
    moving = TritonEvaluator(potential, box.numbers, box.pbc)
    rng, cell = np.random.default_rng(0), np.array(box.cell)
    drift = rng.normal(size=box.positions.shape)
    for k in range(4):
        positions = box.positions + 0.1 * k * drift
        fresh = TritonEvaluator(potential, box.numbers, box.pbc)(positions, cell)
        for found, expected in zip(moving(positions, cell), fresh, strict=True):
            np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCES[potential.dtype][0])
    assert 1 < moving.builds < 4
    capacity = moving.capacity
    squeezed = 0.5 * box.positions
    (energy,), _, _ = moving(squeezed, 0.5 * cell)
    assert moving.capacity > capacity
    exact = Atoms(box.numbers, squeezed, cell=0.5 * cell, pbc=True)
    assert energy == pytest.approx(_exact(potential).energy_and_forces(exact)[0], abs=TOLERANCES[potential.dtype][0])


@pytest.mark.parametrize("periodic", [False, True])
def test_replicas_do_not_see_each_other(periodic) -> None:
    potential = _potential(cutoff=3.0)
    base = water_box(TRICLINIC, 4) if periodic else ase.build.molecule("H2O")
    cell = np.array(base.cell) if periodic else None
    frames = [rattled(base, 0.1, seed=k) for k in range(3)]
    energies, forces, _ = TritonEvaluator(potential, base.numbers, base.pbc, copies=3)(
        np.concatenate([frame.positions for frame in frames]), cell
    )
    for k, frame in enumerate(frames):
        energy, expected = _exact(potential).energy_and_forces(frame)
        assert energies[k] == pytest.approx(energy, abs=TOLERANCES[potential.dtype][0])
        mine = forces[k * len(base) : (k + 1) * len(base)]
        np.testing.assert_allclose(mine, expected, rtol=0, atol=TOLERANCES[potential.dtype][1])


def test_the_search_on_the_device_is_the_one_on_the_host(monkeypatch) -> None:
    potential, box = _potential(cutoff=3.0), water_box(TRICLINIC, 4)
    on_host = TritonEvaluator(potential, box.numbers, box.pbc)(box.positions, np.array(box.cell))
    monkeypatch.setattr(evaluator, "_HOST_SEARCH_UP_TO", 0)
    on_device = TritonEvaluator(potential, box.numbers, box.pbc)(box.positions, np.array(box.cell))
    for one, other in zip(on_host, on_device, strict=True):
        np.testing.assert_array_equal(one, other)


def test_coordinates_that_are_no_numbers() -> None:
    """They make their own copy's energy NaN, and leave the other, and what follows, as they are."""
    potential, water = _potential(), ase.build.molecule("H2O")
    evaluate = TritonEvaluator(potential, water.numbers, copies=2)
    positions = np.tile(water.positions, (2, 1))
    before = evaluate(positions)
    broken = positions.copy()
    broken[1, 2] = np.nan
    energies, forces, virial = evaluate(broken)
    assert np.isnan(energies[0]) and energies[1] == before[0][1]
    assert np.isnan(forces[1]).all() and np.isfinite(np.delete(forces, 1, axis=0)).all() and np.isnan(virial).all()
    np.testing.assert_array_equal(forces[3:], before[1][3:])
    for found, expected in zip(evaluate(positions), before, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_results_repeat_bit_for_bit() -> None:
    potential, box = _potential(cutoff=3.0), water_box(TRICLINIC, 4)
    evaluate = TritonEvaluator(potential, box.numbers, box.pbc)
    first = evaluate(box.positions, np.array(box.cell))
    evaluate(box.positions + 0.1, np.array(box.cell))
    for found, expected in zip(evaluate(box.positions, np.array(box.cell)), first, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_the_same_as_the_kernel_of_the_cpu() -> None:
    if isinstance(reason := load_kernel(), str):
        pytest.skip(f"no fused kernel: {reason}")
    potential, atoms = _potential(), rattled(ase.build.molecule("CH3CH2OH"))
    on_cpu = CppEvaluator(copy.deepcopy(potential).cpu(), atoms.numbers)(atoms.positions)
    for one, other in zip(TritonBackend().evaluator(potential, atoms.numbers)(atoms.positions), on_cpu, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=TOLERANCES[potential.dtype][0])


def test_entries_of_a_pair_list() -> None:
    """Every pair once for each of its atoms, with itself as well, in the order of the pairs."""
    atoms = Atoms("OHH", ase.build.molecule("H2O").positions, cell=THIN, pbc=True)
    pairs, shifts = half_list(atoms.positions, THIN, atoms.pbc, 5.0)
    assert (pairs[0] == pairs[1]).any()
    kept = PairList(3, pairs.shape[1] + 100, torch.device("cpu"))
    kept.load(torch.from_numpy(pairs.copy()), torch.from_numpy(shifts.copy()))
    assert kept.capacity % 64 == 0 and kept.n_pairs.item() == pairs.shape[1]
    starts, incident, others = kept.starts.numpy(), kept.incident.numpy(), kept.others.numpy()
    assert starts[0] == 0 and starts[-1] == 2 * pairs.shape[1]
    for atom in range(3):
        entries = slice(starts[atom], starts[atom + 1])
        first, second = np.flatnonzero(pairs[0] == atom), np.flatnonzero(pairs[1] == atom)
        assert incident[entries].tolist() == [*(2 * first), *(2 * second + 1)]
        assert others[entries].tolist() == [*pairs[1][first], *pairs[0][second]]
    np.testing.assert_array_equal(kept.shifts.numpy()[: shifts.size].reshape(-1, 3), shifts)


def test_what_a_graph_records_stays_where_it_is() -> None:
    """A new pair list, new positions and a new cell go into the arrays that are there."""
    potential, box = _potential(cutoff=3.0), water_box(TRICLINIC, 4)
    evaluate = TritonEvaluator(potential, box.numbers, box.pbc)

    def addresses() -> list[int]:
        return [array.data_ptr() for array in evaluate.arrays]

    evaluate(box.positions, np.array(box.cell))
    before = addresses()
    assert len(before) > 30
    moved = box.positions + np.random.default_rng(1).normal(scale=0.3, size=box.positions.shape)
    evaluate(moved, 1.01 * np.array(box.cell))
    assert evaluate.builds == 2
    assert addresses() == before


def test_forces_begin_where_kernels_expect_parts_of_the_outputs() -> None:
    potential = _potential()
    for n_atoms in (1, 3, 2 * SEPARATE):
        numbers, pairs = torch.ones(n_atoms, dtype=torch.int64), PairList(n_atoms, 64, potential.device)
        network = TritonNetwork(potential, numbers.to(potential.device), pairs, periodic=False)
        assert network.forces_at % SEPARATE == 0 and network.forces_at >= SEPARATE + n_atoms


def test_they_compile_for_a_gpu_that_is_not_here(tmp_path) -> None:
    """To machine code of compute capability 8.0; what the interpreter runs is not yet what a compiler takes."""
    path = os.pathsep.join([str(Path(__file__).parents[3]), *sys.path])
    environment = {**os.environ, "TRITON_CACHE_DIR": str(tmp_path), "PYTHONPATH": path}
    environment.pop("TRITON_INTERPRET", None)
    script = Path(__file__).parents[2] / "gpu_compilation.py"
    found = subprocess.run([sys.executable, script, "80"], env=environment, capture_output=True, text=True, timeout=300)
    assert found.returncode == 0, found.stderr[-2000:]
    sizes = dict(line.rsplit(": ", 1) for line in found.stdout.splitlines())
    assert {name.split()[0] for name in sizes} == {*kernels.__all__, "rows_added"}
    assert min(map(int, sizes.values())) > 1000


def test_in_openmm_units(monkeypatch) -> None:
    potential, atoms = _potential(), rattled(ase.build.molecule("H2O"))
    monkeypatch.setattr("ffpt_core.potentials.network_potential.choose_backend", lambda *_: TritonBackend())
    energies, forces = evaluation(potential, atoms.numbers.tolist())(atoms.positions / 10, None)
    energy, expected = _exact(potential).energy_and_forces(atoms)
    assert energies[0] == pytest.approx(energy / KJ_PER_MOL, abs=100 * TOLERANCES[potential.dtype][0])
    np.testing.assert_allclose(forces, expected / KJ_PER_MOL_NM, rtol=0, atol=1000 * TOLERANCES[potential.dtype][1])


def test_what_they_cannot_do_is_said() -> None:
    assert "power of two from 32 on, not 40" in TritonBackend().why_not(_potential(n_features=40))
    assert "not 16" in TritonBackend().why_not(_potential(n_features=16))
    with pytest.raises(FfptError, match=r"backend triton cannot be used: .*not 40"):
        _potential(n_features=40).evaluator([1, 8], backend="triton")
    with pytest.raises(FfptError, match="does not know N"):
        _potential().evaluator([7], backend="triton")
    if not WITH_GPU:
        assert choose_backend("auto", _potential(torch.float32)).name in ("cpp", "torch")
        assert why_no_triton(torch.device("meta"))


@needs_gpu
def test_a_gpu_takes_them_by_itself() -> None:
    potential = _potential()
    assert choose_backend("auto", potential).name == "triton"
    assert choose_backend("auto", _exact(potential)).name == "torch"
    atoms = rattled(aspirin().atoms)
    atoms.calc = potential.calculator()
    np.testing.assert_allclose(atoms.get_forces(), potential.energy_and_forces(atoms)[1], atol=2e-6)
    assert isinstance(potential.evaluator(atoms.numbers), TritonEvaluator)


@needs_gpu
def test_md_on_a_gpu_continues_bit_for_bit(tmp_path) -> None:
    """Replicas share a Context of the Reference platform; a run that is extended is the run that was not stopped."""
    settings = MDSettings(
        temperature=10, length=0.1, interval=5, log_interval=10, checkpoint_interval=0.02, max_stretch=50,
        minimize=False, replicas=3,
    )  # fmt: skip
    header = 276  # bytes of a DCD file, the time of writing among them
    teacher, potential = aspirin(), _potential()
    for name, lengths in (("unbroken", (0.1,)), ("continued", (0.05, 0.1))):
        for length in lengths:
            some = dataclasses.replace(settings, length=length)
            run_md(potential, teacher.topology, tmp_path / name, some, teacher=teacher, progress=False)
    record = read_json(tmp_path / "unbroken" / "run.json")
    assert record["groups"] == [[0, 1, 2]]
    assert record["settings"]["platform"] == "Reference"
    for k in range(3):
        one, other = (tmp_path / name / f"trajectory-{k}.dcd" for name in ("unbroken", "continued"))
        assert len(one.read_bytes()) > 5000
        assert one.read_bytes()[header:] == other.read_bytes()[header:]


@needs_gpu
def test_openmm_on_a_gpu() -> None:
    """A step on the Reference platform and one on CUDA, energies and forces as the potential has them."""
    import openmm

    from ffpt_openmm import create_system

    teacher, potential = aspirin(), _potential()
    energy, forces = _exact(potential).energy_and_forces(teacher.atoms)
    names = [openmm.Platform.getPlatform(k).getName() for k in range(openmm.Platform.getNumPlatforms())]
    for name in {"Reference", "CUDA"}.intersection(names):
        system = create_system(potential, teacher.topology)
        integrator = openmm.LangevinMiddleIntegrator(300, 2, 0.0005)
        context = openmm.Context(system, integrator, openmm.Platform.getPlatformByName(name))
        context.setPositions(teacher.atoms.positions / 10)
        state = context.getState(energy=True, forces=True)
        assert state.getPotentialEnergy()._value == pytest.approx(energy / KJ_PER_MOL, abs=1e-2)
        found = state.getForces(asNumpy=True)._value
        np.testing.assert_allclose(found, forces / KJ_PER_MOL_NM, rtol=0, atol=2e-2)
        context.getIntegrator().step(20)
        assert np.isfinite(context.getState(positions=True).getPositions(asNumpy=True)._value).all()


@needs_gpu
@pytest.mark.parametrize("replicas", [1, 3])
def test_torchforce_replays_cuda_graphs(replicas) -> None:
    """Geometry after geometry, and a step: the numbers of the potential, recorded or not."""
    import openmm

    from ffpt_openmm import create_system
    from ffpt_openmm.forces.backends import choose_backend as choose_torchforce

    try:
        choose_torchforce(_potential(), "torchforce", "CUDA")
    except (FfptError, openmm.OpenMMException) as error:
        pytest.skip(f"no TorchForce on the CUDA platform: {error}")
    teacher, potential = aspirin(), _potential()
    for cuda_graphs in (True, False):
        system = create_system(
            potential, teacher.topology, backend="torchforce", replicas=replicas, cuda_graphs=cuda_graphs
        )
        integrator = openmm.LangevinMiddleIntegrator(300, 2, 0.0005)
        context = openmm.Context(system, integrator, openmm.Platform.getPlatformByName("CUDA"))
        for seed in range(3):
            copies = [rattled(teacher.atoms, seed=10 * seed + k) for k in range(replicas)]
            results = [_exact(potential).energy_and_forces(atoms) for atoms in copies]
            context.setPositions(np.concatenate([atoms.positions for atoms in copies]) / 10)
            state = context.getState(energy=True, forces=True)
            energy = sum(one for one, _ in results) / KJ_PER_MOL
            assert state.getPotentialEnergy()._value == pytest.approx(energy, abs=1e-2 * replicas)
            forces = np.concatenate([one for _, one in results]) / KJ_PER_MOL_NM
            np.testing.assert_allclose(state.getForces(asNumpy=True)._value, forces, rtol=0, atol=2e-2)
        context.getIntegrator().step(20)
        assert np.isfinite(context.getState(positions=True).getPositions(asNumpy=True)._value).all()
