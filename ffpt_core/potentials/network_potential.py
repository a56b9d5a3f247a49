"""Potential: a network with its element shifts and scales, cutoff and record, saved as one safe file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from ase import Atoms
from ase.data import chemical_symbols
from torch import Tensor, nn

from ffpt_core.base.errors import FfptError
from ffpt_core.base.files import atomic_write
from ffpt_core.potentials.newtonnet.network import N_ATOMIC_NUMBERS, NewtonNet
from ffpt_core.potentials.pair_index import add_pairs, index_pairs, sum_by_owner
from ffpt_core.structure.neighbours import half_list

if TYPE_CHECKING:
    from ffpt_core.potentials.ase import FfptCalculator

FORMAT = "ffpt-potential"
FORMAT_VERSION = 1


class Potential(nn.Module):
    """Energies and forces of molecules and periodic systems.

    E = sum_i (scale[Z_i] * network_i + shift[Z_i]), forces = -dE/dr.

    Shifts and scales are fixed parts of the potential, never parameters of an optimiser. Shifts are kept
    and summed in float64, so that a float32 network keeps energy differences of systems whose total
    energy is large.

    Args:
        network: the NewtonNet.
        elements: atomic numbers that the potential knows; others are refused.
        shifts: eV for each element (missing ones are 0).
        scales: eV for each element (missing ones are 1).
        metadata: anything JSON can hold: level of theory, training configuration, data fingerprints, errors.
    """

    shifts: Tensor
    scales: Tensor

    def __init__(
        self,
        network: NewtonNet,
        elements: Iterable[int],
        shifts: Mapping[int, float] | None = None,
        scales: Mapping[int, float] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.elements = tuple(sorted(int(z) for z in elements))
        self.metadata: dict[str, Any] = dict(metadata or {})
        self.register_buffer("shifts", torch.zeros(N_ATOMIC_NUMBERS, dtype=torch.float64))
        self.register_buffer("scales", torch.ones(N_ATOMIC_NUMBERS, dtype=torch.float64))
        self.set_shifts(shifts or {})
        for number, value in (scales or {}).items():
            self.scales[number] = value

    @property
    def cutoff(self) -> float:
        """Angstrom."""
        return self.network.cutoff

    @property
    def dtype(self) -> torch.dtype:
        """Floating-point type of the network."""
        return self.network.readout_in.weight.dtype

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.shifts.device

    def set_shifts(self, shifts: Mapping[int, float]) -> None:
        """Replace the energy of each given element, eV."""
        for number, value in shifts.items():
            self.shifts[number] = value

    @torch.no_grad()
    def rescale(self, factor: float) -> None:
        """Multiply the scales by factor and divide the network's output by it: energies stay what they were."""
        self.scales.mul_(factor)
        self.network.readout_out.weight.div_(factor)
        self.network.readout_out.bias.div_(factor)

    def _apply(self, function: Any, recurse: bool = True) -> Potential:
        """Move or cast the network; shifts and scales stay in float64."""
        super()._apply(function, recurse)
        self.shifts = self.shifts.double()
        self.scales = self.scales.double()
        return self

    def check_elements(self, numbers: np.ndarray | Tensor) -> None:
        """Raise FfptError if numbers holds an element that the potential does not know."""
        unknown = sorted(set(np.unique(np.asarray(numbers)).tolist()) - set(self.elements))
        if unknown:
            names = ", ".join(chemical_symbols[z] if 0 <= z < len(chemical_symbols) else str(z) for z in unknown)
            known = ", ".join(chemical_symbols[z] for z in self.elements)
            raise FfptError(f"the potential does not know {names}; it knows {known}")

    def forward(
        self,
        numbers: Tensor,
        positions: Tensor,
        pairs: Tensor,
        translations: Tensor | None,
        frames: Tensor,
        n_frames: int,
    ) -> tuple[Tensor, Tensor]:
        """Energies without shifts, and forces, of a batch of frames. Differentiable in the weights.

        Args:
            numbers: (n_atoms,) int64.
            positions: (n_atoms, 3) Angstrom; in float64 their differences keep all digits.
            pairs: (2, n_pairs) int64 into the atoms of the whole batch.
            translations: (n_pairs, 3) Angstrom or None for isolated molecules.
            frames: (n_atoms,) int64, the frame of each atom.
            n_frames: number of frames.

        Returns:
            (n_frames,) eV, and (n_atoms, 3) eV/Angstrom, in the network's type.
        """
        index = index_pairs(pairs, len(numbers))
        displacements = positions.index_select(0, index.first) - positions.index_select(0, index.second)
        if translations is not None:
            displacements = displacements + translations
        scales = self.scales.index_select(0, numbers).to(self.dtype)
        atomic, gradient = self.network(numbers, index, displacements.to(self.dtype), scales)
        energies = sum_by_owner(scales * atomic, frames, n_frames)
        return energies, add_pairs(torch.zeros_like(positions, dtype=gradient.dtype), -gradient, gradient, index)

    def shift_energies(self, numbers: Tensor, frames: Tensor, n_frames: int) -> Tensor:
        """(n_frames,) float64: the sum of the element shifts of each frame, eV."""
        return sum_by_owner(self.shifts.index_select(0, numbers), frames, n_frames)

    def pairs(self, atoms: Atoms) -> tuple[Tensor, Tensor | None]:
        """The half pair list of a structure on the potential's device. See ffpt_core.structure.neighbours.

        Returns:
            (2, n_pairs) int64, and (n_pairs, 3) float64 translations in Angstrom or None where nothing is periodic.

        Raises:
            FfptError: a periodic structure whose cell vectors are zero or lie in a plane.
        """
        pairs, shifts = half_list(atoms.positions, np.array(atoms.cell), atoms.pbc, self.cutoff)
        translations = torch.as_tensor(shifts @ np.array(atoms.cell), device=self.device) if atoms.pbc.any() else None
        return torch.as_tensor(pairs, device=self.device), translations

    def energy_forces_stress(self, atoms: Atoms) -> tuple[float, np.ndarray, np.ndarray]:
        """Energy, forces and stress of one structure.

        Returns:
            eV; (n_atoms, 3) eV/Angstrom; (3, 3) dE/d(strain)/volume, eV/Angstrom^3, positive under tension
            as in ASE (zeros for a structure without a volume).

        Raises:
            FfptError: an element that the potential does not know; positions that are not finite; no cell.
        """
        self.check_elements(atoms.numbers)
        if not np.isfinite(atoms.positions).all():
            raise FfptError("the positions are not finite numbers")
        pairs, translations = self.pairs(atoms)
        numbers = torch.as_tensor(atoms.numbers, dtype=torch.int64, device=self.device)
        # Differences first in float64: a float32 network must not lose digits far from the origin.
        positions = torch.as_tensor(atoms.positions, dtype=torch.float64, device=self.device)
        index = index_pairs(pairs, len(numbers))
        displacements = positions.index_select(0, index.first) - positions.index_select(0, index.second)
        if translations is not None:
            displacements = displacements + translations
        displacements = displacements.to(self.dtype)
        scales = self.scales.index_select(0, numbers).to(self.dtype)
        with torch.no_grad():
            atomic, gradient = self.network(numbers, index, displacements, scales)
            energy = (scales * atomic).double().sum() + self.shifts.index_select(0, numbers).sum()
            forces = torch.zeros(len(numbers), 3, dtype=self.dtype, device=self.device)
            forces = add_pairs(forces, -gradient, gradient, index)
            stress = displacements.double().t() @ gradient.double()
        volume = atoms.cell.volume if atoms.pbc.all() else 0.0
        stress_array = stress.cpu().numpy() / volume if volume > 0 else np.zeros((3, 3))
        return energy.item(), forces.double().cpu().numpy(), 0.5 * (stress_array + stress_array.T)

    def energy_and_forces(self, atoms: Atoms) -> tuple[float, np.ndarray]:
        """Energy (eV) and forces (n_atoms, 3) (eV/Angstrom) of one structure. Errors as energy_forces_stress."""
        energy, forces, _ = self.energy_forces_stress(atoms)
        return energy, forces

    def calculator(self) -> FfptCalculator:
        """An ASE calculator: energy, free_energy, forces, stress."""
        from ffpt_core.potentials.ase import FfptCalculator

        return FfptCalculator(self)

    def record(self) -> dict[str, Any]:
        """The JSON record that every saved or exported file carries."""
        from ffpt_core.base.version import __version__

        return {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "ffpt_version": __version__,
            "elements": list(self.elements),
            "cutoff": self.cutoff,
            "units": {"energy": "eV", "length": "Angstrom"},
            "precision": str(self.dtype).removeprefix("torch."),
            "network": {
                "n_features": self.network.n_features,
                "n_basis": self.network.n_basis,
                "n_layers": self.network.n_layers,
            },
            "metadata": self.metadata,
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write weights and record to one file (safetensors), atomically."""
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in self.state_dict().items()}
        data = safetensors.torch.save(tensors, metadata={FORMAT: json.dumps(self.record())})
        with atomic_write(path, "wb") as stream:
            stream.write(data)


def _refusal(path: Path) -> str:
    """Why a file that safetensors cannot read is none of ours."""
    start = path.open("rb").read(8)
    if start[:2] == b"PK":
        return "it is a zip archive, as torch.save or TorchScript write; ffpt loads only files of Potential.save"
    if start[:1] == b"\x80":
        return "it is a Python pickle, which could run code; ffpt loads only files of Potential.save"
    return "it is truncated or not a file of Potential.save"


def load(path: str | os.PathLike[str], device: str | torch.device | None = None) -> Potential:
    """Load a potential. Nothing is unpickled or executed.

    Args:
        path: a file that Potential.save wrote.
        device: where to put it; None takes CUDA if there is one, else the CPU.

    Raises:
        FfptError: no such file; truncated, foreign or pickled file; written by a newer format.
    """
    path = Path(path)
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            header = (file.metadata() or {}).get(FORMAT)
            if header is None:
                raise FfptError(f"{path} is a safetensors file, but holds no ffpt potential")
            record = json.loads(header)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except OSError as error:
        raise FfptError(f"cannot read {path}: {error.strerror or error}") from error
    except (safetensors.SafetensorError, ValueError) as error:
        raise FfptError(f"cannot load {path}: {_refusal(path)}") from error
    if record["format_version"] > FORMAT_VERSION:
        raise FfptError(
            f"{path} has format version {record['format_version']}, written by ffpt {record['ffpt_version']}; "
            f"this ffpt reads up to {FORMAT_VERSION}: install a newer one"
        )
    network = NewtonNet(**record["network"], cutoff=record["cutoff"]).to(getattr(torch, record["precision"]))
    potential = Potential(network, record["elements"], metadata=record["metadata"])
    try:
        potential.load_state_dict(tensors)
    except RuntimeError as error:
        raise FfptError(f"cannot load {path}: its weights do not fit its own description ({error})") from error
    return potential.to(device).eval()
