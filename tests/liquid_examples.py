"""Liquids whose properties are known: ideal gases, lattices, random walks, boxes of water that behave or fail."""

from __future__ import annotations

from pathlib import Path

import mdtraj
import numpy as np

EDGE = 12.4
"""Of the box of water in Angstrom."""


def trajectory(
    positions: np.ndarray,
    symbols: list[str],
    cell: np.ndarray | None = None,
    bonds: tuple[tuple[int, int], ...] = (),
    interval: float = 0.1,
) -> mdtraj.Trajectory:
    """Positions (n_frames, n_atoms, 3) and one cell, or one for each frame, in Angstrom; ps between frames."""
    topology = mdtraj.Topology()
    chain = topology.add_chain()
    members = []
    residue = topology.add_residue("X", chain)
    for index, symbol in enumerate(symbols):
        if symbol == "O":
            residue = topology.add_residue("HOH", chain)
        members.append(topology.add_atom(f"{symbol}{index % 3}", mdtraj.element.get_by_symbol(symbol), residue))
    for first, second in bonds:
        topology.add_bond(members[first], members[second])
    found = mdtraj.Trajectory(positions / 10.0, topology, time=interval * np.arange(1, len(positions) + 1))
    if cell is not None:
        found.unitcell_vectors = np.broadcast_to(np.asarray(cell) / 10.0, (len(positions), 3, 3))
    return found


def atoms(positions: np.ndarray, cell: np.ndarray | None, interval: float = 0.1) -> mdtraj.Trajectory:
    """Argon atoms. One is bonded to the next: without any bond in the topology, they would be looked for."""
    return trajectory(positions, ["Ar"] * positions.shape[1], cell, ((0, 1),), interval)


def ideal_gas(cells: np.ndarray, n_atoms: int = 80, seed: int = 0) -> mdtraj.Trajectory:
    """Independent positions in the cell (n_frames, 3, 3) of each frame."""
    shares = np.random.default_rng(seed).random((len(cells), n_atoms, 3))
    return atoms(shares @ cells, cells)


def random_walk(
    coefficient: float, n_frames: int, n_atoms: int = 60, interval: float = 0.5, seed: int = 0
) -> np.ndarray:
    """(n_frames, n_atoms, 3) unwrapped positions with a diffusion coefficient in Angstrom^2/ps."""
    steps = np.random.default_rng(seed).normal(scale=np.sqrt(2 * coefficient * interval), size=(n_frames, n_atoms, 3))
    return np.cumsum(steps, axis=0)


def water(n_frames: int, interval: float = 0.1, seed: int = 0, spread: float = 0.15) -> mdtraj.Trajectory:
    """64 molecules that tremble about a lattice 3.1 Angstrom wide: O-H 1.0 Angstrom, H-O-H 104.5 degrees."""
    rng = np.random.default_rng(seed)
    # Turned so that hydrogens of neighbours are more than 2 Angstrom apart.
    first, second = np.radians([90.0 - 104.5 / 2 + 45.0, 90.0 + 104.5 / 2 + 45.0])
    molecule = np.array([[0, 0, 0], [np.cos(first), np.sin(first), 0], [np.cos(second), np.sin(second), 0]])
    centres = EDGE / 4 * np.stack(np.meshgrid(*[np.arange(4)] * 3), axis=-1).reshape(-1, 1, 3)
    moved = centres + rng.normal(scale=spread, size=(n_frames, 64, 1, 3)) + molecule
    bonds = tuple((3 * k, 3 * k + j) for k in range(64) for j in (1, 2))
    return trajectory(moved.reshape(n_frames, 192, 3), ["O", "H", "H"] * 64, EDGE * np.eye(3), bonds, interval)


def write(found: mdtraj.Trajectory, folder: Path, name: str) -> list[str]:
    """A PDB and a trajectory file; returns the arguments that name them on the command line."""
    found[0].save_pdb(folder / "water.pdb")
    found.save(folder / name)
    return [str(folder / name), "--topology", str(folder / "water.pdb")]
