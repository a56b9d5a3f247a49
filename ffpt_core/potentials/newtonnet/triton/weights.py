"""The weights of a network as the kernels read them: (inputs, outputs), and (outputs, inputs) for the way back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from ffpt_core.potentials.newtonnet.network import Interaction, NewtonNet


@dataclass(frozen=True)
class LayerWeights:
    """Of one interaction layer; names as in DESIGN. A name that ends in _back is for products on the way back."""

    we: Tensor  # (rows of the radial functions, F), zero rows at the end
    w1: Tensor
    b1: Tensor
    w2: Tensor
    b2: Tensor
    w3: Tensor
    w4: Tensor
    w5: Tensor
    w6: Tensor
    wu: Tensor
    w1_back: Tensor
    w2_back: Tensor
    w3_back: Tensor
    w4_back: Tensor
    w5_back: Tensor
    w6_back: Tensor
    wu_back: Tensor


@dataclass(frozen=True)
class NetworkWeights:
    """Of a whole network."""

    layers: tuple[LayerWeights, ...]
    r1: Tensor  # the readout
    c1: Tensor
    r2: Tensor
    c2: Tensor
    r3: Tensor  # (F,)
    c3: Tensor  # (1,)
    r1_back: Tensor
    r2_back: Tensor
    frequencies: Tensor  # of the radial functions


def weights_of(network: NewtonNet, n_rows: int) -> NetworkWeights:
    """Copies of the weights of a network.

    Args:
        network: on its device.
        n_rows: rows of the radial functions in the kernels' arrays, at least network.n_basis.
    """
    readout = (network.readout_in, network.readout_hidden, network.readout_out)
    (r1, c1), (r2, c2), (r3, c3) = ((linear.weight.detach(), linear.bias.detach()) for linear in readout)
    return NetworkWeights(
        layers=tuple(_layer(layer, n_rows) for layer in cast(list[Interaction], network.layers)),
        r1=_there(r1),
        c1=c1.clone(),
        r2=_there(r2),
        c2=c2.clone(),
        r3=r3[0].clone(),
        c3=c3.clone(),
        r1_back=_back(r1),
        r2_back=_back(r2),
        frequencies=cast(Tensor, network.radial_basis.frequencies).clone(),
    )


def _layer(layer: Interaction, n_rows: int) -> LayerWeights:
    radial = layer.radial.weight.detach()
    we = radial.new_zeros(n_rows, radial.shape[0])
    we[: radial.shape[1]] = radial.t()
    linear = {
        "w1": layer.node_in,
        "w2": layer.node_out,
        "w3": layer.direction_in,
        "w4": layer.direction_out,
        "w5": layer.transport_in,
        "w6": layer.transport_out,
        "wu": layer.update,
    }
    there = {name: _there(one.weight.detach()) for name, one in linear.items()}
    back = {f"{name}_back": _back(one.weight.detach()) for name, one in linear.items()}
    biases = {"b1": layer.node_in.bias.detach().clone(), "b2": layer.node_out.bias.detach().clone()}
    return LayerWeights(we=we, **there, **back, **biases)


def _there(weight: Tensor) -> Tensor:
    return weight.t().contiguous()


def _back(weight: Tensor) -> Tensor:
    return weight.clone(memory_format=torch.contiguous_format)
