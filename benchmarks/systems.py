"""What is measured: aspirin, HO2, boxes of water, frames like those of hydrogen combustion."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np
import openmm
import torch
from ase import Atoms
from ase.build import molecule
from openmm import app, unit
from scipy.spatial.transform import Rotation

from ffpt_core import NetworkPotential
from ffpt_core.base.units import NANOMETRE
from ffpt_core.datasets import Dataset
from ffpt_core.potentials.newtonnet.network import NewtonNet
from ffpt_core.sampling.rattle import rattle
from ffpt_core.teachers import load_teacher

ELEMENTS = (1, 6, 8)
WATER_VOLUME = 29.98
"""Angstrom^3 for each molecule: 0.997 g/cm3."""

_MOVES = 16
Item = TypeVar("Item")


def random_potential(device: str = "cpu", seed: int = 0) -> NetworkPotential:
    """The paper's network (128 features, 20 radial functions, 3 layers, 5 Angstrom) with random weights, float32."""
    torch.manual_seed(seed)
    return NetworkPotential(NewtonNet(), ELEMENTS).eval().to(device)


def aspirin() -> Atoms:
    """Aspirin, rattled by 0.05 Angstrom from the minimum of GAFF."""
    atoms = load_teacher("aspirin").atoms.copy()
    atoms.positions = rattle(atoms.positions, 1, sigma=0.05)[0]
    return atoms


def hydroperoxyl() -> Atoms:
    """HO2, near its minimum."""
    return Atoms("OOH", [[0, 0, 0], [0, 0, 1.33], [0, 0.94, 1.60]])


def water(n_molecules: int, seed: int = 0) -> Atoms:
    """A periodic cube of water at 0.997 g/cm3: a cubic lattice of molecules, turned at random, moved by 0.2 Angstrom.

    Each pair list is as long as that of liquid water within a few percent, which is what the time depends on.
    """
    rng = np.random.default_rng(seed)
    side = (n_molecules * WATER_VOLUME) ** (1 / 3)
    per_edge = int(np.ceil(round(n_molecules ** (1 / 3), 6)))
    places = np.array(list(itertools.product(range(per_edge), repeat=3)))[:n_molecules] * side / per_edge
    places = places + rng.normal(scale=0.2, size=places.shape)
    turns = Rotation.random(n_molecules, rng=rng).as_matrix()
    one = molecule("H2O")
    positions = places[:, None] + np.einsum("nij,aj->nai", turns, one.positions)
    box = Atoms(np.tile(one.numbers, n_molecules), positions.reshape(-1, 3), cell=np.eye(3) * side, pbc=True)
    box.wrap()
    return box


def motion(atoms: Atoms, seed: int = 0) -> list[Atoms]:
    """A closed path through atoms with steps like those of MD at 300 K: up to 0.012 Angstrom in a step of 0.5 fs.

    Measuring along it keeps a pair list with a skin honest: positions change in every call.
    """
    rng = np.random.default_rng(seed)
    direction = rng.normal(size=atoms.positions.shape)
    direction *= 0.03 / np.abs(direction).max()
    frames = []
    for phase in 2 * np.pi * np.arange(_MOVES) / _MOVES:
        frame = atoms.copy()
        frame.positions += direction * np.sin(phase)
        frames.append(frame)
    return frames


def along(function: Callable[[Item], object], items: Sequence[Item]) -> Callable[[], object]:
    """A call without arguments that takes the next of items each time, endlessly."""
    endless: Iterator[Item] = itertools.cycle(items)
    return lambda: function(next(endless))


def topology(atoms: Atoms, copies: int = 1) -> app.Topology:
    """An OpenMM topology of copies of atoms: one residue for each copy, the box of a periodic structure."""
    result = app.Topology()
    for _ in range(copies):
        residue = result.addResidue("MOL", result.addChain())
        for symbol in atoms.symbols:
            result.addAtom(symbol, app.Element.getBySymbol(symbol), residue)
    if atoms.pbc.any():
        result.setPeriodicBoxVectors(np.array(atoms.cell) / NANOMETRE * unit.nanometer)
    return result


def states(frames: Sequence[Atoms]) -> list[openmm.State]:
    """OpenMM States with the positions (and box) of frames, as a PythonForce receives them."""
    system = openmm.System()
    for mass in frames[0].get_masses():
        system.addParticle(mass)
    if frames[0].pbc.any():
        system.setDefaultPeriodicBoxVectors(*(np.array(frames[0].cell) / NANOMETRE))
    platform = openmm.Platform.getPlatformByName("Reference")
    context = openmm.Context(system, openmm.VerletIntegrator(0.001), platform)
    found = []
    for frame in frames:
        context.setPositions(frame.positions / NANOMETRE)
        found.append(context.getState(positions=True))
    return found


def aspirin_frames(n_frames: int, seed: int = 0) -> Dataset:
    """Rattled aspirin (0.1 Angstrom) with the energies and forces of GAFF."""
    teacher = load_teacher("aspirin")
    positions = rattle(teacher.atoms.positions, n_frames, sigma=0.1, seed=seed)
    energies, forces = teacher.energies_and_forces(positions)
    return Dataset.from_arrays(teacher.numbers, positions, energies, forces)


def combustion_frames(n_frames: int, seed: int = 0) -> Dataset:
    """Frames of 2 to 6 atoms of hydrogen and oxygen, as many of each size, about 1 Angstrom apart, random labels."""
    rng = np.random.default_rng(seed)
    sizes = 2 + np.arange(n_frames) % 5
    n_atoms = int(sizes.sum())
    chains = [np.cumsum(rng.normal([0.9, 0.3, 0.0], 0.25, size=(n, 3)), axis=0) for n in sizes]
    return Dataset(
        numbers=rng.choice([1, 8], size=n_atoms),
        offsets=np.concatenate([[0], np.cumsum(sizes)]),
        positions=np.concatenate(chains),
        energies=rng.normal(size=n_frames),
        forces=rng.normal(size=(n_atoms, 3)),
    )
