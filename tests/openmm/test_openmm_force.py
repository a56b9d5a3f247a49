"""ASE, TorchForce and PythonForce agree; what cannot work is refused."""

from __future__ import annotations

import copy

import numpy as np
import openmm as mm
import pytest
import torch
from ase import Atoms
from ase.build import molecule
from openmm import app
from openmm_models import random_potential, rattled, water_box, water_topology

from ffpt_core import FfptError
from ffpt_core.base.units import KJ_PER_MOL, KJ_PER_MOL_NM, NANOMETRE
from ffpt_core.export.torchscript import export_torchscript, probe_geometries
from ffpt_core.potentials.ase import PotentialCalculator
from ffpt_core.potentials.backends import BACKENDS
from ffpt_core.potentials.newtonnet.cpp import backend as cpp_backend
from ffpt_core.potentials.newtonnet.cpp import load_kernel
from ffpt_core.potentials.newtonnet.triton.backend import TritonBackend
from ffpt_openmm import create_force, create_system
from ffpt_openmm.forces import backends

TRICLINIC = np.array([[11.0, 0, 0], [2.0, 10.4, 0], [-1.5, 1.0, 10.8]])
WITH_TORCHFORCE = not isinstance(backends.load_torchforce(), str)
needs_torchforce = pytest.mark.skipif(not WITH_TORCHFORCE, reason="openmmtorch does not load here")
needs_kernel = pytest.mark.skipif(isinstance(load_kernel(), str), reason=f"no fused kernel: {load_kernel()}")
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])


@pytest.fixture(
    params=[
        pytest.param("torchforce", marks=needs_torchforce),
        pytest.param("cpp", marks=needs_kernel),
        "pythonforce",
    ]
)
def backend(request, monkeypatch) -> str:
    """Every way to a force: TorchForce, and PythonForce through the fused kernel and through PyTorch."""
    if request.param == "torchforce":
        return "torchforce"
    chosen = BACKENDS.get("cpp" if request.param == "cpp" else "torch")()
    monkeypatch.setattr("ffpt_core.potentials.network_potential.choose_backend", lambda *_: chosen)
    return "pythonforce"


def _context(system, platform="Reference") -> mm.Context:
    return mm.Context(system, mm.VerletIntegrator(0.0005), mm.Platform.getPlatformByName(platform))


def _evaluate(context, atoms) -> tuple[float, np.ndarray]:
    """eV and eV/Angstrom."""
    if atoms.pbc.any():
        context.setPeriodicBoxVectors(*(np.array(atoms.cell) / NANOMETRE))
    context.setPositions(atoms.positions / NANOMETRE)
    state = context.getState(energy=True, forces=True)
    return state.getPotentialEnergy()._value * KJ_PER_MOL, state.getForces(asNumpy=True)._value * KJ_PER_MOL_NM


def _assert_agree(system, potential, frames) -> None:
    context = _context(system)
    expected = []
    for frame in frames:
        atoms = frame.copy()
        atoms.calc = PotentialCalculator(potential, {"backend": "torch"})
        expected.append((atoms.get_potential_energy(), atoms.get_forces()))
    spread = np.ptp([energy for energy, _ in expected])
    assert spread > 0.1
    for frame, (energy, forces) in zip(frames, expected, strict=True):
        found_energy, found_forces = _evaluate(context, frame)
        assert abs(found_energy - energy) < 1e-6 * spread
        np.testing.assert_allclose(found_forces, forces, rtol=0, atol=1e-5)
        assert np.abs(forces).max() > 0.05


def _frames_of(box) -> list[Atoms]:
    """Three frames of a box; one is compressed, because energies of random weights would spread too little."""
    frames = [rattled(box, 0.05, seed) for seed in range(3)]
    frames[1].set_cell(np.array(box.cell) * 0.6, scale_atoms=True)
    return frames


@DTYPES
def test_aspirin_agrees_with_ase(teacher, backend, dtype) -> None:
    potential = random_potential(dtype, scale=1.0)
    system = create_system(potential, teacher.topology, backend=backend)
    frames = [rattled(teacher.atoms, seed=seed) for seed in range(5)]
    frames[0].positions *= 0.65  # energies of random weights spread too little without them
    frames[1].positions *= 0.8
    _assert_agree(system, potential, frames)


@DTYPES
def test_water_box_agrees_with_ase(backend, dtype) -> None:
    potential = random_potential(dtype, scale=1.0, n_layers=2)
    cell = np.diag([10.5, 11.0, 10.2]) if dtype == torch.float32 else TRICLINIC
    box = water_box(cell, 27)
    system = create_system(potential, water_topology(box, cell), backend=backend)
    assert system.usesPeriodicBoundaryConditions()
    frames = _frames_of(box)
    frames[2].positions[:9] += cell[1] - 2 * cell[0]  # molecules that left the box
    _assert_agree(system, potential, frames)
    frames[0].set_cell(cell * 1.02, scale_atoms=True)  # as a barostat does
    _assert_agree(system, potential, frames[:2])


def test_same_numbers_on_the_cpu_platform(teacher, backend) -> None:
    potential = random_potential()
    system = create_system(potential, teacher.topology, backend=backend)
    frame = rattled(teacher.atoms)
    energy, forces = _evaluate(_context(system, "CPU"), frame)
    expected_energy, expected = potential.energy_and_forces(frame)
    assert energy == pytest.approx(expected_energy, abs=1e-6)
    np.testing.assert_allclose(forces, expected, atol=1e-5)


def test_subset_of_atoms(teacher, backend) -> None:
    """Two aspirins, the second one unsorted: only it feels the potential, in its own order."""
    modeller = app.Modeller(teacher.topology, teacher.atoms.positions / NANOMETRE * mm.unit.nanometer)
    modeller.add(teacher.topology, (teacher.atoms.positions / NANOMETRE + 3.0) * mm.unit.nanometer)
    order = np.random.default_rng(0).permutation(21)
    atoms = (21 + order).tolist()
    potential = random_potential(torch.float64)
    system = mm.System()
    for atom in modeller.topology.atoms():
        system.addParticle(atom.element.mass)
    force = create_force(potential, modeller.topology, backend=backend, atoms=iter(atoms), force_group=3)
    assert force.getForceGroup() == 3
    system.addForce(force)
    context = _context(system)
    context.setPositions(modeller.positions)
    state = context.getState(energy=True, forces=True)
    energy, forces = potential.energy_and_forces(teacher.atoms)
    assert state.getPotentialEnergy()._value * KJ_PER_MOL == pytest.approx(energy, abs=1e-8)
    found = state.getForces(asNumpy=True)._value * KJ_PER_MOL_NM
    np.testing.assert_allclose(found[21:], forces, atol=1e-9)
    np.testing.assert_allclose(found[:21], 0)


def test_python_force_survives_xml_and_copies(teacher) -> None:
    potential = random_potential()
    potential.metadata["level"] = "random"
    system = create_system(potential, teacher.topology, backend="pythonforce")
    again = mm.XmlSerializer.deserialize(mm.XmlSerializer.serialize(system))
    frame = rattled(teacher.atoms)
    energy, forces = _evaluate(_context(system), frame)
    for other in (again, copy.deepcopy(system)):
        other_energy, other_forces = _evaluate(_context(other), frame)
        assert other_energy == energy
        np.testing.assert_array_equal(other_forces, forces)


@needs_torchforce
def test_cuda_graphs_are_asked_for_where_shapes_never_change(teacher) -> None:
    """Whether they replay is for a GPU to say; elsewhere the property must change nothing."""
    potential = random_potential()
    force = create_force(potential, teacher.topology, backend="torchforce", cuda_graphs=True)
    assert dict(force.getProperties())["useCUDAGraphs"] == "true"
    graphs, plain = (
        create_system(potential, teacher.topology, backend="torchforce", cuda_graphs=value) for value in (True, False)
    )
    assert _evaluate(_context(graphs), teacher.atoms)[0] == _evaluate(_context(plain), teacher.atoms)[0]
    cell = np.diag([10.5, 11.0, 10.2])
    with pytest.raises(FfptError, match="CUDA graphs are for a TorchForce of an isolated molecule"):
        create_force(potential, water_topology(water_box(cell, 8), cell), backend="torchforce", cuda_graphs=True)
    with pytest.raises(FfptError, match="CUDA graphs are for a TorchForce"):
        create_force(potential, teacher.topology, backend="pythonforce", cuda_graphs=True)


def test_system_has_masses_box_and_remover(teacher) -> None:
    topology = copy.deepcopy(teacher.topology)
    topology.setPeriodicBoxVectors(np.eye(3) * 3 * mm.unit.nanometer)
    system = create_system(random_potential(), topology, backend="pythonforce")
    masses = [system.getParticleMass(index)._value for index in range(21)]
    np.testing.assert_allclose(masses, teacher.atoms.get_masses(), rtol=1e-4)
    assert system.getDefaultPeriodicBoxVectors()[0][0]._value == 3
    assert [type(force) for force in system.getForces()] == [mm.PythonForce, mm.CMMotionRemover]
    isolated = create_system(
        random_potential(), topology, backend="pythonforce", periodic=False, remove_cm_motion=False
    )
    assert not isolated.usesPeriodicBoundaryConditions()
    assert isolated.getNumForces() == 1


def test_what_cannot_work_is_refused(teacher) -> None:
    potential = random_potential()
    salt = app.Topology()
    residue = salt.addResidue("SLT", salt.addChain())
    salt.addAtom("NA", app.Element.getBySymbol("Na"), residue)
    with pytest.raises(FfptError, match="does not know Na; it knows H, C, O"):
        create_force(potential, salt, backend="pythonforce")
    salt.addAtom("X", None, residue)
    with pytest.raises(FfptError, match=r"atom 1 \(X of SLT\) of the topology has no element"):
        create_force(potential, salt, backend="pythonforce")
    with pytest.raises(FfptError, match="atom 21 is not in the topology"):
        create_force(potential, teacher.topology, backend="pythonforce", atoms=[20, 21])
    with pytest.raises(FfptError, match="each named once"):
        create_force(potential, teacher.topology, backend="pythonforce", atoms=[1, 1])
    with pytest.raises(FfptError, match="no backend 'tensorforce'"):
        create_force(potential, teacher.topology, backend="tensorforce")
    with pytest.raises(FfptError, match="no platform 'Metal'"):
        backends.choose_platform("Metal")


def test_auto_says_what_it_chose(teacher, monkeypatch, caplog) -> None:
    monkeypatch.setattr(backends, "load_torchforce", lambda: "libtorch_cuda.so: cannot open shared object file")
    with caplog.at_level("INFO"):
        create_force(random_potential(), teacher.topology)
    assert "the backend cpp is the fastest on cpu" in caplog.text
    monkeypatch.setattr(cpp_backend, "load_kernel", lambda: "no C++ compiler")
    with caplog.at_level("INFO"):
        force = create_force(random_potential(), teacher.topology)
    assert isinstance(force, mm.PythonForce)
    assert "forces through pythonforce (openmmtorch does not load: libtorch_cuda.so" in caplog.text
    assert "not by the backend cpp: no C++ compiler" in caplog.text
    with pytest.raises(FfptError, match=r"TorchForce does not load .*pip install"):
        create_force(random_potential(), teacher.topology, backend="torchforce")


def test_with_a_gpu_few_atoms_stay_on_the_reference_platform(monkeypatch, caplog) -> None:
    """The GPU evaluates the potential all the same; OpenMM's CUDA platform is for many atoms."""
    platforms = [type("Platform", (), {"getName": lambda self, name=name: name})() for name in ("Reference", "CUDA")]
    monkeypatch.setattr(mm.Platform, "getNumPlatforms", staticmethod(lambda: len(platforms)))
    monkeypatch.setattr(mm.Platform, "getPlatform", staticmethod(lambda k: platforms[k]))
    assert backends.choose_platform("auto") == "Reference"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert backends.choose_platform("auto") == "CUDA"
    assert backends.choose_platform("auto", backends.REFERENCE_UP_TO) == "Reference"
    assert backends.choose_platform("auto", backends.REFERENCE_UP_TO + 1) == "CUDA"
    assert backends.choose_platform("CUDA", 21) == "CUDA"
    potential = random_potential()
    monkeypatch.setattr(type(potential), "device", torch.device("cuda"))
    monkeypatch.setattr(TritonBackend, "why_not", lambda self, network: "")
    with caplog.at_level("INFO"):
        chosen = {backends.choose_backend(potential, "auto", platform) for platform in ("Reference", None)}
    assert chosen == {"pythonforce"}
    assert "the backend triton is the fastest on cuda" in caplog.text


@needs_torchforce
def test_platform_without_torch_kernels(monkeypatch) -> None:
    class Platform:
        def supportsKernels(self, names):
            return False

    monkeypatch.setattr(mm.Platform, "getPlatformByName", staticmethod(lambda name: Platform()))
    monkeypatch.setattr(cpp_backend, "load_kernel", lambda: "no C++ compiler")
    assert backends.choose_backend(random_potential(), "auto", "CUDA") == "pythonforce"
    with pytest.raises(FfptError, match="no kernels for the platform CUDA"):
        backends.choose_backend(random_potential(), "torchforce", "CUDA")


@needs_torchforce
def test_exported_files(tmp_path, teacher) -> None:
    potential = random_potential()
    path, fast = tmp_path / "force.pt", tmp_path / "fast.pt"
    export_torchscript(potential, teacher.atoms.numbers, path)
    export_torchscript(potential, teacher.atoms.numbers, fast, outputs_forces=True)
    frame = rattled(teacher.atoms)
    expected = potential.energy_and_forces(frame)[1]
    for file in (path, fast):
        _, forces = _evaluate(_context(create_system(file, teacher.topology)), frame)
        np.testing.assert_allclose(forces, expected, atol=1e-6)
    with pytest.raises(FfptError, match="PythonForce needs the potential"):
        create_force(path, teacher.topology, backend="pythonforce")
    water = water_topology(water_box(TRICLINIC, 7))
    with pytest.raises(FfptError, match=r"is for C9H8O4, the topology is H14O7"):
        create_force(path, water)
    with pytest.raises(FfptError, match="isolated molecule, the topology is a periodic box"):
        create_force(path, teacher.topology, periodic=True)
    with pytest.raises(FfptError, match="whole system"):
        create_force(path, teacher.topology, atoms=range(21))


def test_a_potential_that_rounds_more_than_others_is_not_taken_for_a_fault_of_the_compiler() -> None:
    """Large weights amplify rounding; what counts is how far the potential is off its own evaluation in float64."""
    potential = random_potential(seed=1)
    with torch.no_grad():
        for weights in potential.network.parameters():
            if weights.ndim > 1:
                weights *= 1.7
    numbers = molecule("CH3CH2OH").numbers
    for atoms in probe_geometries(numbers):
        exact, rounded = (one.energy_and_forces(atoms)[1] for one in (copy.deepcopy(potential).double(), potential))
        assert np.abs(rounded - exact).max() > 1e-5 * np.abs(exact).max()
    for backend in ("auto", "torch"):
        potential.evaluator(numbers, backend=backend)
