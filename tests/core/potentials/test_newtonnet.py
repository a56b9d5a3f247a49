"""Physics of the network: symmetries, gradients, locality, smoothness."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase import Atoms
from conftest import small_potential
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from ffpt_core import NetworkPotential
from ffpt_core.potentials.newtonnet.network import RadialBasis
from ffpt_core.potentials.pair_index import unordered
from ffpt_core.structure.pairs import all_pairs

MOLECULES = st.integers(0, 2**31).map(
    lambda seed: Atoms(
        numbers=np.random.default_rng(seed).choice([1, 6, 7, 8], 6),
        positions=np.random.default_rng(seed).uniform(-2.5, 2.5, (6, 3)),
    )
)


@settings(max_examples=15, deadline=None)
@given(MOLECULES, st.integers(0, 2**31))
def test_energy_is_invariant_and_forces_turn_along(atoms: Atoms, seed: int) -> None:
    potential = small_potential()
    energy, forces = potential.energy_and_forces(atoms)
    rotation = Rotation.random(random_state=seed % 2**31).as_matrix()
    order = np.random.default_rng(seed).permutation(len(atoms))
    mirror = np.diag([1.0, 1.0, -1.0])
    moved = Atoms(atoms.numbers[order], atoms.positions[order] @ rotation.T @ mirror + [3.0, -7.0, 11.0])
    new_energy, new_forces = potential.energy_and_forces(moved)
    assert new_energy == pytest.approx(energy, rel=0, abs=1e-9)
    np.testing.assert_allclose(new_forces, forces[order] @ rotation.T @ mirror, atol=1e-9)
    np.testing.assert_allclose(forces.sum(0), 0, atol=1e-10)
    np.testing.assert_allclose(np.cross(atoms.positions, forces).sum(0), 0, atol=1e-9)


def test_forces_are_minus_the_gradient(potential: NetworkPotential, ethanol: Atoms) -> None:
    _, forces = potential.energy_and_forces(ethanol)
    step = 1e-4
    for index in np.ndindex(forces.shape):
        energies = []
        for sign in (1, -1):
            moved = ethanol.copy()
            moved.positions[index] += sign * step
            energies.append(potential.energy_and_forces(moved)[0])
        assert forces[index] == pytest.approx(-(energies[0] - energies[1]) / (2 * step), abs=2e-7)


def test_hand_written_gradient_is_that_of_autograd(potential: NetworkPotential, ethanol: Atoms) -> None:
    numbers, pairs = torch.tensor(ethanol.numbers), all_pairs(len(ethanol))
    positions = torch.tensor(ethanol.positions)
    displacements = (positions[pairs[0]] - positions[pairs[1]]).requires_grad_()
    scales = torch.linspace(0.5, 1.5, len(ethanol), dtype=torch.float64)
    energies, gradient = potential.network(numbers, unordered(pairs), displacements, scales)
    (expected,) = torch.autograd.grad((scales * energies).sum(), displacements)
    torch.testing.assert_close(gradient, expected, rtol=0, atol=1e-13)


def test_gradient_of_a_force_loss_is_right(ethanol: Atoms) -> None:
    """Training differentiates the forces in the weights: against finite differences."""
    potential = small_potential()
    numbers, pairs = torch.tensor(ethanol.numbers), all_pairs(len(ethanol))
    positions, frames = torch.tensor(ethanol.positions), torch.zeros(len(ethanol), dtype=torch.int64)

    def loss() -> torch.Tensor:
        energies, forces = potential(numbers, positions, pairs, None, frames, 1)
        return energies.square().sum() + forces.square().sum()

    loss().backward()
    generator = torch.Generator().manual_seed(1)
    for name, weight in potential.network.named_parameters():
        direction = torch.randn(weight.shape, generator=generator, dtype=weight.dtype)
        # The first layer has no vectors to transport, so nothing depends on those two weights.
        assert (weight.grad is None) == name.startswith("layers.0.transport"), name
        expected = 0.0 if weight.grad is None else (weight.grad * direction).sum().item()
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                weight += sign * 1e-5 * direction
                values.append(loss().item())
                weight -= sign * 1e-5 * direction
        assert expected == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-5, abs=1e-7), name


def test_far_molecules_do_not_feel_each_other(potential: NetworkPotential, ethanol: Atoms) -> None:
    other = Atoms("OH", [[0, 0, 0], [0, 0.3, 0.9]])
    alone = potential.energy_and_forces(ethanol)[0] + potential.energy_and_forces(other)[0]
    other.positions += [30.0, 0, 0]
    assert potential.energy_and_forces(ethanol + other)[0] == pytest.approx(alone, abs=1e-9)


def test_energy_and_forces_are_smooth_at_the_cutoff(potential: NetworkPotential) -> None:
    def at(distance: float) -> tuple[float, np.ndarray]:
        return potential.energy_and_forces(Atoms("OH", [[0, 0, 0], [0, 0, distance]]))

    outside = at(5.1)
    assert np.abs(outside[1]).max() == 0.0
    for gap in (1e-1, 1e-2, 1e-3):
        energy, forces = at(5.0 - gap)
        # The envelope vanishes as gap^3, its slope as gap^2.
        assert abs(energy - outside[0]) < 50 * gap**3
        assert np.abs(forces).max() < 150 * gap**2
    assert abs(at(4.0)[0] - outside[0]) > 1e-4


def test_radial_basis_is_the_formula_of_the_paper() -> None:
    basis = RadialBasis(20, 5.0)
    distances = torch.linspace(0.3, 4.9, 7, dtype=torch.float64)
    values, slopes = basis(distances)
    p = 9
    for row, r in enumerate(distances.numpy()):
        x = r / 5.0
        envelope = 1 - (p + 1) * (p + 2) / 2 * x**p + p * (p + 2) * x ** (p + 1) - p * (p + 1) / 2 * x ** (p + 2)
        expected = envelope * np.sin(np.arange(1, 21) * np.pi * x) / x
        np.testing.assert_allclose(values[row].numpy(), expected, atol=1e-12)
    step = 1e-6
    numeric = (basis(distances + step)[0] - basis(distances - step)[0]) / (2 * step)
    torch.testing.assert_close(slopes, numeric, rtol=1e-6, atol=1e-6)


def test_a_batch_gives_what_its_frames_give_alone(potential: NetworkPotential, ethanol: Atoms) -> None:
    from ffpt_core.datasets import Dataset
    from ffpt_core.training import predict

    molecules = [ethanol, Atoms("OH", [[0, 0, 0], [0, 0.3, 0.9]]), ethanol[[8, 2, 0, 1]]]
    energies, forces = predict(potential, Dataset.from_atoms(molecules), batch_size=3)
    expected = [potential.energy_and_forces(atoms) for atoms in molecules]
    np.testing.assert_allclose(energies, [energy for energy, _ in expected], atol=1e-9)
    np.testing.assert_allclose(forces, np.concatenate([force for _, force in expected]), atol=1e-10)


def test_float32_keeps_energy_differences(ethanol: Atoms) -> None:
    """Total energies of 10^4 eV must not cost a float32 network its digits."""
    single, double = small_potential(torch.float32), small_potential(torch.float64)
    double.network.load_state_dict({k: v.double() for k, v in single.network.state_dict().items()})
    moved = ethanol.copy()
    moved.positions[0, 0] += 0.05
    difference = [p.energy_and_forces(moved)[0] - p.energy_and_forces(ethanol)[0] for p in (single, double)]
    assert abs(double.energy_and_forces(ethanol)[0]) > 4000
    assert difference[0] == pytest.approx(difference[1], rel=0, abs=1e-5)


def test_no_value_decides_what_a_training_step_does() -> None:
    """On tensors without values, where reading one raises: on a GPU the host never waits within a step."""
    n_atoms = 5
    with FakeTensorMode():
        try:
            potential = small_potential(torch.float32)
        except RuntimeError as error:
            pytest.skip(f"this PyTorch cannot cast modules of fake tensors: {error}")
        optimizer = torch.optim.Adam(potential.network.parameters(), fused=True)
        numbers, positions = torch.ones(n_atoms, dtype=torch.int64), torch.zeros(n_atoms, 3)
        pairs, frames = torch.zeros(2, 6, dtype=torch.int64), torch.zeros_like(numbers)
        energies, forces = potential(numbers, positions, pairs, None, frames, 1)
        loss = energies.square().mean() + forces.square().mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(potential.network.parameters(), 1.0)
        optimizer.step()
        assert forces.shape == (n_atoms, 3)
        with pytest.raises(DataDependentOutputException):
            loss.item()
