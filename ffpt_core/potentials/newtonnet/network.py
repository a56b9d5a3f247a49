"""NewtonNet: numbers, pairs and displacements in, atomic energies and pair gradients out.

The network of Haghighatlari et al., Digital Discovery 1, 333 (2022), as its reference implementation
(version 2) has it, on half pair lists: each pair of atoms appears once. The message m_ij is symmetric,
so every edge quantity costs half of what a directed list costs.

The gradient of the energy is written out by hand beside the energy, out of ordinary differentiable
operations. One function thus serves inference (no autograd graph at all), TorchScript, and training
(a single backward pass through it gives the gradient of a loss on energies *and* forces).
"""

import math
from typing import Any, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import silu

from ffpt_core.potentials.network import N_ATOMIC_NUMBERS, Network, NetworkSettings
from ffpt_core.potentials.pair_index import PairIndex, add_pairs, at_pairs, rows_of


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

    def forward(self, distances: Tensor) -> tuple[Tensor, Tensor]:
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


class _SiluGradient(torch.autograd.Function):
    """gradient * silu'(x), differentiable once more: PyTorch's fused kernel for it is not."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, x: Tensor) -> Tensor:
        ctx.save_for_backward(gradient, x)
        return torch.ops.aten.silu_backward(gradient, x)

    @staticmethod
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor, Tensor]:
        gradient, x = ctx.saved_tensors
        sigmoid = torch.sigmoid(x)
        complement = 1.0 - sigmoid
        curvature = sigmoid * complement * (2.0 + x * (complement - sigmoid))  # silu''(x)
        return torch.ops.aten.silu_backward(outer, x), outer * gradient * curvature


def silu_gradient(gradient: Tensor, x: Tensor) -> Tensor:
    """gradient * silu'(x), in TorchScript too."""
    if torch.jit.is_scripting():
        return torch.ops.aten.silu_backward(gradient, x)
    return _SiluGradient.apply(gradient, x)


class Geometry(NamedTuple):
    """What the layers see of the structure."""

    pairs: PairIndex
    distances: Tensor  # (n_pairs,)
    units: Tensor  # (n_pairs, 3)
    radial: Tensor  # (n_pairs, n_basis)
    radial_slope: Tensor  # (n_pairs, n_basis)


class Saved(NamedTuple):
    """What the forward pass of a layer keeps for its gradient. The first layer transports no vectors."""

    node_hidden: Tensor
    phi_i: Tensor
    phi_j: Tensor
    weights: Tensor
    direction_hidden: Tensor
    direction: Tensor
    transport_hidden: Tensor | None
    transport: Tensor | None
    vectors_i: Tensor | None
    vectors_j: Tensor | None
    new_vectors: Tensor
    updated: Tensor
    # TorchScript cannot walk a ModuleList backwards, so the weight matrices travel with what they produced.
    w_node_in: Tensor
    w_node_out: Tensor
    w_radial: Tensor
    w_direction_in: Tensor
    w_direction_out: Tensor
    w_transport_in: Tensor
    w_transport_out: Tensor
    w_update: Tensor


class Interaction(nn.Module):
    """One message-passing layer (names as in DESIGN: W1..W6, We, Wu).

    Args:
        n_features: width of atom, vector and edge features.
        n_basis: number of radial functions.
    """

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

    def forward(self, features: Tensor, vectors: Tensor | None, geometry: Geometry) -> tuple[Tensor, Tensor, Saved]:
        """New features (n_atoms, n_features), new vectors (n_atoms, 3, n_features), and what the gradient needs.

        The first layer has no vectors to transport: W5 and W6 would multiply zeros.
        """
        pairs = geometry.pairs
        node_hidden = self.node_in(features)
        phi = self.node_out(silu(node_hidden))
        phi_i, phi_j = at_pairs(phi, pairs)
        weights = self.radial(geometry.radial)
        message = weights * phi_i * phi_j

        direction_hidden = self.direction_in(message)
        e1 = self.direction_out(silu(direction_hidden))
        along = e1.unsqueeze(1) * geometry.units.unsqueeze(2)
        transport_hidden: Tensor | None = None
        e2: Tensor | None = None
        vectors_i: Tensor | None = None
        vectors_j: Tensor | None = None
        if vectors is None:
            zeros = features.new_zeros(features.shape[0], 3, features.shape[1])
            new_vectors = add_pairs(zeros, along, -along, pairs)
        else:
            transport_hidden = self.transport_in(message)
            e2 = self.transport_out(silu(transport_hidden))
            vectors_i, vectors_j = at_pairs(vectors, pairs)
            e2_wide = e2.unsqueeze(1)
            to_first, to_second = torch.addcmul(along, e2_wide, vectors_j), torch.addcmul(-along, e2_wide, vectors_i)
            new_vectors = add_pairs(vectors, to_first, to_second, pairs)
        updated = self.update(new_vectors)
        saved = Saved(
            node_hidden, phi_i, phi_j, weights, direction_hidden, e1, transport_hidden, e2, vectors_i, vectors_j,
            new_vectors, updated, self.node_in.weight, self.node_out.weight, self.radial.weight,
            self.direction_in.weight, self.direction_out.weight,
            self.transport_in.weight, self.transport_out.weight, self.update.weight,
        )  # fmt: skip
        summed = add_pairs(features, message, message, pairs)
        return summed + (new_vectors * updated).sum(1), new_vectors, saved


def layer_gradient(
    features_bar: Tensor, vectors_bar: Tensor | None, saved: Saved, geometry: Geometry
) -> tuple[Tensor, Tensor | None, Tensor, Tensor]:
    """From derivatives with respect to what Interaction.forward returns to those with respect to what it takes.

    Each name ending in _bar is d(sum scales * energies)/d(name).

    Returns:
        features_bar and vectors_bar before the layer (those after it and None for the first layer, whose features
        depend on the elements alone), and the layer's share of the derivatives with respect to the radial functions
        and the unit vectors.
    """
    pairs = geometry.pairs
    wide_bar = features_bar.unsqueeze(1)
    new_bar = wide_bar * saved.updated + (wide_bar * saved.new_vectors) @ saved.w_update
    if vectors_bar is not None:
        new_bar = new_bar + vectors_bar
    bar_i, bar_j = at_pairs(new_bar, pairs)
    difference = bar_i - bar_j
    units_bar = (difference * saved.direction.unsqueeze(1)).sum(2)
    e1_bar = (difference * geometry.units.unsqueeze(2)).sum(1)
    message_bar = silu_gradient(e1_bar @ saved.w_direction_out, saved.direction_hidden) @ saved.w_direction_in
    old_vectors_bar: Tensor | None = None
    e2, transport_hidden, vectors_i, vectors_j = (
        saved.transport,
        saved.transport_hidden,
        saved.vectors_i,
        saved.vectors_j,
    )
    if e2 is not None and transport_hidden is not None and vectors_i is not None and vectors_j is not None:
        e2_wide = e2.unsqueeze(1)
        old_vectors_bar = add_pairs(new_bar, e2_wide * bar_j, e2_wide * bar_i, pairs)
        e2_bar = (bar_i * vectors_j + bar_j * vectors_i).sum(1)
        hidden_bar = silu_gradient(e2_bar @ saved.w_transport_out, transport_hidden)
        message_bar = message_bar + hidden_bar @ saved.w_transport_in
    features_bar_i, features_bar_j = at_pairs(features_bar, pairs)
    message_bar = message_bar + features_bar_i + features_bar_j
    radial_bar = (message_bar * (saved.phi_i * saved.phi_j)) @ saved.w_radial
    if old_vectors_bar is None:
        return features_bar, None, radial_bar, units_bar
    weighted = message_bar * saved.weights
    phi_bar = add_pairs(torch.zeros_like(features_bar), weighted * saved.phi_j, weighted * saved.phi_i, pairs)
    node_bar = silu_gradient(phi_bar @ saved.w_node_out, saved.node_hidden)
    return features_bar + node_bar @ saved.w_node_in, old_vectors_bar, radial_bar, units_bar


class NewtonNetSettings(NetworkSettings):
    """Sizes of a NewtonNet."""

    n_features: int = Field(128, gt=0, description="width of atom, vector and edge features")
    n_basis: int = Field(20, gt=0, description="number of radial functions")
    n_layers: int = Field(3, gt=0, description="number of message-passing layers")


class NewtonNet(Network):
    """The network. Energies are per atom, before the scales and shifts of a potential.

    Args:
        n_features: width of atom, vector and edge features.
        n_basis: number of radial functions.
        n_layers: number of message-passing layers.
        cutoff: Angstrom.
    """

    Settings = NewtonNetSettings
    kind = "newtonnet"

    def __init__(self, n_features: int = 128, n_basis: int = 20, n_layers: int = 3, cutoff: float = 5.0) -> None:
        super().__init__(n_features=n_features, n_basis=n_basis, n_layers=n_layers, cutoff=cutoff)
        self.n_features = n_features
        self.n_basis = n_basis
        self.n_layers = n_layers
        self.embedding = nn.Embedding(N_ATOMIC_NUMBERS, n_features, padding_idx=0)
        self.radial_basis = RadialBasis(n_basis, cutoff)
        self.layers = nn.ModuleList([Interaction(n_features, n_basis) for _ in range(n_layers)])
        self.readout_in = nn.Linear(n_features, n_features)
        self.readout_hidden = nn.Linear(n_features, n_features)
        self.readout_out = nn.Linear(n_features, 1)
        self.to(torch.get_default_dtype())

    @torch.jit.unused
    def divide(self, factor: float) -> None:
        """In the last layer of the readout."""
        self.readout_out.weight.div_(factor)
        self.readout_out.bias.div_(factor)

    def forward(
        self, numbers: Tensor, pairs: PairIndex, displacements: Tensor, scales: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Atomic energies, and the gradient of their scaled sum with respect to the displacements.

        Args:
            numbers: (n_atoms,) int64, atomic numbers.
            pairs: each pair once; a periodic pair list may name an atom twice in a pair.
            displacements: (n_pairs, 3) r_i - r_j, Angstrom, of the pairs' first atom i and second atom j.
            scales: (n_atoms,) weight of each atomic energy in the sum that is differentiated.

        Returns:
            (n_atoms,) atomic energies without scales, and (n_pairs, 3) d(sum scales * energies)/d(displacements).
        """
        geometry = self.geometry(pairs, displacements)
        features = self.embedding(numbers) if torch.jit.is_scripting() else rows_of(self.embedding.weight, numbers)
        vectors: Tensor | None = None
        saved: list[Saved] = []
        for layer in self.layers:
            features, vectors, kept = layer(features, vectors, geometry)
            saved.append(kept)
        energies, features_bar = self.readout(features, scales)

        vectors_bar: Tensor | None = None
        radial_bar = torch.zeros_like(geometry.radial)
        units_bar = torch.zeros_like(geometry.units)
        while len(saved) > 0:
            features_bar, vectors_bar, radial_share, units_share = layer_gradient(
                features_bar, vectors_bar, saved.pop(), geometry
            )
            radial_bar = radial_bar + radial_share
            units_bar = units_bar + units_share
        return energies, self.displacement_gradient(radial_bar, units_bar, geometry)

    def geometry(self, pairs: PairIndex, displacements: Tensor) -> Geometry:
        """Distances, directions and radial functions of the pairs."""
        distances = torch.sqrt((displacements * displacements).sum(1))
        radial, radial_slope = self.radial_basis(distances)
        return Geometry(pairs, distances, displacements / distances.unsqueeze(1), radial, radial_slope)

    def readout(self, features: Tensor, scales: Tensor) -> tuple[Tensor, Tensor]:
        """(n_atoms,) energies, and the derivative of their scaled sum with respect to the features."""
        hidden_1 = self.readout_in(features)
        hidden_2 = self.readout_hidden(silu(hidden_1))
        energies = self.readout_out(silu(hidden_2)).squeeze(1)
        hidden_bar = silu_gradient(scales.unsqueeze(1) * self.readout_out.weight, hidden_2)
        hidden_bar = silu_gradient(hidden_bar @ self.readout_hidden.weight, hidden_1)
        return energies, hidden_bar @ self.readout_in.weight

    def displacement_gradient(self, radial_bar: Tensor, units_bar: Tensor, geometry: Geometry) -> Tensor:
        """(n_pairs, 3): the chain rule from radial functions and unit vectors to displacements."""
        units, distances = geometry.units, geometry.distances
        distance_bar = (radial_bar * geometry.radial_slope).sum(1) - (units_bar * units).sum(1) / distances
        return units * distance_bar.unsqueeze(1) + units_bar / distances.unsqueeze(1)
