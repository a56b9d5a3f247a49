"""The hydrogen combustion benchmark: npz files of 19 reactions, padded with zeros, in kcal/mol.

============== ====================== ====================================================================
key            shape                  meaning
============== ====================== ====================================================================
R              (n_frames, 6, 3)       positions, Angstrom; zero beyond the atoms there are
Z              (n_frames, 6)          atomic numbers, 0 = padding; the same in all frames of a file
N              (n_frames, 1)          number of atoms
E              (n_frames, 1)          energy, kcal/mol, relative to free atoms
F              (n_frames, 6, 3)       forces, kcal/mol/Angstrom
RXN            (n_frames, 1)          reaction: 01 to 19, with 06a, 06b, 12a, 12b for spin states
============== ====================== ====================================================================

A file is called REACTION_SOURCE.npz with the source irc (reaction path or bond scan), nm (displacements along normal
modes at the points of the path) or aimd (trajectories from the saddle). Guan et al., Sci. Data 9, 215 (2022), doi
10.1038/s41597-022-01330-5; github.com/THGLab/H2COMBUSTION_DATA.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np

from ffpt_core.base.errors import FfptError
from ffpt_core.base.units import KCAL_PER_MOL
from ffpt_core.datasets.dataset import Dataset
from ffpt_core.datasets.formats.combustion_corrections import Block, corrected
from ffpt_core.datasets.formats.format import Format
from ffpt_core.datasets.options import ReadOptions
from ffpt_core.datasets.storage import load_arrays

LEVEL = "wB97X-V/cc-pVTZ"
KEYS = ("R", "Z", "N", "E", "F", "RXN")

_NAME = re.compile(r"(?P<reaction>\d\d[ab]?)_(?P<source>irc|nm|aimd)")
_START_COPIES = 10


def sniff(path: Path) -> bool:
    """Whether an npz file is one of the benchmark."""
    arrays = load_arrays(path, names=KEYS)
    return all(name in arrays for name in KEYS) and np.ndim(arrays["Z"]) == 2


def load_block(path: Path) -> Block:
    """The frames of a file as they are, in its units and without their padding.

    Raises:
        FfptError: not a file of the benchmark; arrays that do not fit, or frames of different molecules.
    """
    arrays = load_arrays(path, names=KEYS)
    if any(name not in arrays for name in KEYS) or np.ndim(arrays["Z"]) != 2:
        raise FfptError(f"{path} is not a file of the combustion benchmark: its keys should be {', '.join(KEYS)}")
    return _block(arrays, path)


def _block(arrays: dict[str, np.ndarray], path: Path) -> Block:
    """The frames of a file without their padding.

    Raises:
        FfptError: arrays of other shapes, or frames of different molecules.
    """
    count = len(arrays["R"])
    numbers, atoms = arrays["Z"], arrays["N"].reshape(-1)
    width = numbers.shape[1] if count else 0
    shapes = {"R": (count, width, 3), "F": (count, width, 3), "Z": (count, width)}
    wrong = [name for name, shape in shapes.items() if arrays[name].shape != shape]
    wrong += [name for name in ("E", "N") if arrays[name].size != count]
    if wrong or count == 0:
        raise FfptError(f"{path}: {wrong[0]} does not fit {count} frames" if wrong else f"{path} holds no frames")
    different = np.flatnonzero((numbers != numbers[0]).any(axis=1) | (atoms != atoms[0]))
    if len(different):
        raise FfptError(f"{path}: frame {different[0]} has other atoms than frame 0")
    size = int(atoms[0])
    if (numbers[0, :size] < 1).any() or numbers[0, size:].any():
        raise FfptError(f"{path}: N says {size} atoms, Z {np.count_nonzero(numbers[0])}")
    return Block(path.stem, numbers[0, :size], arrays["R"][:, :size], arrays["E"].reshape(-1), arrays["F"][:, :size])


def trajectories(positions: np.ndarray) -> np.ndarray:
    """(n_frames,) number of the trajectory that each AIMD frame belongs to, from the geometries.

    All trajectories of a file start at one of few geometries (the saddles), which therefore occur many times; a new
    one begins where a frame is nearer to such a start than to the frame before it.

    Args:
        positions: (n_frames, n_atoms, 3) Angstrom, in the order of the file.
    """
    _, index, copies = np.unique(
        np.round(positions.reshape(len(positions), -1), 6) + 0.0, axis=0, return_index=True, return_counts=True
    )
    starts = positions[index[copies >= _START_COPIES]]
    if not len(starts):
        starts = positions[:1]
    to_start = np.abs(positions[:, None] - starts[None]).max(axis=(2, 3)).min(axis=1)
    to_last = np.abs(np.diff(positions, axis=0)).max(axis=(1, 2))
    return np.concatenate([[0], np.cumsum(to_start[1:] < to_last)])


def _nearest(positions: np.ndarray, path: np.ndarray) -> np.ndarray:
    """(n_frames,) index of the point of the path with the most similar pair distances."""
    from scipy.spatial import cKDTree

    first, second = np.triu_indices(positions.shape[1], 1)

    def distances(frames: np.ndarray) -> np.ndarray:
        return np.linalg.norm(frames[:, first] - frames[:, second], axis=2)

    return np.asarray(cKDTree(distances(path)).query(distances(positions))[1])


def _trajectory_labels(block: Block, path: np.ndarray | None) -> list[str]:
    """What a split must not tear apart: AIMD trajectories; points of the path with what is displaced from them."""
    reaction, _, source = block.stem.partition("_")
    if source == "aimd":
        return [f"{reaction}/aimd/{number}" for number in trajectories(block.positions)]
    points = _nearest(block.positions, block.positions if path is None else path)
    return [f"{reaction}/path/{point}" for point in points]


def block_dataset(block: Block, path: np.ndarray | None = None) -> Dataset:
    """The frames of a block in eV and Angstrom, with their groups.

    Args:
        block: as load_block gives it, corrected or not.
        path: (n_points, n_atoms, 3) the reaction path that the frames belong to, Angstrom; None: the frames themselves.
    """
    reaction, _, source = block.stem.partition("_")
    groups = {
        "reaction": np.full(len(block), reaction),
        "source": np.full(len(block), source),
        "trajectory": np.array(_trajectory_labels(block, path)),
    }
    energies, forces = block.energies * KCAL_PER_MOL, block.forces * KCAL_PER_MOL
    frames = Dataset.from_arrays(block.numbers, block.positions, energies, forces, level=LEVEL)
    return dataclasses.replace(frames, groups=groups)


def read(path: Path, options: ReadOptions) -> Dataset:
    """One file of the benchmark, corrected, in eV and Angstrom; see records.combustion.read_combustion for its groups.

    Raises:
        FfptError: units are asked for; a name that does not say reaction and source; arrays that do not fit.
    """
    if options.energy_unit or options.length_unit:
        raise FfptError(f"{path} is of the combustion benchmark, in kcal/mol and Angstrom: give no units")
    if not _NAME.match(path.stem):
        raise FfptError(f"{path}: a file of the combustion benchmark is called REACTION_SOURCE.npz, such as 09_irc.npz")
    block, _ = corrected(load_block(path))
    return block_dataset(block)


FORMAT = Format(
    name="combustion",
    what="R, Z, N, E, F, RXN (combustion)",
    suffixes=(".npz",),
    read=read,
    sniff=sniff,
    takes=frozenset({"energy_unit", "length_unit"}),
)
