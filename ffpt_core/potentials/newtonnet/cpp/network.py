"""A potential's network as the C++ kernel sees it: packed weights, arrays in, arrays out."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import torch

from ffpt_core.base.errors import FfptError
from ffpt_core.potentials.network import N_ATOMIC_NUMBERS
from ffpt_core.potentials.newtonnet.cpp.kernel import load_kernel
from ffpt_core.potentials.newtonnet.network import Interaction, NewtonNet
from ffpt_core.potentials.scaled_network import ScaledNetwork

_ATOMS_PER_THREAD = 4
"""A thread with fewer atoms waits longer for the others than it computes."""

_PAIRS_PER_CHUNK = 256
"""Frames whose gradients are computed together have about as many pairs: enough rows for a matrix product."""

_RECORDED_BYTES = 2**29
"""Of what gradients() takes from the evaluation before; frames beyond are evaluated twice."""

_OUT_OF_MEMORY, _UNKNOWN_ELEMENT = 1, 2
_PRECISIONS = {torch.float32: "float32", torch.float64: "float64"}


class AtomicEnergies(NamedTuple):
    """What an evaluation gives."""

    energies: np.ndarray  # (n_atoms,) eV, scaled, without shifts
    forces: np.ndarray  # (n_atoms, 3) eV/Angstrom
    virial: np.ndarray  # (3, 3) eV, the sum over pairs of displacement x dE/d(displacement)


class Structures(NamedTuple):
    """Atoms of one structure, or of many behind one another, with the list of their pairs.

    Args:
        numbers: (n_atoms,) atomic numbers.
        positions: (n_atoms, 3) Angstrom.
        pairs: (2, n_pairs) each pair once, as ffpt_core.structure.pairs has it; those beyond the cutoff cost little.
        translations: (n_pairs, 3) Angstrom, or None.
    """

    numbers: np.ndarray
    positions: np.ndarray
    pairs: np.ndarray
    translations: np.ndarray | None = None

    def checked(self) -> Structures:
        """The same in the types that the kernel reads."""
        translations = None if self.translations is None else np.ascontiguousarray(self.translations, dtype=np.float64)
        return Structures(
            np.ascontiguousarray(self.numbers, dtype=np.int64),
            np.ascontiguousarray(self.positions, dtype=np.float64),
            np.ascontiguousarray(self.pairs, dtype=np.int64),
            translations,
        )


class _Functions(NamedTuple):
    """Those of newtonnet.cpp for one precision."""

    create: Callable[..., Any]
    destroy: Callable[..., Any]
    load: Callable[..., Any]
    evaluate: Callable[..., Any]
    evaluate_frames: Callable[..., Any]
    gradient: Callable[..., Any]


class CppNetwork:
    """Energies, forces and weight gradients of a potential, computed by newtonnet.cpp on PyTorch's number of threads.

    The weights are copied. Calls from several threads wait for each other.

    Args:
        scaled: a NewtonNet with shifts and scales, in float32 or float64.

    Raises:
        FfptError: the kernel cannot be compiled here.
        MemoryError: not enough memory, here and in all methods.
        FfptError: in all methods, an element that the potential does not know.
    """

    def __init__(self, scaled: ScaledNetwork) -> None:
        kernel = load_kernel()
        if isinstance(kernel, str):
            raise FfptError(f"the C++ kernel cannot be used: {kernel}")
        prefix = _PRECISIONS[scaled.dtype]
        self._functions = _Functions(*(getattr(kernel, f"{prefix}_{name}") for name in _Functions._fields))
        network = cast(NewtonNet, scaled.network)
        frequencies = cast(torch.Tensor, network.radial_basis.frequencies).cpu().double().numpy().ravel()
        sizes = (network.n_features, network.n_basis, network.n_layers, N_ATOMIC_NUMBERS)
        elements = np.array(sorted(scaled.elements), dtype=np.int64)
        self._handle = self._functions.create(
            *sizes, network.cutoff, frequencies.ctypes.data, len(elements), elements.ctypes.data
        )
        if not self._handle:
            raise MemoryError
        weakref.finalize(self, self._functions.destroy, self._handle)
        self._scales = scaled.scales.cpu().numpy().copy()
        weights = weights_of(network)
        self._dtype, self._sizes = scaled.dtype, [weight.numel() for weight in weights]
        self.load(weights)

    def load(self, weights: Sequence[torch.Tensor]) -> None:
        """Take other weights, in the order of weights_of."""
        kept = [weight.detach().cpu().contiguous() for weight in weights]
        _check(self._functions.load(self._handle, _pointers(kept), torch.get_num_threads()))

    def evaluate(self, structures: Structures) -> AtomicEnergies:
        """Energies of atoms, forces and the virial of all; NaN for an atom whose coordinates are not finite.

        Threads divide the pairs: for one structure. See evaluate_frames for many.
        """
        numbers, positions, pairs, translations = structures.checked()
        n_atoms, n_pairs = len(numbers), pairs.shape[1]
        scales = self._scales[numbers]
        energies, forces, virial = np.empty(n_atoms), np.empty((n_atoms, 3)), np.empty((3, 3))
        threads = max(1, min(torch.get_num_threads(), n_atoms // _ATOMS_PER_THREAD))
        status = self._functions.evaluate(
            self._handle, n_atoms, _data(numbers), _data(scales), _data(positions),
            n_pairs, _data(pairs[0]), _data(pairs[1]), _data(translations),
            threads, _data(energies), _data(forces), _data(virial),
        )  # fmt: skip
        _check(status)
        return AtomicEnergies(energies, forces, virial)

    def evaluate_frames(self, structures: Structures, chunks: np.ndarray, call: int = 0) -> AtomicEnergies:
        """The same of many structures, which threads divide.

        Args:
            structures: frames behind one another, their pairs in the same order.
            chunks: of chunks_of.
            call: a number that no other call has, by which gradients() finds what was computed here; 0 keeps nothing.
        """
        numbers, positions, pairs, translations = structures.checked()
        scales = self._scales[numbers]
        energies, forces, virial = np.empty(len(numbers)), np.empty((len(numbers), 3)), np.empty((3, 3))
        status = self._functions.evaluate_frames(
            self._handle, _data(numbers), _data(scales), _data(positions),
            _data(pairs[0]), _data(pairs[1]), _data(translations), len(chunks), _data(chunks),
            call, _RECORDED_BYTES, torch.get_num_threads(), _data(energies), _data(forces), _data(virial),
        )  # fmt: skip
        _check(status)
        return AtomicEnergies(energies, forces, virial)

    def gradients(
        self,
        structures: Structures,
        chunks: np.ndarray,
        energy_gradients: np.ndarray,
        force_gradients: np.ndarray,
        call: int = 0,
    ) -> torch.Tensor:
        """Gradients of a loss with respect to the weights, from those with respect to energies and forces.

        Args:
            structures, chunks: as in evaluate_frames.
            energy_gradients: (n_atoms,) of the loss with respect to the atoms' energies, 1/eV.
            force_gradients: (n_atoms, 3) of the loss with respect to forces, Angstrom/eV.
            call: of evaluate_frames for the same structures. Any other than the last one, and any from before the
                weights changed, costs one more evaluation.

        Returns:
            (n,) the gradients of all weights in the order of weights_of, one behind the other.
        """
        numbers, positions, pairs, translations = structures.checked()
        scales = self._scales[numbers]
        value_weights = scales * energy_gradients
        velocities = np.ascontiguousarray(-force_gradients, dtype=np.float64)
        gradients = torch.empty(sum(self._sizes), dtype=self._dtype)
        status = self._functions.gradient(
            self._handle, _data(numbers), _data(scales), _data(positions),
            _data(pairs[0]), _data(pairs[1]), _data(translations), len(chunks), _data(chunks), call,
            _data(value_weights), _data(velocities), torch.get_num_threads(), _pointers(gradients.split(self._sizes)),
        )  # fmt: skip
        _check(status)
        return gradients


def weights_of(network: NewtonNet) -> list[torch.nn.Parameter]:
    """In the order in which newtonnet.cpp reads them."""
    weights = [network.embedding.weight]
    for layer in cast(list[Interaction], network.layers):
        weights += [layer.node_in.weight, layer.node_in.bias, layer.node_out.weight, layer.node_out.bias]
        weights += [layer.radial.weight, layer.direction_in.weight, layer.direction_out.weight]
        weights += [layer.transport_in.weight, layer.transport_out.weight, layer.update.weight]
    for linear in (network.readout_in, network.readout_hidden, network.readout_out):
        weights += [linear.weight, linear.bias]
    return cast(list[torch.nn.Parameter], weights)


def chunks_of(structures: Structures, frames: np.ndarray, n_frames: int) -> np.ndarray:
    """Whole frames of about equal work, for PyTorch's number of threads.

    Args:
        structures: frames behind one another, their pairs in the same order.
        frames: (n_atoms,) the frame of each atom, from 0, never falling.
        n_frames: number of frames.

    Returns:
        (n_chunks, 4) int64: begin and end of atoms, begin and end of pairs.
    """
    first, threads = structures.pairs[0], torch.get_num_threads()
    atoms = np.bincount(frames, minlength=n_frames)
    pairs = np.bincount(frames[first], minlength=n_frames)
    # A pair takes part in seven products a layer, an atom in five times three rows.
    work = np.cumsum(pairs + 2 * atoms)
    count = max(1, round(len(first) / _PAIRS_PER_CHUNK))
    count = min(n_frames, -(-count // threads) * threads)
    ends = np.unique(np.searchsorted(work, np.arange(1, count + 1) * work[-1] / count - 0.5) + 1)
    last_atoms, last_pairs = np.cumsum(atoms)[ends - 1], np.cumsum(pairs)[ends - 1]
    before = (np.concatenate([[0], last[:-1]]) for last in (last_atoms, last_pairs))
    first_atoms, first_pairs = before
    return np.ascontiguousarray(np.stack([first_atoms, last_atoms, first_pairs, last_pairs], axis=1), dtype=np.int64)


def _data(array: np.ndarray | None) -> int | None:
    return None if array is None else array.ctypes.data


def _pointers(tensors: Sequence[torch.Tensor]) -> ctypes.Array[ctypes.c_void_p]:
    return (ctypes.c_void_p * len(tensors))(*(tensor.data_ptr() for tensor in tensors))


def _check(status: int) -> None:
    if status == _OUT_OF_MEMORY:
        raise MemoryError("not enough memory for so many pairs")
    if status == _UNKNOWN_ELEMENT:
        raise FfptError("an element that the potential does not know")
