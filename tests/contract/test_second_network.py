"""A network from outside goes through everything: training, files, export, ASE, OpenMM dynamics and the audit."""

from __future__ import annotations

import ase.build
import numpy as np
import pytest
from dataset_examples import morse_frames
from openmm_models import rattled
from second_network import PairDensity

import ffpt_core
from ffpt_core import FfptError
from ffpt_core.analysis.audit import audit_potential
from ffpt_core.base.files import read_json
from ffpt_core.datasets import write
from ffpt_core.potentials.network import NETWORKS
from ffpt_core.training import evaluate, make_configuration, train
from ffpt_openmm import MDSettings, run_md, topology_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Trained by its name, as NewtonNet is."""
    folder = tmp_path_factory.mktemp("second")
    write(morse_frames(60), folder / "frames.npz")
    with NETWORKS.added("pair-density", PairDensity):
        train(make_configuration(configuration(folder)))
    return folder


def configuration(folder, **changes) -> dict:
    """A run of seconds."""
    return {
        "data": {"train": str(folder / "frames.npz"), "n_validation": 10},
        "output": str(folder / "run"),
        "network": {"kind": "pair-density", "width": 12, "cutoff": 4.0},
        "epochs": 30,
        "learning_rate": 1e-2,
        "threads": 1,
        "device": "cpu",
        "precision": "float64",
    } | changes


@pytest.fixture(autouse=True)
def with_second_network():
    with NETWORKS.added("pair-density", PairDensity):
        yield


def test_it_learns_and_says_what_it_is(folder) -> None:
    history = read_json(folder / "run" / "result.json")["history"]
    assert history[-1]["validation_loss"] < 0.3 * history[0]["validation_loss"]
    potential = ffpt_core.load(folder / "run" / "potential.pt")
    assert isinstance(potential.network, PairDensity)
    assert potential.record()["network_kind"] == "pair-density"
    assert potential.network.settings() == {"cutoff": 4.0, "width": 12, "hidden": 24}
    errors = evaluate(potential, morse_frames(20, seed=1))
    assert errors.force_mae < np.abs(morse_frames(20, seed=1).forces).mean()


def test_its_settings_are_checked_by_name(folder) -> None:
    with pytest.raises(FfptError, match="n_layers"):
        make_configuration(configuration(folder, network={"kind": "pair-density", "n_layers": 2}))
    with pytest.raises(FfptError, match="no network 'pear-density'"):
        make_configuration(configuration(folder, network={"kind": "pear-density"}))


def test_fine_tuning_starts_from_it(folder, tmp_path) -> None:
    start = folder / "run" / "potential.pt"
    changed = configuration(folder, output=str(tmp_path / "tuned"), start=str(start), epochs=2)
    changed.pop("network")
    assert isinstance(train(make_configuration(changed)).potential.network, PairDensity)


def test_without_its_package_the_file_says_what_it_needs(folder, monkeypatch) -> None:
    monkeypatch.setattr(NETWORKS, "names", lambda: ["newtonnet"])
    monkeypatch.setattr(NETWORKS, "_found", {})
    with pytest.raises(FfptError, match="no network 'pair-density'"):
        ffpt_core.load(folder / "run" / "potential.pt")


def test_exported_to_torchscript(folder, tmp_path) -> None:
    from ffpt_openmm.forces.backends import load_torchforce

    if isinstance(reason := load_torchforce(), str):
        pytest.skip(f"TorchForce does not load: {reason}")
    import openmm
    from openmm import app

    from ffpt_core.base.units import KJ_PER_MOL, KJ_PER_MOL_NM, NANOMETRE
    from ffpt_core.export.torchscript import export_torchscript
    from ffpt_openmm import create_system

    potential = ffpt_core.load(folder / "run" / "potential.pt")
    atoms = molecule()
    expected, forces = potential.energy_and_forces(atoms)
    topology = app.Topology()
    residue = topology.addResidue("MOL", topology.addChain())
    for symbol in atoms.symbols:
        topology.addAtom(symbol, app.Element.getBySymbol(symbol), residue)
    for outputs_forces in (False, True):
        path = tmp_path / f"{outputs_forces}.pt"
        export_torchscript(potential, atoms.numbers, path, outputs_forces=outputs_forces)
        context = openmm.Context(create_system(path, topology), openmm.VerletIntegrator(0.001))
        for _ in range(3):
            context.setPositions(atoms.positions / NANOMETRE)
            state = context.getState(energy=True, forces=True)
            assert state.getPotentialEnergy()._value * KJ_PER_MOL == pytest.approx(expected, abs=1e-6)
            found = state.getForces(asNumpy=True)._value * KJ_PER_MOL_NM
            np.testing.assert_allclose(found, forces, atol=1e-6)


def molecule():
    """Four atoms of the training data."""
    frames = morse_frames(1)
    return next(iter(frames))


def test_it_moves_atoms_in_ase_and_openmm(folder, tmp_path) -> None:
    potential, atoms = ffpt_core.load(folder / "run" / "potential.pt"), molecule()
    atoms.calc = potential.calculator()
    assert atoms.get_potential_energy() == pytest.approx(potential.energy_and_forces(atoms)[0], abs=1e-9)
    settings = MDSettings(
        temperature=30, length=0.01, interval=5, log_interval=5, checkpoint_interval=0.005, minimize=False, replicas=2
    )
    result = run_md(potential, topology_of(atoms), tmp_path / "md", settings, structure=atoms, jobs=1)
    assert {(outcome.steps, outcome.reason) for outcome in result.outcomes} == {(20, "")}


def test_its_holes_are_counted(folder) -> None:
    water = rattled(ase.build.molecule("H2O2"), 0.01)
    audit = audit_potential(ffpt_core.load(folder / "run" / "potential.pt"), water)
    assert audit.to_dict()
