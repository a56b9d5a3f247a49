"""Sums over pairs: their definitions, written as loops; their derivatives; shapes that no value decides."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from conftest import small_potential
from torch import Tensor
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from ffpt_core import incidence
from ffpt_core.newtonnet import silu_and_slope

# An atom without pairs (4), one with itself (a periodic image), the same pair twice (two images).
PAIRS = torch.tensor([[3, 0, 0, 1, 2, 0], [1, 1, 2, 1, 0, 1]])
N_ATOMS, N_FEATURES = 5, 3
AT = incidence.incidence(PAIRS, N_ATOMS, torch.float64)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


EDGES = random(PAIRS.shape[1], N_FEATURES)
UNITS = random(PAIRS.shape[1], 3, seed=1)
SCALARS = random(N_ATOMS, N_FEATURES, seed=4)
ROWS, OTHERS = random(N_ATOMS, 3 * N_FEATURES, seed=2), random(N_ATOMS, 3 * N_FEATURES, seed=3)


def by_loops(edges: Tensor, units: Tensor, rows: Tensor, others: Tensor, scalars: Tensor) -> dict[str, Tensor]:
    """What the functions mean."""
    n_pairs = PAIRS.shape[1]
    v, w = (vectors.view(N_ATOMS, 3, N_FEATURES) for vectors in (rows, others))
    transported, pushed = torch.zeros_like(v), torch.zeros_like(v)
    contracted, projected = torch.zeros(n_pairs, N_FEATURES).double(), torch.zeros(n_pairs, N_FEATURES).double()
    overlaps = torch.zeros(n_pairs, 3, dtype=torch.float64)
    sums, ends, products = torch.zeros_like(scalars), torch.zeros_like(edges), torch.zeros_like(edges)
    for p, (i, j) in enumerate(PAIRS.t().tolist()):
        sums[i] += edges[p]
        sums[j] += edges[p]
        ends[p], products[p] = scalars[i] + scalars[j], scalars[i] * scalars[j]
        for x in range(3):
            transported[i, x] += edges[p] * v[j, x]
            transported[j, x] += edges[p] * v[i, x]
            pushed[i, x] += edges[p] * units[p, x]
            pushed[j, x] -= edges[p] * units[p, x]
            contracted[p] += v[i, x] * w[j, x] + v[j, x] * w[i, x]
            projected[p] += units[p, x] * (v[i, x] - v[j, x])
            overlaps[p, x] = edges[p] @ (v[i, x] - v[j, x])
    return {
        "transport": transported.flatten(1), "push": pushed.flatten(1), "contract": contracted,
        "project": projected, "overlap": overlaps, "sum_to_atoms": sums, "sum_of_ends": ends,
        "product_of_ends": products,
    }  # fmt: skip


FUNCTIONS: dict[str, tuple[Callable[..., Tensor], tuple[Tensor, ...]]] = {
    "transport": (lambda e, v: incidence.transport(e, v, AT), (EDGES, ROWS)),
    "contract": (lambda v, w: incidence.contract(v, w, N_FEATURES, AT), (ROWS, OTHERS)),
    "push": (lambda e, u: incidence.push(e, u, AT), (EDGES, UNITS)),
    "project": (lambda u, v: incidence.project(u, v, AT), (UNITS, ROWS)),
    "overlap": (lambda e, v: incidence.overlap(e, v, AT), (EDGES, ROWS)),
    "sum_to_atoms": (lambda e: incidence.sum_to_atoms(e, AT), (EDGES,)),
    "sum_of_ends": (lambda v: incidence.sum_of_ends(v, AT), (SCALARS,)),
    "product_of_ends": (lambda v: incidence.product_of_ends(v, AT), (SCALARS,)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_their_definitions(name: str) -> None:
    function, arguments = FUNCTIONS[name]
    expected = by_loops(EDGES, UNITS, ROWS, OTHERS, SCALARS)[name]
    torch.testing.assert_close(function(*arguments), expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_derivatives_are_those_of_finite_differences(name: str) -> None:
    function, arguments = FUNCTIONS[name]
    assert torch.autograd.gradcheck(function, tuple(a.clone().requires_grad_() for a in arguments))


def test_silu_and_its_slope() -> None:
    x = torch.linspace(-30, 30, 41, dtype=torch.float64, requires_grad=True)
    value, slope = silu_and_slope(x)
    expected = torch.nn.functional.silu(x)
    torch.testing.assert_close(value, expected, rtol=0, atol=1e-14)
    torch.testing.assert_close(slope, torch.autograd.grad(expected.sum(), x)[0], rtol=0, atol=1e-14)
    assert torch.autograd.gradcheck(silu_and_slope, (x,))


def test_no_value_decides_what_a_training_step_does() -> None:
    """On tensors without values, where reading one raises: on a GPU the host never waits within a step."""
    with FakeTensorMode():
        potential = small_potential(torch.float32)
        optimizer = torch.optim.Adam(potential.network.parameters(), fused=True)
        numbers, positions = torch.ones(N_ATOMS, dtype=torch.int64), torch.zeros(N_ATOMS, 3)
        pairs, frames = torch.zeros(2, 6, dtype=torch.int64), torch.zeros_like(numbers)
        energies, forces = potential(numbers, positions, pairs, None, frames, 1)
        loss = energies.square().mean() + forces.square().mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(potential.network.parameters(), 1.0)
        optimizer.step()
        assert forces.shape == (N_ATOMS, 3)
        with pytest.raises(DataDependentOutputException):
            loss.item()


@pytest.mark.parametrize("name", ["transport", "contract", "overlap"])
def test_all_components_at_once_as_on_a_gpu(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    function, arguments = FUNCTIONS[name]
    expected = function(*arguments)
    monkeypatch.setattr(incidence, "_parts", lambda rows, n_features: [rows])
    torch.testing.assert_close(function(*arguments), expected, rtol=0, atol=1e-14)
