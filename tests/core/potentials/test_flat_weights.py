"""Weights as one tensor: the same optimisation, the same checkpoints."""

from __future__ import annotations

import copy

import torch

from ffpt_core.potentials.flat_weights import FlatWeights
from ffpt_core.potentials.newtonnet.network import NewtonNet


def _network() -> NewtonNet:
    torch.manual_seed(0)
    return NewtonNet(n_features=8, n_basis=3, n_layers=2, cutoff=4.0).double()


def test_an_optimiser_of_one_tensor_does_what_one_of_all_weights_does() -> None:
    """Also from each other's states: four steps, of which two after an exchange."""
    apart, together = _network(), _network()
    flat = FlatWeights(together)
    weights = list(apart.parameters())
    one, other = torch.optim.Adam(weights, lr=0.01), torch.optim.Adam([flat.tensor], lr=0.01)
    assert flat.joined(one.state_dict())["state"] == {} and flat.divided(other.state_dict())["state"] == {}
    for _ in range(2):
        generator = torch.Generator().manual_seed(2)
        gradients = [[torch.randn(w.shape, generator=generator, dtype=w.dtype) for w in weights] for _ in range(2)]
        for step in gradients:
            for weight, gradient in zip(weights, step, strict=True):
                weight.grad = gradient.clone()
            flat.tensor.grad = torch.cat([gradient.reshape(-1) for gradient in step])
            one.step()
            other.step()
        for weight, part in zip(weights, together.parameters(), strict=True):
            torch.testing.assert_close(part, weight, rtol=0, atol=1e-15)
        of_one, of_other = copy.deepcopy(one.state_dict()), copy.deepcopy(other.state_dict())
        assert flat.divided(of_other)["param_groups"] == of_one["param_groups"]
        assert flat.joined(of_one)["param_groups"] == of_other["param_groups"]
        one.load_state_dict(flat.divided(of_other))
        other.load_state_dict(flat.joined(of_one))


def test_parameters_stay_parts_of_the_tensor() -> None:
    network = _network()
    before = copy.deepcopy(network.state_dict())
    flat = FlatWeights(network)
    for key, value in network.state_dict().items():
        assert torch.equal(value, before[key]), key
    network.load_state_dict({key: 2 * value for key, value in before.items()})
    embedding = before["embedding.weight"]
    assert torch.equal(flat.parts(flat.tensor)[0], 2 * embedding)
    with torch.no_grad():
        flat.tensor.zero_()
    assert all(not weight.any() for weight in network.parameters())
    alone = copy.deepcopy(network)
    with torch.no_grad():
        flat.tensor.fill_(1.0)
    assert not alone.embedding.weight.any()
