"""What every evaluator of a potential must be: the network itself."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import torch
from ase import Atoms

from ffpt_core import NetworkPotential
from ffpt_core.potentials.backends import Evaluator


def assert_is_the_network(
    make: Callable[..., Evaluator],
    potential: NetworkPotential,
    atoms: Atoms,
    energy_tolerance: float,
    force_tolerance: float,
) -> None:
    """Against PyTorch in float64 with the same weights; eV, eV/Angstrom (stress: eV/Angstrom^3, as forces)."""
    energy, forces, stress = copy.deepcopy(potential).to(torch.float64).energy_forces_stress(atoms)
    cell = np.array(atoms.cell) if atoms.pbc.any() else None
    (found,), found_forces, virial = make(potential, atoms.numbers, atoms.pbc)(atoms.positions, cell)
    assert abs(found - energy) < energy_tolerance
    assert np.abs(forces).max() > 1e-3
    np.testing.assert_allclose(found_forces, forces, rtol=0, atol=force_tolerance)
    if atoms.pbc.all():
        found_stress = 0.5 * (virial + virial.T) / atoms.cell.volume
        np.testing.assert_allclose(found_stress, stress, rtol=0, atol=force_tolerance)
