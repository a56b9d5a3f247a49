"""Every implementation of a type keeps its contract: potentials, networks and backends, those of others included."""

from __future__ import annotations

import copy

import ase.build
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.lj import LennardJones
from conftest import small_potential
from openmm_models import rattled, water_box
from second_network import PairDensity

from ffpt_core import FfptError, NetworkPotential, Potential, Prediction, check_potential, open_potential
from ffpt_core.potentials.agreement import check_evaluator
from ffpt_core.potentials.backends import BACKENDS
from ffpt_core.potentials.contract import Tolerances
from ffpt_core.potentials.interface import ISOLATED
from ffpt_core.potentials.network import NETWORKS
from ffpt_core.potentials.newtonnet.network import NewtonNet
from ffpt_core.teachers import aspirin
from ffpt_core.teachers.water import water_box as water_box_teacher

TRICLINIC = np.array([[11.0, 0, 0], [2.0, 10.4, 0], [-1.5, 1.0, 10.8]])
EXACT = Tolerances(energy=1e-9, force=1e-9, gradient=1e-4)


def of_second_network(dtype: torch.dtype = torch.float64) -> NetworkPotential:
    """A PairDensity of random weights for H, C and O."""
    torch.manual_seed(3)
    return NetworkPotential(PairDensity().to(dtype), (1, 6, 8), {1: -13.6, 6: -1030.0, 8: -2040.0}).eval()


def of_newtonnet(dtype: torch.dtype = torch.float64) -> NetworkPotential:
    """A NewtonNet of random weights, of a size that all its kernels take."""
    torch.manual_seed(1)
    network = NewtonNet(n_features=32, n_basis=8, n_layers=2).to(dtype)
    return NetworkPotential(network, (1, 6, 8), {1: -13.6, 6: -1030.0, 8: -2040.0}, {1: 0.7, 6: 1.2, 8: 1.1}).eval()


NETWORK_POTENTIALS = {"newtonnet": of_newtonnet, "pair-density": of_second_network}


@pytest.fixture(autouse=True)
def with_second_network():
    """It has a name while a test runs, as an installed package's would."""
    with NETWORKS.added("pair-density", PairDensity):
        yield


def test_every_registered_network_is_checked() -> None:
    assert set(NETWORKS.names()) == set(NETWORK_POTENTIALS)


@pytest.mark.parametrize("kind", NETWORK_POTENTIALS)
@pytest.mark.parametrize("structure", ["molecule", "box"])
@pytest.mark.parametrize("backend", [*BACKENDS.names(), "auto"])
def test_networks_by_every_backend(kind, structure, backend) -> None:
    where = "cpu" if backend == "auto" else BACKENDS.get(backend).device or "cpu"
    if where == "cuda" and not torch.cuda.is_available():
        pytest.skip("no GPU: PyTorch finds none")
    potential = NETWORK_POTENTIALS[kind](torch.float64 if where == "cpu" else torch.float32).to(where)
    tolerances = EXACT if where == "cpu" else Tolerances(1e-2, 1e-4, 5e-2)  # energies of -3,000 eV in single precision
    atoms = rattled(ase.build.molecule("CH3CH2OH")) if structure == "molecule" else water_box(TRICLINIC, 8)
    if backend != "auto":
        reason = BACKENDS.get(backend)().why_not(potential)
        if reason:
            with pytest.raises(FfptError, match=f"the backend {backend} cannot be used: "):
                potential.evaluator(atoms.numbers, atoms.pbc, backend=backend)
            pytest.skip(f"{kind} by {backend}: {reason}")
    by_backend = copy.deepcopy(potential)
    by_backend.evaluator = lambda *args, **named: potential.evaluator(*args, **named, backend=backend)
    report = check_potential(by_backend, atoms, tolerances)
    assert report.rotation is not None and report.permutation is not None
    assert (report.virial is not None) == (structure == "box")


def test_of_others() -> None:
    ethanol = rattled(ase.build.molecule("CH3CH2OH"))
    check_potential(open_potential("tblite:GFN2-xTB"), ethanol, Tolerances(1e-5, 1e-4, 5e-3))
    box = water_box(TRICLINIC, 8)
    argon = Atoms("Ar" * len(box), box.positions * 1.3, cell=TRICLINIC * 1.3, pbc=True)
    report = check_potential(open_potential(LennardJones(sigma=1.0, rc=6.0, smooth=True)), argon, EXACT)
    assert report.virial is not None
    named = open_potential("ase:ase.calculators.morse.MorsePotential?epsilon=0.8&r0=1.1")
    check_potential(named, ethanol, Tolerances(1e-9, 1e-9, 1e-2))


def test_teachers() -> None:
    teacher = aspirin()
    check_potential(teacher, rattled(teacher.atoms), Tolerances(1e-6, 1e-6, 5e-3), ordered=True)
    box = water_box_teacher(n_molecules=32, cutoff=4.5, seed=1)
    # The mesh of particle-mesh Ewald stands in space: what is moved over it changes a little.
    check_potential(box, rattled(box.atoms, 0.02), Tolerances(1e-4, 5e-3, 5e-2), ordered=True)


class _Wrong(Potential):
    """A Lennard-Jones pair with one fault."""

    level = "wrong"

    def __init__(self, fault: str) -> None:
        self.fault = fault

    def record(self) -> dict:
        return {"level": "wrong"} if self.fault == "record" else {"level": "wrong", "fingerprint": "0"}

    def save_into(self, folder) -> None:
        raise FfptError("it has no file")

    def evaluator(self, numbers, pbc=ISOLATED, copies=1):
        return _WrongEvaluator(self.fault, np.asarray(numbers), copies)


class _WrongEvaluator:
    def __init__(self, fault: str, numbers: np.ndarray, copies: int) -> None:
        self.fault, self.numbers, self.copies, self.calls = fault, numbers, copies, 0

    def __call__(self, positions, cell=None):
        self.calls += 1
        n, energies, forces = len(self.numbers), [], []
        for k in range(self.copies):
            atoms = Atoms(self.numbers, positions[k * n : (k + 1) * n])
            atoms.calc = LennardJones(sigma=1.0, rc=20.0)
            energies.append(atoms.get_potential_energy())
            forces.append(atoms.get_forces())
        energies, forces = np.array(energies), np.concatenate(forces)
        if self.fault == "sign":
            forces = -forces
        if self.fault == "noise":
            energies = energies + self.calls
        if self.fault == "anchored":
            energies = energies + positions[::n, 0]
            forces[::n, 0] -= 1.0
        if self.fault == "modifies":
            positions[0] += 1.0
        if self.fault == "shape":
            forces = forces.ravel()
        if self.fault == "copies" and self.copies > 1:
            energies = energies.mean() * np.ones_like(energies)
        if self.fault == "tuple":
            return energies, forces, None
        if self.fault == "order":
            energies = energies + positions[::n, 1] - positions[1::n, 1]
        return Prediction(energies, forces, None)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("", None),
        ("record", "lacks fingerprint"),
        ("sign", "not minus the derivative"),
        ("noise", "other numbers the second time"),
        ("anchored", "change when everything is moved"),
        ("modifies", "modifies the positions"),
        ("shape", "forces should be"),
        ("copies", "copies differ"),
        ("tuple", "not a Prediction"),
        ("order", "rotation|order of the atoms"),
    ],
)
def test_the_contract_notices(fault, message) -> None:
    atoms = rattled(ase.build.molecule("H2O"))
    tolerances = Tolerances(1e-9, 1e-9, 1e-2)
    if message is None:
        check_potential(_Wrong(fault), atoms, tolerances)
        return
    with pytest.raises(FfptError, match=message):
        check_potential(_Wrong(fault), atoms, tolerances)


def test_an_evaluation_that_is_not_the_network_is_not_handed_out(monkeypatch) -> None:
    potential = small_potential()
    other = small_potential(seed=1)
    with pytest.raises(FfptError, match="off the network in plain PyTorch"):
        check_evaluator(lambda numbers, copies: other.evaluator(numbers, copies=copies), potential, [8, 1, 1], ISOLATED)


def test_what_a_potential_cannot_do_is_said_in_one_line() -> None:
    water = ase.build.molecule("H2O")
    cases = [
        (lambda: small_potential().evaluator([17]), "does not know Cl; it knows H, C, N, O"),
        (lambda: open_potential("pyscf:HF/sto-3g").check(water.numbers, (True,) * 3), "molecules in vacuum"),
        (lambda: open_potential("tblite:GFN2-xTB?charge=1").check(water.numbers), "9 electrons"),
        (lambda: open_potential("tblite:GFN2-xTB").check([110]), "does not know Ds"),
        (lambda: aspirin().check(water.numbers), "C9H8O4 in its own atom order"),
        (lambda: open_potential("nothing.xyz"), "there is no potential 'nothing.xyz'"),
        (lambda: open_potential("tblite:GFN2-xTB?spin=1"), "takes charge and multiplicity, not spin"),
        (lambda: open_potential("ase:os.system?command=true"), "not a calculator of ASE"),
    ]
    for call, message in cases:
        with pytest.raises(FfptError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)
