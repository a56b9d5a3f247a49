"""Gathers and sums between atoms and pairs: one meaning, in PyTorch's order or in a fixed one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from ffpt_core.potentials import pair_index
from ffpt_core.potentials.network_potential import NetworkPotential
from ffpt_core.potentials.newtonnet.network import NewtonNet
from ffpt_core.potentials.ordered_sums import why_no_triton
from ffpt_core.potentials.pair_index import add_pairs, at_pairs, ordered, sum_by_owner, unordered
from ffpt_core.structure.pairs import all_pairs

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
needs_triton = pytest.mark.skipif(bool(why_no_triton(DEVICE)), reason=why_no_triton(DEVICE) or "Triton works")
PAIRS = torch.tensor([[0, 3, 1, 1, 5, 0], [1, 1, 4, 1, 3, 5]], device=DEVICE)
"""An atom (2) without pairs, and one that is its own neighbour, as in a thin cell."""


def _random(*shape: int, grad: bool = True) -> Tensor:
    values = np.random.default_rng(sum(shape)).normal(size=shape)
    return torch.tensor(values, device=DEVICE, requires_grad=grad)


@needs_triton
@pytest.mark.parametrize("shape", [(1,), (3,), (3, 40), (130,)])
def test_sums_and_gathers_are_those_of_pytorch(shape: tuple[int, ...]) -> None:
    """And so are their derivatives, to the second."""
    x, a, b = _random(6, *shape), _random(6, *shape), _random(6, *shape) ** 2
    weights = _random(6, *shape, grad=False)
    results = []
    for index in (unordered(PAIRS), ordered(PAIRS, 6)):
        added = add_pairs(x, a, b, index)
        of_first, of_second = at_pairs(added**2, index)
        loss = (weights * of_first * of_second.sin()).sum()
        gradients = torch.autograd.grad(loss, (x, a, b), create_graph=True)
        seconds = torch.autograd.grad(sum((g * g).sum() for g in gradients), (x, a))
        results.append([added, of_first, of_second, *gradients, *seconds])
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@needs_triton
def test_many_pairs_of_one_atom_and_none_at_all() -> None:
    pairs = torch.stack([torch.zeros(100, dtype=torch.int64), torch.arange(100) % 3]).to(DEVICE)
    x, rows = torch.zeros(4, 2, device=DEVICE), torch.ones(100, 2, device=DEVICE)
    assert add_pairs(x, rows, 10 * rows, ordered(pairs, 4))[:, 0].tolist() == [440, 330, 330, 0]
    none = pairs[:, :0]
    assert torch.equal(add_pairs(x, rows[:0], rows[:0], ordered(none, 4)), x)


@needs_triton
def test_sums_by_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    values, owners = _random(50), torch.tensor(np.random.default_rng(0).integers(0, 7, 50), device=DEVICE)
    owners[owners == 3] = 2
    expected = torch.zeros(8, dtype=torch.float64, device=DEVICE).index_add(0, owners, values)
    monkeypatch.setattr(pair_index, "_in_order", lambda _: True)
    found = sum_by_owner(values, owners, 8)
    torch.testing.assert_close(found, expected, rtol=1e-13, atol=1e-13)
    weights = torch.arange(8.0, dtype=torch.float64, device=DEVICE)
    (gradient,) = torch.autograd.grad((weights * found).sum(), values)
    assert torch.equal(gradient, weights[owners])


@needs_triton
def test_a_potential_and_the_gradient_of_a_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two frames of five atoms, one atom of them alone: energies, forces, and all gradients of the weights."""
    torch.manual_seed(0)
    network = NewtonNet(n_features=32, n_basis=6, n_layers=3, cutoff=4.0).double()
    potential = NetworkPotential(network, [1, 8]).to(DEVICE)
    one = all_pairs(4, DEVICE)
    pairs = torch.cat([one, one + 5], dim=1)
    numbers, frames = torch.tensor([8, 1, 1, 8, 1] * 2, device=DEVICE), torch.arange(10, device=DEVICE) // 5
    positions = 1.5 * _random(10, 3, grad=False)
    results = []
    for in_order in (False, True):
        monkeypatch.setattr(pair_index, "_in_order", lambda _, answer=in_order: answer)
        energies, forces = potential(numbers, positions, pairs, None, frames, 2)
        potential.zero_grad()
        (energies.square().sum() + forces.square().sum()).backward()
        results.append(
            [energies, forces, *(weight.grad.clone() for weight in network.parameters() if weight.grad is not None)]
        )
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)
