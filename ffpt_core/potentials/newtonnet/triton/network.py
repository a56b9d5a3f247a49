"""The launches of one evaluation, in order, on arrays that stay where they are."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from ffpt_core.potentials.newtonnet.network import Interaction, NewtonNet
from ffpt_core.potentials.newtonnet.triton import kernels
from ffpt_core.potentials.newtonnet.triton.pair_list import PairList
from ffpt_core.potentials.newtonnet.triton.weights import LayerWeights, weights_of
from ffpt_core.potentials.scaled_network import ScaledNetwork

_PAIRS, _ATOMS = 16, 4
"""Pairs and atoms of a program that multiplies: the fewest rows that a product can have (four for each atom)."""

_NEIGHBOURS, _COLUMNS = 16, 32
"""Pairs and features of an atom that a program sums at once."""

_GEOMETRY = 64
"""Pairs of a program that computes radial functions."""

SEPARATE = 16
"""Parts of inputs and outputs begin at multiples of this, which kernels are compiled for."""


class TritonNetwork:
    """Energies of atoms, forces and virial of a fixed list of atoms, from positions and a pair list on a device.

    The weights are copied. ``launch`` reads ``inputs`` and the pair list and fills ``outputs``, without waiting for the
    device: a CUDA graph can record it.

    Args:
        scaled: a NewtonNet with shifts and scales.
        numbers: (n_atoms,) int64, atomic numbers, of all copies.
        pairs: the pair list.
        periodic: whether shifts and cell count.

    Attributes:
        inputs: float64: the cell, and from SEPARATE on the positions, Angstrom.
        outputs: float64: the virial, eV; from SEPARATE on the energies of atoms without shifts, eV; from forces_at
            on the forces, eV/Angstrom.
    """

    def __init__(self, scaled: ScaledNetwork, numbers: Tensor, pairs: PairList, periodic: bool) -> None:
        network, device, kind = cast(NewtonNet, scaled.network), scaled.device, scaled.dtype
        n, capacity, f = len(numbers), pairs.capacity, network.n_features
        self._f, self._n_basis = f, network.n_basis
        self._b = 32 * -(-network.n_basis // 32)
        self._pairs, self._periodic, self._n_atoms = pairs, periodic, n
        self._cutoff = scaled.cutoff
        self._weights = weights_of(network, self._b)
        n_layers = len(self._weights.layers)

        def array(*shape: int, dtype: torch.dtype = kind) -> Tensor:
            return torch.zeros(shape, dtype=dtype, device=device)

        self.forces_at = SEPARATE * (2 + n // SEPARATE)
        self.inputs = array(SEPARATE + 3 * n, dtype=torch.float64)
        self.outputs = array(self.forces_at + 3 * n, dtype=torch.float64)
        self._virials = array(n, 9, dtype=torch.float64)
        self._scales = scaled.scales.index_select(0, numbers).to(kind)
        self._units, self._displacements, self._gradients = array(capacity, 3), array(capacity, 3), array(capacity, 3)
        self._distances, self._active = array(capacity), array(capacity, dtype=torch.int32)
        self._rank, self._order = array(capacity, dtype=torch.int32), array(capacity, dtype=torch.int32)
        self._count = array(1, dtype=torch.int32)
        self._radial, self._slopes = array(capacity, self._b), array(capacity, self._b)
        self._message, self._weighted = array(capacity, f), array(capacity, f)
        self._h1 = [array(capacity, f) for _ in range(n_layers)]
        self._h2 = [array(capacity, f) for _ in range(n_layers - 1)]
        self._e2 = [array(capacity, f) for _ in range(n_layers - 1)]
        self._summed, self._along, self._carried = array(n, f), array(n, 3, f), array(n, 3, f)
        self._features, self._phi_bar = array(n, f), array(n, f)
        self._features_bar = [array(n, f), array(n, f)]
        self._vectors_bar, self._old_vectors_bar, self._turned = array(n, 3, f), array(n, 3, f), array(n, 3, f)
        self._work = array(n, 3, f)
        self._vectors = [array(n, 3, f) for _ in range(n_layers)]
        self._updated = [array(n, 3, f) for _ in range(n_layers)]
        self._hidden = [array(n, f) for _ in range(n_layers - 1)]
        self._phi = [array(n, f) for _ in range(n_layers)]
        with torch.no_grad():  # what the first layer starts from depends on the elements alone
            self._embedded = network.embedding(numbers).detach().clone()
            first = cast(Interaction, network.layers[0])
            self._phi[0].copy_(first.node_out(torch.nn.functional.silu(first.node_in(self._embedded))))

    def launch(self) -> None:
        """Everything, in the order of ffpt_core.potentials.newtonnet.network."""
        self._geometry()
        for k, layer in enumerate(self._weights.layers):
            self._forward(k, layer)
        for k in reversed(range(len(self._weights.layers))):
            self._backward(k)
        self._forces()

    def _geometry(self) -> None:
        pairs = self._pairs
        grid = (pairs.capacity // _GEOMETRY,)
        kernels.geometry[grid](
            self.inputs[SEPARATE:], self.inputs, pairs.first, pairs.second, pairs.shifts, pairs.n_pairs,
            self._weights.frequencies, self._units, self._distances, self._active, self._radial, self._slopes,
            self._displacements, self._cutoff, self._n_basis,
            PERIODIC=self._periodic, BLOCK=_GEOMETRY, B=self._b,
        )  # fmt: skip
        torch.cumsum(self._active, 0, dtype=torch.int32, out=self._rank)
        kernels.compact[grid](
            self._active, self._rank, self._order, self._count, pairs.capacity, BLOCK=_GEOMETRY
        )  # fmt: skip

    def _forward(self, k: int, layer: LayerWeights) -> None:
        """Layer k; after the last one the readout and the start of the way back."""
        pairs, n, f = self._pairs, self._n_atoms, self._f
        transport, last = k > 0, k == len(self._weights.layers) - 1
        h2, e2 = (self._h2[k - 1], self._e2[k - 1]) if transport else (self._message, self._message)
        kernels.pairs_forward[(pairs.capacity // _PAIRS,)](
            self._order, self._count, pairs.first, pairs.second, self._radial, self._phi[k],
            layer.we, layer.w3, layer.w5, layer.w6, self._message, self._h1[k], h2, e2,
            TRANSPORT=transport, BLOCK=_PAIRS, F=f, B=self._b,
        )  # fmt: skip
        kernels.atoms_gather[(n, f // _COLUMNS)](
            pairs.starts, pairs.incident, pairs.others, self._distances, self._units, self._message, self._h1[k], e2,
            self._features if transport else self._embedded, self._vectors[k - 1] if transport else self._along,
            self._summed, self._along, self._carried, self._cutoff,
            TRANSPORT=transport, BLOCK=_NEIGHBOURS, F=f, COLUMNS=_COLUMNS, num_warps=1,
        )  # fmt: skip
        grid = (-(-n // _ATOMS),)
        weights = self._weights
        if last:
            kernels.atoms_turn[grid](
                self._summed, self._along, self._carried, self._scales, layer.w4, layer.wu,
                weights.r1, weights.c1, weights.r2, weights.c2, weights.r3, weights.c3,
                weights.r2_back, weights.r1_back, layer.wu_back, layer.w4_back,
                self._features, self._vectors[k], self._updated[k], self._phi_bar, self._work, self.outputs[SEPARATE:],
                self._features_bar[k % 2], self._vectors_bar, self._turned, n,
                TRANSPORT=transport, BLOCK=_ATOMS, F=f,
            )  # fmt: skip
        else:
            following = weights.layers[k + 1]
            kernels.atoms_forward[grid](
                self._summed, self._along, self._carried, layer.w4, layer.wu,
                following.w1, following.b1, following.w2, following.b2,
                self._features, self._vectors[k], self._updated[k], self._hidden[k], self._phi[k + 1], n,
                TRANSPORT=transport, BLOCK=_ATOMS, F=f,
            )  # fmt: skip

    def _backward(self, k: int) -> None:
        """From the end of layer k to the end of the layer before it."""
        pairs, n, f = self._pairs, self._n_atoms, self._f
        layer, transport = self._weights.layers[k], k > 0
        h2 = self._h2[k - 1] if transport else self._message
        vectors = self._vectors[k - 1] if transport else self._vectors_bar
        kernels.pairs_backward[(pairs.capacity // _PAIRS,)](
            self._order, self._count, pairs.first, pairs.second, self._radial, self._slopes, self._units,
            self._distances, self._phi[k], self._h1[k], h2, self._features_bar[k % 2], self._vectors_bar, self._turned,
            vectors, layer.we, layer.w3_back, layer.w5_back, layer.w6_back, self._weighted, self._gradients,
            TRANSPORT=transport, ADD=k < len(self._weights.layers) - 1, BLOCK=_PAIRS, F=f, B=self._b,
        )  # fmt: skip
        if not transport:
            return
        kernels.atoms_gather_back[(n, f // _COLUMNS)](
            pairs.starts, pairs.incident, pairs.others, self._distances, self._weighted, self._e2[k - 1], self._phi[k],
            self._vectors_bar, self._phi_bar, self._old_vectors_bar, self._cutoff,
            BLOCK=_NEIGHBOURS, F=f, COLUMNS=_COLUMNS, num_warps=1,
        )  # fmt: skip
        before = self._weights.layers[k - 1]
        kernels.atoms_backward[(-(-n // _ATOMS),)](
            self._phi_bar, self._hidden[k - 1], self._old_vectors_bar, self._vectors[k - 1], self._updated[k - 1],
            layer.w2_back, layer.w1_back, before.wu_back, before.w4_back,
            self._features_bar[k % 2], self._features_bar[(k - 1) % 2], self._work, self._vectors_bar, self._turned, n,
            BLOCK=_ATOMS, F=f,
        )  # fmt: skip

    def _forces(self) -> None:
        pairs, n = self._pairs, self._n_atoms
        kernels.forces[(n,)](
            pairs.starts, pairs.incident, pairs.others, self._distances, self._displacements, self._gradients,
            self.outputs[self.forces_at :], self._virials, self._cutoff, BLOCK=32, num_warps=1,
        )  # fmt: skip
        torch.sum(self._virials, 0, out=self.outputs[:9])
