"""NewtonNet: numbers, pairs and displacements in, atomic energies and pair gradients out.

The network of Haghighatlari et al., Digital Discovery 1, 333 (2022), as its reference implementation
(version 2) has it, on half pair lists: each pair of atoms appears once. The message m_ij is symmetric,
so every edge quantity costs half of what a directed list costs.

The gradient of the energy is written out by hand beside the energy, out of ordinary differentiable
operations. One function thus serves inference (no autograd graph at all), TorchScript, and training
(a single backward pass through it gives the gradient of a loss on energies *and* forces).

Names ending in _bar are derivatives of the sum of scaled energies with respect to what they are named after.
Vectors of atoms are (n_atoms, 3 * n_features), one Cartesian component behind the other.
"""

import math
from typing import Any, List, NamedTuple, Optional, Tuple

import torch
from torch import Tensor, nn

from ffpt_core.incidence import (
    Incidence,
    contract,
    incidence,
    overlap,
    product_of_ends,
    project,
    push,
    sum_of_ends,
    sum_to_atoms,
    transport,
)

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


class _Silu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tuple[Tensor, Tensor]:
        sigmoid = torch.sigmoid(x)
        value = x * sigmoid
        slope = torch.addcmul(sigmoid + value, value, sigmoid, value=-1.0)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(sigmoid, value, slope)
        return value, slope

    @staticmethod
    def backward(ctx: Any, value_bar: Optional[Tensor], slope_bar: Optional[Tensor]) -> Optional[Tensor]:
        sigmoid, value, slope = ctx.saved_tensors
        if slope_bar is None:
            return None if value_bar is None else value_bar * slope
        # silu'' = (1 - sigmoid) (2 silu' - silu)
        excess = torch.sub(value, slope, alpha=2.0)
        minus_curvature = torch.addcmul(excess, excess, sigmoid, value=-1.0)
        if value_bar is None:
            return -slope_bar * minus_curvature
        return torch.addcmul(value_bar * slope, slope_bar, minus_curvature, value=-1.0)


def silu_and_slope(x: Tensor) -> Tuple[Tensor, Tensor]:
    """silu(x) and its derivative, from one sigmoid, both differentiable once more."""
    if torch.jit.is_scripting():
        sigmoid = torch.sigmoid(x)
        value = x * sigmoid
        return value, torch.addcmul(sigmoid + value, value, sigmoid, value=-1.0)
    return _Silu.apply(x)


class Geometry(NamedTuple):
    """What the layers see of the structure."""

    pairs: Incidence
    distances: Tensor  # (n_pairs,)
    units: Tensor  # (n_pairs, 3)
    radial: Tensor  # (n_pairs, n_basis)
    radial_slope: Tensor  # (n_pairs, n_basis)


class Saved(NamedTuple):
    """What the forward pass of a layer keeps for its gradient."""

    vectors: Optional[Tensor]  # before the layer; None where they are zero
    node_slope: Tensor
    phi: Tensor
    phi_product: Tensor
    weights: Tensor
    hidden: Tensor
    hidden_slope: Tensor
    transport: Optional[Tensor]
    transport_slope: Optional[Tensor]
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

    The sum over neighbours is taken before W4, which is linear: sum_j W4 h_ij u_ij = W4 sum_j h_ij u_ij. It then
    multiplies three rows per atom instead of one per pair, and e1 = W4 h is never formed.

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

    def forward(self, features: Tensor, vectors: Optional[Tensor], geometry: Geometry) -> Tuple[Tensor, Tensor, Saved]:
        """New features (n_atoms, n_features), new vectors (n_atoms, 3 * n_features), and what the gradient needs."""
        n_features = features.shape[1]
        node_hidden, node_slope = silu_and_slope(self.node_in(features))
        phi = self.node_out(node_hidden)
        phi_product = product_of_ends(phi, geometry.pairs)
        weights = self.radial(geometry.radial)
        message = weights * phi_product

        hidden, hidden_slope = silu_and_slope(self.direction_in(message))
        pushed = push(hidden, geometry.units, geometry.pairs)
        new_vectors = self.direction_out(pushed.view(-1, n_features)).view_as(pushed)
        e2: Optional[Tensor] = None
        transport_slope: Optional[Tensor] = None
        if vectors is not None:
            transport_hidden, transport_slope = silu_and_slope(self.transport_in(message))
            e2 = self.transport_out(transport_hidden)
            new_vectors = new_vectors + vectors + transport(e2, vectors, geometry.pairs)
        updated = self.update(new_vectors.view(-1, n_features)).view_as(pushed)
        norms = (new_vectors * updated).view(-1, 3, n_features).sum(1)
        saved = Saved(
            vectors, node_slope, phi, phi_product, weights, hidden, hidden_slope, e2, transport_slope,
            new_vectors, updated, self.node_in.weight, self.node_out.weight, self.radial.weight,
            self.direction_in.weight, self.direction_out.weight,
            self.transport_in.weight, self.transport_out.weight, self.update.weight,
        )  # fmt: skip
        return features + sum_to_atoms(message, geometry.pairs) + norms, new_vectors, saved


def layer_gradient(
    features_bar: Tensor, vectors_bar: Optional[Tensor], saved: Saved, geometry: Geometry
) -> Tuple[Tensor, Optional[Tensor], Tensor, Tensor]:
    """From derivatives with respect to what Interaction.forward returns to those with respect to what it takes.

    Returns:
        features_bar and vectors_bar before the layer (None where nothing depends on them), and the layer's share
        of the derivatives with respect to the radial functions and the unit vectors.
    """
    n_features = features_bar.shape[1]
    wide_bar = features_bar.repeat(1, 3)
    updated_bar = (wide_bar * saved.new_vectors).view(-1, n_features)
    new_bar = wide_bar * saved.updated + (updated_bar @ saved.w_update).view_as(wide_bar)
    if vectors_bar is not None:
        new_bar = new_bar + vectors_bar
    pushed_bar = (new_bar.view(-1, n_features) @ saved.w_direction_out).view_as(new_bar)
    units_bar = overlap(saved.hidden, pushed_bar, geometry.pairs)
    hidden_bar = project(geometry.units, pushed_bar, geometry.pairs)
    message_bar = (hidden_bar * saved.hidden_slope) @ saved.w_direction_in
    message_bar = message_bar + sum_of_ends(features_bar, geometry.pairs)

    vectors, e2, transport_slope = saved.vectors, saved.transport, saved.transport_slope
    old_vectors_bar: Optional[Tensor] = None
    if vectors is not None and e2 is not None and transport_slope is not None:
        e2_bar = contract(new_bar, vectors, n_features, geometry.pairs)
        transport_bar = (e2_bar @ saved.w_transport_out) * transport_slope
        message_bar = message_bar + transport_bar @ saved.w_transport_in
        old_vectors_bar = new_bar + transport(e2, new_bar, geometry.pairs)
        phi_bar = transport(message_bar * saved.weights, saved.phi, geometry.pairs)
        node_bar = (phi_bar @ saved.w_node_out) * saved.node_slope
        features_bar = features_bar + node_bar @ saved.w_node_in
    radial_bar = (message_bar * saved.phi_product) @ saved.w_radial
    return features_bar, old_vectors_bar, radial_bar, units_bar


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
        geometry = self.geometry(pairs, displacements, numbers.shape[0])
        features = self.embedding(numbers)
        vectors: Optional[Tensor] = None
        saved: List[Saved] = []
        for layer in self.layers:
            features, vectors, kept = layer(features, vectors, geometry)
            saved.append(kept)
        energies, features_bar = self.readout(features, scales)

        vectors_bar: Optional[Tensor] = None
        radial_bar = torch.zeros_like(geometry.radial)
        units_bar = torch.zeros_like(geometry.units)
        while len(saved) > 0:
            features_bar, vectors_bar, radial_share, units_share = layer_gradient(
                features_bar, vectors_bar, saved.pop(), geometry
            )
            radial_bar = radial_bar + radial_share
            units_bar = units_bar + units_share
        return energies, self.displacement_gradient(radial_bar, units_bar, geometry)

    def geometry(self, pairs: Tensor, displacements: Tensor, n_atoms: int) -> Geometry:
        """Distances, directions and radial functions of the pairs, and where they belong."""
        distances = torch.sqrt((displacements * displacements).sum(1))
        radial, radial_slope = self.radial_basis(distances)
        return Geometry(
            incidence(pairs, n_atoms, displacements.dtype),
            distances,
            displacements / distances.unsqueeze(1),
            radial,
            radial_slope,
        )

    def readout(self, features: Tensor, scales: Tensor) -> Tuple[Tensor, Tensor]:
        """(n_atoms,) energies, and the derivative of their scaled sum with respect to the features."""
        hidden_1, slope_1 = silu_and_slope(self.readout_in(features))
        hidden_2, slope_2 = silu_and_slope(self.readout_hidden(hidden_1))
        energies = self.readout_out(hidden_2).squeeze(1)
        hidden_bar = scales.unsqueeze(1) * self.readout_out.weight * slope_2
        hidden_bar = (hidden_bar @ self.readout_hidden.weight) * slope_1
        return energies, hidden_bar @ self.readout_in.weight

    def displacement_gradient(self, radial_bar: Tensor, units_bar: Tensor, geometry: Geometry) -> Tensor:
        """(n_pairs, 3): the chain rule from radial functions and unit vectors to displacements."""
        units, distances = geometry.units, geometry.distances
        distance_bar = (radial_bar * geometry.radial_slope).sum(1) - (units_bar * units).sum(1) / distances
        return units * distance_bar.unsqueeze(1) + units_bar / distances.unsqueeze(1)
