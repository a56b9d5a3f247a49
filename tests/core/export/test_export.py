"""Exported TorchScript: the numbers of the potential, nothing else needed, and no wrong file written."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from openmm_models import SHIFTS, random_potential, rattled, water_box

from ffpt_core import FfptError
from ffpt_core.base.units import KJ_PER_MOL, KJ_PER_MOL_NM, NANOMETRE
from ffpt_core.export import torchscript as export_module
from ffpt_core.export.openmm_module import EnergyModule, ForceModule
from ffpt_core.export.torchscript import (
    check_module,
    deployed,
    engine_evaluation,
    export_torchscript,
    read_record,
)
from ffpt_core.potentials.agreement import disagreement, probe_geometries
from ffpt_core.teachers import aspirin

TRICLINIC = np.array([[11.0, 0, 0], [2.0, 10.4, 0], [-1.5, 1.0, 10.8]])
THIN = np.array([[6.0, 0, 0], [1.0, 6.5, 0], [0.5, -1.0, 7.0]])


@pytest.fixture(scope="module")
def molecule():
    return aspirin().atoms


@pytest.fixture(scope="module", params=[torch.float32, torch.float64], ids=["float32", "float64"])
def potential(request):
    return random_potential(request.param)


def _loaded(path):
    # As TorchForce does: load, eval, freeze.
    return torch.jit.freeze(torch.jit.load(path).eval())


@pytest.mark.parametrize("outputs_forces", [False, True])
def test_file_gives_the_numbers_of_the_potential(tmp_path, potential, molecule, outputs_forces) -> None:
    path = tmp_path / "force.pt"
    export_torchscript(potential, molecule.numbers, path, outputs_forces=outputs_forces)
    frames = [rattled(molecule, seed=seed) for seed in range(3)]
    frames[0].positions *= 0.6  # so that the energies of random weights spread
    frames[1].positions *= 1.5
    energy, force = disagreement(engine_evaluation(_loaded(path)), potential, frames)
    spread = np.ptp([potential.energy_and_forces(frame)[0] for frame in frames])
    assert energy < 1e-6 * spread
    assert force < 1e-5 * 0.1


@pytest.mark.parametrize("cell", [TRICLINIC, THIN], ids=["triclinic", "thin"])
def test_periodic_file(tmp_path, potential, cell) -> None:
    box = water_box(cell, 8)
    export_torchscript(potential, box.numbers, tmp_path / "box.pt", periodic=True)
    module = _loaded(tmp_path / "box.pt")
    frames = [rattled(box, seed=seed) for seed in range(2)]
    energy, force = disagreement(engine_evaluation(module), potential, frames)
    assert energy < 1e-6
    assert force < 1e-5 * 0.1
    moved = frames[0].copy()
    moved.positions += 2 * cell[0] - cell[2]  # the engine may hand over unwrapped positions
    assert disagreement(engine_evaluation(module), potential, [moved])[1] < 1e-6


def test_gradient_is_that_of_the_energy(molecule) -> None:
    """Finite differences of the compiled energy: the gradient is really -dE/dx, not a bookkeeping trick."""
    module = torch.jit.freeze(deployed(random_potential(torch.float64), molecule.numbers))
    positions = torch.as_tensor(molecule.positions / NANOMETRE).requires_grad_(True)
    gradient = torch.autograd.grad(module(positions), positions)[0]
    step = 1e-5
    for atom, axis in ((0, 0), (7, 1), (20, 2)):
        shifted = positions.detach().clone()
        shifted[atom, axis] += step
        above = module(shifted).item()
        shifted[atom, axis] -= 2 * step
        slope = (above - module(shifted).item()) / (2 * step)
        assert gradient[atom, axis].item() == pytest.approx(slope, rel=1e-4, abs=1e-3)


def test_subset_of_an_engines_particles(potential, molecule) -> None:
    atoms = [5, *range(8, 28)]
    module = deployed(potential, molecule.numbers, atoms=atoms, outputs_forces=True)
    everything = torch.full((30, 3), 7.0, dtype=torch.float64)
    everything[atoms] = torch.as_tensor(molecule.positions / NANOMETRE)
    energy, forces = module(everything)
    expected_energy, expected = potential.energy_and_forces(molecule)
    assert energy.item() * KJ_PER_MOL == pytest.approx(expected_energy, abs=1e-9)
    np.testing.assert_allclose(forces[atoms].numpy() * KJ_PER_MOL_NM, expected, atol=1e-7)
    others = [index for index in range(30) if index not in atoms]
    assert torch.all(forces[others] == 0)


def test_float32_keeps_small_differences_far_from_the_origin(molecule) -> None:
    module = deployed(random_potential(torch.float32), molecule.numbers, outputs_forces=True)
    here = torch.as_tensor(molecule.positions / NANOMETRE)
    energy, forces = module(here)
    far_energy, far_forces = module(here + 1000.0)  # a micrometre away: float32 positions would lose 0.6 Angstrom
    assert abs(energy) > 1e6  # kJ/mol: float32 would lose 0.1 kJ/mol
    assert abs(far_energy - energy) < 1e-4
    assert torch.abs(far_forces - forces).max() < 1e-2


def test_distant_atoms_and_nan(potential) -> None:
    module = deployed(potential, [8, 1, 1], outputs_forces=True)
    apart = torch.tensor([[0.0, 0, 0], [5, 0, 0], [0, 5, 0]], dtype=torch.float64)
    energy, forces = module(apart)
    alone = sum(deployed(potential, [z], outputs_forces=True)(apart[:1])[0] for z in (8, 1, 1))
    assert energy.item() == pytest.approx(alone.item(), rel=1e-12)
    assert torch.all(forces == 0)
    apart[1, 1] = torch.nan
    assert torch.isnan(module(apart)[0])  # a NaN has no neighbours: it must not look like a free atom


def test_record(tmp_path, potential, molecule) -> None:
    potential.metadata["level"] = "random"
    path = tmp_path / "force.pt"
    written = export_torchscript(potential, molecule.numbers, path)
    record = read_record(path)
    assert record == json.loads(json.dumps(written))
    assert record["engine"] == "openmm"
    assert record["units"] == {"length": "nm", "energy": "kJ/mol"}
    assert record["numbers"] == molecule.numbers.tolist()
    assert record["metadata"]["level"] == "random"
    assert record["precision"] == str(potential.dtype).removeprefix("torch.")
    assert {"ffpt_version", "cutoff", "elements", "format_version", "periodic"} <= set(record)


def test_records_of_other_files_are_refused(tmp_path, potential, molecule) -> None:
    for name, content, message in (
        ("foreign.pt", None, "not written by 'ffpt export'"),
        ("text.pt", b"hello", "truncated or not"),
        ("missing.pt", None, "cannot read"),
    ):
        path = tmp_path / name
        if name == "foreign.pt":
            torch.jit.save(torch.jit.script(torch.nn.Identity()), path)
        elif content is not None:
            path.write_bytes(content)
        with pytest.raises(FfptError, match=message):
            read_record(path)
    path = tmp_path / "force.pt"
    export_torchscript(potential, molecule.numbers, path)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(FfptError, match="truncated"):
        read_record(path)


def test_unknown_element_is_refused(tmp_path, potential) -> None:
    with pytest.raises(FfptError, match="does not know N; it knows H, C, O"):
        export_torchscript(potential, [7, 1, 1, 1], tmp_path / "ammonia.pt")
    assert not list(tmp_path.iterdir())


def test_wrong_module_is_never_written(tmp_path, molecule, monkeypatch) -> None:
    potential = random_potential(scale=1.0)

    class Wrong(EnergyModule):
        def evaluate(self, positions: torch.Tensor, box: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
            energy, forces = super().evaluate(positions, box)
            return energy, 1.001 * forces

    frames = probe_geometries(molecule.numbers)
    with pytest.raises(FfptError, match=r"off the network in plain PyTorch"):
        check_module(Wrong(potential, molecule.numbers), potential, frames)
    shifted = random_potential(scale=1.0)
    shifted.set_shifts({1: SHIFTS[1] + 1e-4})
    with pytest.raises(FfptError, match=r"off the network in plain PyTorch"):
        check_module(ForceModule(shifted, molecule.numbers), potential, frames)
    monkeypatch.setattr(export_module, "compile_module", lambda module: torch.jit.script(
        ForceModule(shifted, molecule.numbers).eval()))  # fmt: skip
    with pytest.raises(FfptError, match=r"off the network in plain PyTorch"):
        export_torchscript(potential, molecule.numbers, tmp_path / "force.pt")
    assert not list(tmp_path.iterdir())


def test_geometry_without_an_energy_is_named_as_the_reason(potential) -> None:
    coincident = Atoms("OH", [[0, 0, 0], [0, 0, 0]])
    with pytest.raises(FfptError, match="is it in Angstrom, with atoms apart"):
        check_module(ForceModule(potential, [8, 1]), potential, [coincident])


def test_box_where_none_belongs_and_the_other_way_round(molecule) -> None:
    positions, box = torch.as_tensor(molecule.positions / NANOMETRE), torch.eye(3, dtype=torch.float64)
    isolated = deployed(random_potential(), molecule.numbers)
    with pytest.raises(torch.jit.Error, match="isolated molecule"):
        isolated(positions, box)
    periodic = deployed(random_potential(), molecule.numbers, periodic=True)
    with pytest.raises(torch.jit.Error, match="setUsesPeriodicBoundaryConditions"):
        periodic(positions)


_PLAIN_SCRIPT = """
import sys
import torch, openmmtorch, openmm as mm
force = openmmtorch.TorchForce(sys.argv[1])
system = mm.System()
for _ in range(21):
    system.addParticle(12.0)
system.addForce(force)
context = mm.Context(system, mm.VerletIntegrator(0.001), mm.Platform.getPlatformByName("Reference"))
context.setPositions([[float(x) for x in line.split()] for line in sys.stdin])
state = context.getState(energy=True, forces=True)
print(repr(state.getPotentialEnergy()._value))
for force in state.getForces():
    print(*map(repr, (force._value.x, force._value.y, force._value.z)))
assert not any(name.startswith("ffpt") for name in sys.modules)
"""


def test_works_in_a_plain_openmm_script(tmp_path, molecule) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("openmmtorch", exc_type=ImportError)
    potential = random_potential()
    path = tmp_path / "force.pt"
    export_torchscript(potential, molecule.numbers, path)
    frame = rattled(molecule)
    text = "\n".join(" ".join(map(repr, row)) for row in (frame.positions / NANOMETRE).tolist())
    # An empty folder as working directory and no PYTHONPATH: only OpenMM and openmmtorch are used.
    done = subprocess.run(
        [sys.executable, "-c", _PLAIN_SCRIPT, str(path)], input=text, capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    energy, *forces = done.stdout.splitlines()
    expected_energy, expected = potential.energy_and_forces(frame)
    assert float(energy) * KJ_PER_MOL == pytest.approx(expected_energy, abs=1e-7)
    values = np.array([[float(x) for x in row.split()] for row in forces])
    np.testing.assert_allclose(values * KJ_PER_MOL_NM, expected, atol=1e-6)


def test_command(tmp_path, molecule, capsys) -> None:
    from ffpt_core.cli.export import export
    from ffpt_core.teachers import aspirin

    model = tmp_path / "model.pt"
    random_potential().save(model)
    aspirin().save(tmp_path / "teacher")
    export(model, tmp_path / "force.pt", topology=tmp_path / "teacher" / "topology.pdb", structure=None, periodic=None)
    assert read_record(tmp_path / "force.pt")["numbers"] == molecule.numbers.tolist()
    export(model, tmp_path / "f2.pt", structure=tmp_path / "teacher" / "relaxed.xyz", topology=None, periodic=None)
    with pytest.raises(FfptError, match="either --topology"):
        export(model, tmp_path / "f3.pt", topology=None, structure=None)
    with pytest.raises(FfptError, match="no export for 'gromacs'"):
        export(model, tmp_path / "f3.pt", structure=Path("x.xyz"), topology=None, engine="gromacs")
    with pytest.raises(FfptError, match="cannot read the structure"):
        export(model, tmp_path / "f3.pt", structure=tmp_path / "nothing.xyz", topology=None)
    with pytest.raises(FfptError, match="has no box"):
        export(model, tmp_path / "f3.pt", structure=tmp_path / "teacher" / "relaxed.xyz", topology=None, periodic=True)
