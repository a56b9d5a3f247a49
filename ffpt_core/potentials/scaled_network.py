"""A network with the shifts and scales of its elements, as one differentiable module: what is trained and evaluated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from ase import Atoms
from torch import Tensor, nn

from ffpt_core.base.errors import FfptError
from ffpt_core.potentials.network import N_ATOMIC_NUMBERS, Network
from ffpt_core.potentials.pair_index import add_pairs, index_pairs, sum_by_owner
from ffpt_core.structure.neighbours import half_list


class ScaledNetwork(nn.Module):
    """E = sum_i (scale[Z_i] * network_i + shift[Z_i]), forces = -dE/dr.

    Shifts and scales are fixed parts of it, never parameters of an optimiser. Shifts are kept and summed in float64, so
    that a float32 network keeps energy differences of systems whose total energy is large.

    Args:
        network: gives the energies of atoms.
        elements: atomic numbers that it knows.
        shifts: eV for each element (missing ones are 0).
        scales: eV for each element (missing ones are 1).
    """

    shifts: Tensor
    scales: Tensor

    def __init__(
        self,
        network: Network,
        elements: Iterable[int],
        shifts: Mapping[int, float] | None = None,
        scales: Mapping[int, float] | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.elements = frozenset(int(z) for z in elements)
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
        return next(self.network.parameters()).dtype

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
        self.network.divide(factor)

    def _apply(self, function: Any, recurse: bool = True) -> ScaledNetwork:
        """Move or cast the network; shifts and scales stay in float64."""
        super()._apply(function, recurse)
        self.shifts = self.shifts.double()
        self.scales = self.scales.double()
        return self

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
        """The half pair list of a structure on the network's device, as ffpt_core.structure.neighbours has it.

        Returns:
            (2, n_pairs) int64, and (n_pairs, 3) float64 translations in Angstrom or None where nothing is periodic.

        Raises:
            FfptError: a periodic structure whose cell vectors are zero or lie in a plane.
        """
        pairs, shifts = half_list(atoms.positions, np.array(atoms.cell), atoms.pbc, self.cutoff)
        translations = torch.as_tensor(shifts @ np.array(atoms.cell), device=self.device) if atoms.pbc.any() else None
        return torch.as_tensor(pairs, device=self.device), translations

    def energy_forces_stress(self, atoms: Atoms) -> tuple[float, np.ndarray, np.ndarray]:
        """One structure by eager PyTorch, from a pair list made for it.

        Returns:
            eV; (n_atoms, 3) eV/Angstrom; (3, 3) dE/d(strain)/volume, eV/Angstrom^3, positive under tension
            as in ASE (zeros for a structure without a volume).

        Raises:
            FfptError: positions that are not finite; no cell.
        """
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
