"""OpenMM Systems as potentials, those of OpenMM-ML among them; Systems that an earlier ffpt wrote."""

from __future__ import annotations

import pickle

import numpy as np
import openmm as mm
import pytest
from ase.build import molecule
from openmm_models import random_potential, rattled

from ffpt_core import FfptError, check_potential, open_potential
from ffpt_core.base.files import read_json
from ffpt_core.base.units import KJ_PER_MOL, NANOMETRE
from ffpt_core.potentials.sources import saved_potential
from ffpt_openmm import MDSettings, create_system, run_md
from ffpt_openmm.forces.pythonforce import PotentialFunction
from ffpt_openmm.forces.system_potential import SystemPotential

SHORT = MDSettings(
    temperature=100, length=0.02, interval=1, log_interval=1, checkpoint_interval=0.005, minimize=False,
    platform="Reference",
)  # fmt: skip


@pytest.fixture(scope="module")
def aspirin(teacher) -> SystemPotential:
    """The force field of a teacher as anybody's System, with what OpenMM adds to every System."""
    system = teacher.openmm_system(teacher.topology)
    system.addForce(mm.CMMotionRemover())
    return SystemPotential(system, teacher.topology, "GAFF")


def test_a_system_is_a_potential(aspirin, teacher) -> None:
    frame = rattled(teacher.atoms)
    energies, forces = teacher.energies_and_forces(frame.positions[None])
    energy, found = aspirin.energy_and_forces(frame)
    assert energy == energies[0]
    np.testing.assert_array_equal(found, forces[0])
    copies = aspirin.evaluator(teacher.numbers, copies=2)(np.concatenate([frame.positions, teacher.atoms.positions]))
    assert copies.energies[0] == energy
    assert copies.energies[1] < energy
    check_potential(aspirin, teacher.atoms, ordered=True)


def test_it_is_saved_without_a_pickle(tmp_path, aspirin, teacher) -> None:
    aspirin.save_into(tmp_path)
    frame = rattled(teacher.atoms)
    for again in (saved_potential(tmp_path), open_potential(f"openmm:{tmp_path / 'system'}")):
        assert again.record() == aspirin.record()
        assert again.energy_and_forces(frame)[0] == aspirin.energy_and_forces(frame)[0]
    with_python = SystemPotential(create_system(random_potential(), teacher.topology, backend="pythonforce"),
                                  teacher.topology)  # fmt: skip
    with pytest.raises(FfptError, match="has a PythonForce"):
        with_python.save_into(tmp_path / "other")
    (tmp_path / "system" / "system.xml").write_text(mm.XmlSerializer.serialize(with_python.system))
    with pytest.raises(FfptError, match=r"system\.xml has a PythonForce, a pickle"):
        saved_potential(tmp_path)


def test_what_is_no_potential_is_refused(teacher) -> None:
    system = teacher.openmm_system(teacher.topology)
    system.addConstraint(0, 1, 0.1)
    with pytest.raises(FfptError, match="constraints"):
        SystemPotential(system, teacher.topology)
    system.removeConstraint(0)
    system.addForce(mm.AndersenThermostat(300, 1))
    with pytest.raises(FfptError, match="AndersenThermostat is no potential"):
        SystemPotential(system, teacher.topology)


def test_other_atoms_are_refused(aspirin, teacher) -> None:
    with pytest.raises(FfptError, match=r"for C9H8O4 in its own atom order, not for H2O"):
        aspirin.check([8, 1, 1])
    with pytest.raises(FfptError, match="for a molecule in vacuum"):
        aspirin.check(teacher.numbers, (True, True, True))


def test_dynamics_take_its_own_forces(tmp_path, aspirin, teacher) -> None:
    for name, potential in (("system", aspirin), ("teacher", teacher)):
        run_md(potential, teacher.topology, tmp_path / name, SHORT, structure=teacher.atoms, jobs=1)
        assert read_json(tmp_path / name / "run.json")["settings"]["backend"] == "openmm"
    tables = [(tmp_path / name / "state-0.csv").read_text() for name in ("system", "teacher")]
    assert tables[0] == tables[1]


def test_every_name_of_openmm_ml(tmp_path) -> None:
    """Our own potentials are one; the others have packages of their own."""
    pytest.importorskip("openmmml")
    potential = random_potential(scale=0.05, n_features=8)
    potential.save(tmp_path / "model.pt")
    named = open_potential(f"openmm-ml:ffpt?modelPath={tmp_path / 'model.pt'}")
    ethanol = molecule("CH3CH2OH")
    energy, forces = potential.energy_and_forces(ethanol)
    found, found_forces = named.energy_and_forces(ethanol)
    assert found == pytest.approx(energy, abs=1e-6)
    np.testing.assert_allclose(found_forces, forces, atol=1e-5)
    box = ethanol.copy()
    box.set_cell(np.eye(3) * 12.0)
    box.pbc = True
    assert named.energy_and_forces(box)[0] == pytest.approx(potential.energy_and_forces(box)[0], abs=1e-6)
    named.save_into(tmp_path)
    (tmp_path / "model2.pt").write_bytes((tmp_path / "model.pt").read_bytes())
    assert saved_potential(tmp_path).record() == named.record()
    with pytest.raises(FfptError, match="openmm-ml:nothing cannot be had"):
        open_potential("openmm-ml:nothing")


def test_a_system_of_an_earlier_ffpt(tmp_path, teacher) -> None:
    """Its PythonForce names a class by its old path, and holds the bytes of the file of its potential."""
    potential = random_potential()
    potential.save(tmp_path / "model.pt")
    state = {
        "potential": (tmp_path / "model.pt").read_bytes(), "numbers": teacher.numbers.tolist(), "periodic": False,
        "kernel": "auto", "replicas": 1,
    }  # fmt: skip
    old = type("PotentialFunction", (PotentialFunction,), {"__module__": "ffpt_openmm.pythonforce"})
    function = object.__new__(old)
    function.__class__.__getstate__ = lambda self: state
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ffpt_openmm.pythonforce.PotentialFunction", old)
        written = pickle.dumps(function)
    assert b"ffpt_openmm.pythonforce" in written
    again = pickle.loads(written)
    assert type(again) is PotentialFunction
    frame = rattled(teacher.atoms)
    energies = again.energies(frame.positions / NANOMETRE, None)
    assert energies[0] * KJ_PER_MOL == pytest.approx(potential.energy_and_forces(frame)[0], abs=1e-5)
