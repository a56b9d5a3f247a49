"""NewtonNet: numbers, pairs and displacements in, atomic energies and pair gradients out.

The network of Haghighatlari et al., Digital Discovery 1, 333 (2022), as its reference implementation
(version 2) has it, on half pair lists: each pair of atoms appears once. The message m_ij is symmetric,
so every edge quantity costs half of what a directed list costs.

The gradient of the energy is written out by hand beside the energy, out of ordinary differentiable
operations. One function thus serves inference (no autograd graph at all), TorchScript, and training
(a single backward pass through it gives the gradient of a loss on energies *and* forces).
"""

import math
from typing import Any, List, NamedTuple, Optional, Tuple

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

N_ATOMIC_NUMBERS = 119  # 0 (padding) to 118, as the reference implementation's tables


class RadialBasis(nn.Module):
    """Bessel functions under a polynomial envelope, zero from the cutoff on.

    b_n(x) = envelope(x) sin(n pi x) / x with x = r / cutoff and
    envelope(x) = 1 - (p+1)(p+2)/2 x^p + p(p+2) x^(p+1) - p(p+1)/2 x^(p+2), p = 9
    (Gasteiger et al., arXiv 2003.03123, eq. 8).
    """

    def __init__(self, n_basis: int, cutoff: float) -> None:
        super().__init__()
        self.cutoff = cutoff
        self.register_buffer("frequencies", math.pi * torch.arange(1, n_basis + 1, dtype=torch.float64))

    def forward(self, distances: Tensor) -> Tuple[Tensor, Tensor]:
        """Values and derivatives of the radial functions.

        Args:
            distances: (n_pairs,) Angstrom, greater than zero. Beyond the cutoff both results are zero.

        Returns:
            (n_pairs, n_basis) values, and (n_pairs, n_basis) derivatives, 1/Angstrom.
        """
        # 1 exactly at the cutoff, where the envelope and its derivative vanish: a pair list may hold
        # pairs beyond the cutoff (a skin, all pairs of a small molecule) without changing the result.
        x = (distances / self.cutoff).clamp(max=1.0).unsqueeze(1)
        x8 = x**8
        envelope = 1.0 + x8 * x * (-55.0 + x * (99.0 - 45.0 * x))
        envelope_slope = x8 * (-495.0 + x * (990.0 - 495.0 * x))
        phase = self.frequencies * x
        wave = torch.sin(phase) / x
        wave_slope = (self.frequencies * torch.cos(phase) - wave) / x
        return envelope * wave, (envelope_slope * wave + envelope * wave_slope) / self.cutoff


class Interaction(nn.Module):
    """The weights of one message-passing layer (names as in DESIGN: W1..W6, We, Wu)."""

    def __init__(self, n_features: int, n_basis: int) -> None:
        super().__init__()
        self.node_in = nn.Linear(n_features, n_features)  # W1, b1
        self.node_out = nn.Linear(n_features, n_features)  # W2, b2
        self.radial = nn.Linear(n_basis, n_features, bias=False)  # We
        self.direction_in = nn.Linear(n_features, n_features, bias=False)  # W3
        self.direction_out = nn.Linear(n_features, n_features, bias=False)  # W4
        self.transport_in = nn.Linear(n_features, n_features, bias=False)  # W5
        self.transport_out = nn.Linear(n_features, n_features, bias=False)  # W6
        self.update = nn.Linear(n_features, n_features, bias=False)  # Wu


class _SiluGradient(torch.autograd.Function):
    """gradient * silu'(x), differentiable once more: PyTorch's fused kernel for it is not."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, x: Tensor) -> Tensor:
        ctx.save_for_backward(gradient, x)
        return torch.ops.aten.silu_backward(gradient, x)

    @staticmethod
    def backward(ctx: Any, outer: Tensor) -> Tuple[Tensor, Tensor]:
        gradient, x = ctx.saved_tensors
        sigmoid = torch.sigmoid(x)
        complement = 1.0 - sigmoid
        curvature = sigmoid * complement * (2.0 + x * (complement - sigmoid))  # silu''(x)
        return torch.ops.aten.silu_backward(outer, x), outer * gradient * curvature


def _silu_gradient(gradient: Tensor, x: Tensor) -> Tensor:
    if torch.jit.is_scripting():
        return torch.ops.aten.silu_backward(gradient, x)
    return _SiluGradient.apply(gradient, x)


def _sum_to_atoms(like: Tensor, index: Tensor, values: Tensor) -> Tensor:
    """Sum pair values of atoms index into an array of the shape of like."""
    return torch.zeros_like(like).index_add(0, index, values)


class _Saved(NamedTuple):
    """What the forward pass of a layer keeps for the hand-written backward pass."""

    features: Tensor
    vectors: Tensor
    node_hidden: Tensor
    phi_i: Tensor
    phi_j: Tensor
    weights: Tensor
    direction_hidden: Tensor
    direction: Tensor
    transport_hidden: Tensor
    transport: Tensor
    vectors_i: Tensor
    vectors_j: Tensor
    new_vectors: Tensor
    updated: Tensor
    # TorchScript cannot walk a ModuleList backwards, so the weights travel with what they produced.
    w_node_in: Tensor
    w_node_out: Tensor
    w_radial: Tensor
    w_direction_in: Tensor
    w_direction_out: Tensor
    w_transport_in: Tensor
    w_transport_out: Tensor
    w_update: Tensor


class NewtonNet(nn.Module):
    """The network. Energies are per atom, before the scales and shifts of a Potential.

    Args:
        n_features: width of atom, vector and edge features.
        n_basis: number of radial functions.
        n_layers: number of message-passing layers.
        cutoff: Angstrom.
    """

    def __init__(self, n_features: int = 128, n_basis: int = 20, n_layers: int = 3, cutoff: float = 5.0) -> None:
        super().__init__()
        self.n_features = n_features
        self.n_basis = n_basis
        self.n_layers = n_layers
        self.cutoff = cutoff
        self.embedding = nn.Embedding(N_ATOMIC_NUMBERS, n_features, padding_idx=0)
        self.radial_basis = RadialBasis(n_basis, cutoff)
        self.layers = nn.ModuleList([Interaction(n_features, n_basis) for _ in range(n_layers)])
        self.readout_in = nn.Linear(n_features, n_features)
        self.readout_hidden = nn.Linear(n_features, n_features)
        self.readout_out = nn.Linear(n_features, 1)
        self.to(torch.get_default_dtype())

    def forward(self, numbers: Tensor, pairs: Tensor, displacements: Tensor, scales: Tensor) -> Tuple[Tensor, Tensor]:
        """Atomic energies, and the gradient of their scaled sum with respect to the displacements.

        Args:
            numbers: (n_atoms,) int64, atomic numbers.
            pairs: (2, n_pairs) int64, each pair once; a periodic pair list may name an atom twice in a pair.
            displacements: (n_pairs, 3) r_i - r_j, Angstrom, of the pairs' first atom i and second atom j.
            scales: (n_atoms,) weight of each atomic energy in the sum that is differentiated.

        Returns:
            (n_atoms,) atomic energies without scales, and (n_pairs, 3) d(sum scales * energies)/d(displacements).
        """
        first, second = pairs[0], pairs[1]
        distances = torch.sqrt((displacements * displacements).sum(1))
        units = displacements / distances.unsqueeze(1)
        direction = units.unsqueeze(2)  # (n_pairs, 3, 1)
        radial, radial_slope = self.radial_basis(distances)

        # Forward. The first layer has no vectors to transport: W5 and W6 would multiply zeros.
        features = self.embedding(numbers)
        vectors: Optional[Tensor] = None
        saved: List[_Saved] = []
        none = torch.zeros(0, dtype=features.dtype, device=features.device)
        for layer in self.layers:
            node_hidden = layer.node_in(features)
            phi = layer.node_out(silu(node_hidden))
            phi_i, phi_j = phi.index_select(0, first), phi.index_select(0, second)
            weights = layer.radial(radial)
            message = weights * phi_i * phi_j
            summed = features.index_add(0, first, message).index_add(0, second, message)

            direction_hidden = layer.direction_in(message)
            e1 = layer.direction_out(silu(direction_hidden))
            along = e1.unsqueeze(1) * direction
            if vectors is None:
                zeros = features.new_zeros(features.shape[0], 3, self.n_features)
                new_vectors = zeros.index_add(0, first, along).index_add(0, second, -along)
                transport_hidden, e2, vectors_i, vectors_j, old_vectors = none, none, none, none, none
            else:
                transport_hidden = layer.transport_in(message)
                e2 = layer.transport_out(silu(transport_hidden))
                vectors_i, vectors_j = vectors.index_select(0, first), vectors.index_select(0, second)
                e2_wide = e2.unsqueeze(1)
                new_vectors = vectors.index_add(0, first, torch.addcmul(along, e2_wide, vectors_j))
                new_vectors = new_vectors.index_add(0, second, torch.addcmul(-along, e2_wide, vectors_i))
                old_vectors = vectors
            updated = layer.update(new_vectors)
            saved.append(
                _Saved(
                    features, old_vectors, node_hidden, phi_i, phi_j, weights, direction_hidden, e1,
                    transport_hidden, e2, vectors_i, vectors_j, new_vectors, updated,
                    layer.node_in.weight, layer.node_out.weight, layer.radial.weight,
                    layer.direction_in.weight, layer.direction_out.weight,
                    layer.transport_in.weight, layer.transport_out.weight, layer.update.weight,
                )
            )  # fmt: skip
            features = summed + (new_vectors * updated).sum(1)
            vectors = new_vectors

        readout_1 = self.readout_in(features)
        readout_2 = self.readout_hidden(silu(readout_1))
        energies = self.readout_out(silu(readout_2)).squeeze(1)

        # Backward, by hand: each name ending in _bar is d(sum scales * energies)/d(name).
        hidden_bar = _silu_gradient(scales.unsqueeze(1) * self.readout_out.weight, readout_2)
        hidden_bar = _silu_gradient(hidden_bar @ self.readout_hidden.weight, readout_1)
        features_bar = hidden_bar @ self.readout_in.weight
        vectors_bar: Optional[Tensor] = None
        radial_bar = torch.zeros_like(radial)
        units_bar = torch.zeros_like(units)
        while len(saved) > 0:
            kept = saved.pop()
            is_first = len(saved) == 0
            wide_bar = features_bar.unsqueeze(1)
            new_bar = wide_bar * kept.updated + (wide_bar * kept.new_vectors) @ kept.w_update
            if vectors_bar is not None:
                new_bar = new_bar + vectors_bar
            bar_i, bar_j = new_bar.index_select(0, first), new_bar.index_select(0, second)
            difference = bar_i - bar_j
            units_bar = units_bar + (difference * kept.direction.unsqueeze(1)).sum(2)
            e1_bar = (difference * direction).sum(1)
            message_bar = _silu_gradient(e1_bar @ kept.w_direction_out, kept.direction_hidden) @ kept.w_direction_in
            if not is_first:
                e2_bar = (bar_i * kept.vectors_j + bar_j * kept.vectors_i).sum(1)
                message_bar = (
                    message_bar
                    + _silu_gradient(e2_bar @ kept.w_transport_out, kept.transport_hidden) @ kept.w_transport_in
                )
            message_bar = message_bar + features_bar.index_select(0, first) + features_bar.index_select(0, second)
            node_product = kept.phi_i * kept.phi_j
            radial_bar = radial_bar + (message_bar * node_product) @ kept.w_radial
            if not is_first:  # the first layer's features depend on the elements alone
                e2_wide = kept.transport.unsqueeze(1)
                vectors_bar = new_bar.index_add(0, second, e2_wide * bar_i).index_add(0, first, e2_wide * bar_j)
                weighted = message_bar * kept.weights
                phi_bar = _sum_to_atoms(features_bar, first, weighted * kept.phi_j)
                phi_bar = phi_bar.index_add(0, second, weighted * kept.phi_i)
                features_bar = (
                    features_bar + _silu_gradient(phi_bar @ kept.w_node_out, kept.node_hidden) @ kept.w_node_in
                )

        distance_bar = (radial_bar * radial_slope).sum(1) - (units_bar * units).sum(1) / distances
        return energies, units * distance_bar.unsqueeze(1) + units_bar / distances.unsqueeze(1)
