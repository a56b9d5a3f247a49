"""Potentials for the tests of OpenMM: random weights, on a gentle energy surface."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from ase import Atoms
from openmm import app, unit

from ffpt_core import NetworkPotential
from ffpt_core.potentials.newtonnet.network import NewtonNet

SHIFTS = {1: -13.6, 6: -1029.9, 8: -2042.6}
"""eV; as large as those of electronic structure, so that lost digits show."""


def random_potential(
    dtype: torch.dtype = torch.float32, scale: float = 0.05, n_features: int = 16, seed: int = 0, **settings: Any
) -> NetworkPotential:
    """A potential of H, C and O with random weights. A small scale (eV) makes its forces small."""
    generator = torch.random.get_rng_state()
    torch.manual_seed(seed)
    network = NewtonNet(n_features=n_features, **settings).to(dtype)
    torch.random.set_rng_state(generator)
    return NetworkPotential(network, (1, 6, 8), SHIFTS, dict.fromkeys((1, 6, 8), scale)).eval()


def rattled(atoms: Atoms, sigma: float = 0.1, seed: int = 0) -> Atoms:
    """atoms with Gaussian noise, Angstrom."""
    moved = atoms.copy()
    moved.positions += np.random.default_rng(seed).normal(scale=sigma, size=moved.positions.shape)
    return moved


def water_box(cell: np.ndarray, n_molecules: int, seed: int = 0) -> Atoms:
    """Water molecules at random places and orientations, not closer than their grid allows, in any cell."""
    rng = np.random.default_rng(seed)
    side = int(np.ceil(n_molecules ** (1 / 3)))
    grid = np.stack(np.meshgrid(*[np.arange(side)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)[:n_molecules]
    molecule = np.array([[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])
    positions = []
    for place in (grid + 0.5) / side @ cell:
        axes, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        positions.append(place + molecule @ axes.T)
    return Atoms("OHH" * n_molecules, np.concatenate(positions), cell=cell, pbc=True)


def water_topology(atoms: Atoms, cell: np.ndarray | None = None) -> app.Topology:
    """The OpenMM topology of a water_box; cell: (3, 3) Angstrom."""
    topology = app.Topology()
    chain = topology.addChain()
    for _ in range(len(atoms) // 3):
        residue = topology.addResidue("HOH", chain)
        oxygen, *hydrogens = [
            topology.addAtom(name, app.Element.getBySymbol(name[0]), residue) for name in ("O", "H1", "H2")
        ]
        for hydrogen in hydrogens:
            topology.addBond(oxygen, hydrogen)
    if cell is not None:
        topology.setPeriodicBoxVectors(cell / 10.0 * unit.nanometer)
    return topology
