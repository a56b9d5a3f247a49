"""A potential's network as the C++ kernel sees it: packed weights, arrays in, arrays out."""

from __future__ import annotations

import ctypes
import weakref
from typing import NamedTuple, cast

import numpy as np
import torch

from ffpt_core.errors import FfptError
from ffpt_core.fused.kernel import load_kernel
from ffpt_core.newtonnet import N_ATOMIC_NUMBERS, Interaction, NewtonNet
from ffpt_core.potential import Potential

_ATOMS_PER_THREAD = 4
"""A thread with fewer atoms waits longer for the others than it computes."""

_NOT_FINITE, _OUT_OF_MEMORY = 1, 2


class AtomicEnergies(NamedTuple):
    """What an evaluation gives."""

    energies: np.ndarray  # (n_atoms,) eV, scaled, without shifts
    forces: np.ndarray  # (n_atoms, 3) eV/Angstrom
    virial: np.ndarray  # (3, 3) eV, the sum over pairs of displacement x dE/d(displacement)


class FusedNetwork:
    """Energies and forces of a potential, computed by newtonnet.cpp on PyTorch's number of threads.

    The weights are copied. Calls from several threads wait for each other.

    Args:
        potential: what to evaluate, in float32 or float64.

    Raises:
        FfptError: the kernel cannot be compiled here.
    """

    def __init__(self, potential: Potential) -> None:
        kernel = load_kernel()
        if isinstance(kernel, str):
            raise FfptError(f"the fused kernel cannot be used: {kernel}")
        precision = {torch.float32: "float32", torch.float64: "float64"}[potential.dtype]
        network = potential.network
        weights = [weight.detach().cpu().contiguous() for weight in _weights(network)]
        pointers = (ctypes.c_void_p * len(weights))(*(weight.data_ptr() for weight in weights))
        sizes = (network.n_features, network.n_basis, network.n_layers, N_ATOMIC_NUMBERS)
        frequencies = cast(torch.Tensor, network.radial_basis.frequencies).cpu().double().numpy().ravel()
        if np.abs(frequencies - np.pi * np.arange(1, network.n_basis + 1)).max() > 1e-4:
            raise FfptError("the fused kernel needs radial functions whose frequencies are multiples of pi")
        create = getattr(kernel, f"{precision}_create")
        self._handle = create(*sizes, network.cutoff, frequencies.ctypes.data, pointers)
        if not self._handle:
            raise FfptError("not enough memory for the weights of the fused kernel")
        weakref.finalize(self, getattr(kernel, f"{precision}_destroy"), self._handle)
        self._evaluate = getattr(kernel, f"{precision}_evaluate")
        self._scales = potential.scales.cpu().numpy().copy()

    def evaluate(
        self, numbers: np.ndarray, positions: np.ndarray, pairs: np.ndarray, translations: np.ndarray | None = None
    ) -> AtomicEnergies:
        """Evaluate atoms with a list of their pairs: one structure, or many behind one another.

        Args:
            numbers: (n_atoms,) int64.
            positions: (n_atoms, 3) Angstrom.
            pairs: (2, n_pairs) int64, each pair once, as ffpt_core.pairs has it; those beyond the cutoff cost little.
            translations: (n_pairs, 3) Angstrom, or None.

        Returns:
            NaN energies and forces where a coordinate is not finite.

        Raises:
            MemoryError: not enough memory.
        """
        n_atoms = len(numbers)
        numbers = np.ascontiguousarray(numbers, dtype=np.int64)
        positions = np.ascontiguousarray(positions, dtype=np.float64)
        first, second = (np.ascontiguousarray(row, dtype=np.int64) for row in pairs)
        shifts = None if translations is None else np.ascontiguousarray(translations, dtype=np.float64)
        scales = self._scales[numbers]
        energies, forces, virial = np.empty(n_atoms), np.empty((n_atoms, 3)), np.empty((3, 3))
        threads = max(1, min(torch.get_num_threads(), n_atoms // _ATOMS_PER_THREAD))
        status = self._evaluate(
            self._handle, n_atoms, numbers.ctypes.data, scales.ctypes.data, positions.ctypes.data,
            len(first), first.ctypes.data, second.ctypes.data, None if shifts is None else shifts.ctypes.data,
            threads, energies.ctypes.data, forces.ctypes.data, virial.ctypes.data,
        )  # fmt: skip
        if status == _OUT_OF_MEMORY:
            raise MemoryError(f"not enough memory for {len(first)} pairs")
        if status == _NOT_FINITE:
            for array in (energies, forces, virial):
                array.fill(np.nan)
        return AtomicEnergies(energies, forces, virial)


def _weights(network: NewtonNet) -> list[torch.Tensor]:
    """In the order in which newtonnet.cpp reads them."""
    weights = [network.embedding.weight]
    for layer in cast(list[Interaction], network.layers):
        weights += [layer.node_in.weight, layer.node_in.bias, layer.node_out.weight, layer.node_out.bias]
        weights += [layer.radial.weight, layer.direction_in.weight, layer.direction_out.weight]
        weights += [layer.transport_in.weight, layer.transport_out.weight, layer.update.weight]
    for linear in (network.readout_in, network.readout_hidden, network.readout_out):
        weights += [linear.weight, linear.bias]
    return weights
