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
import os
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ffpt_core.base.errors import FfptError
from ffpt_core.base.progress import progress_bar
from ffpt_core.base.units import KCAL_PER_MOL
from ffpt_core.datasets.dataset import Dataset
from ffpt_core.datasets.records.combustion_corrections import Block, corrected
from ffpt_core.datasets.splits import first_of_repeats
from ffpt_core.datasets.storage import load_arrays

LEVEL = "wB97X-V/cc-pVTZ"
KEYS = ("R", "Z", "N", "E", "F", "RXN")
SOURCES = ("irc", "nm", "aimd")

REACTIONS = (*(f"{n:02d}" for n in range(1, 6)), "06a", "06b", *(f"{n:02d}" for n in range(7, 20)))
"""Names in the files. 12 holds, frame by frame, the lower of the doublet and the quartet (12a and 12b)."""

_NAME = re.compile(r"(?P<reaction>\d\d[ab]?)_(?P<source>irc|nm|aimd)")
_START_COPIES = 10


@dataclass
class Reading:
    """What was read and what was changed.

    Args:
        frames: {file: frames in it}.
        corrections: {correction: {file: frames dropped or mended}}.
        repeats: frames left out because another has the same atoms in the same places and an energy as low or lower.
        missing: files of the benchmark that the folder lacks.
    """

    frames: dict[str, int] = field(default_factory=dict)
    corrections: dict[str, dict[str, int]] = field(default_factory=dict)
    repeats: int = 0
    missing: list[str] = field(default_factory=list)


def is_combustion(arrays: dict[str, Any]) -> bool:
    """Whether arrays are those of a file of the benchmark."""
    return all(name in arrays for name in KEYS) and np.ndim(arrays["Z"]) == 2


def reaction_names(numbers: Collection[str]) -> tuple[str, ...]:
    """Names in the files from what people write: 9, 09, 6 (both surfaces), 06b.

    Raises:
        FfptError: no such reaction.
    """
    chosen = set()
    for number in numbers:
        found = {name for name in REACTIONS if number.strip().lower() in (name, name.lstrip("0"), name.strip("0ab"))}
        found |= {name for name in REACTIONS if number.strip().zfill(2) == name[:2]}
        if not found:
            raise FfptError(f"no reaction {number!r}: they are 1 to 19, with 6a and 6b")
        chosen |= found
    return tuple(name for name in REACTIONS if name in chosen)


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


def _dataset(block: Block, path: np.ndarray | None) -> Dataset:
    reaction, _, source = block.stem.partition("_")
    groups = {
        "reaction": np.full(len(block), reaction),
        "source": np.full(len(block), source),
        "trajectory": np.array(_trajectory_labels(block, path)),
    }
    energies, forces = block.energies * KCAL_PER_MOL, block.forces * KCAL_PER_MOL
    frames = Dataset.from_arrays(block.numbers, block.positions, energies, forces, level=LEVEL)
    return dataclasses.replace(frames, groups=groups)


def from_arrays(arrays: dict[str, np.ndarray], path: Path, without: Collection[str] = ()) -> Dataset:
    """One file of the benchmark, corrected, in eV and Angstrom; see read_combustion for its groups.

    Raises:
        FfptError: a name that does not say reaction and source, or arrays that do not fit.
    """
    if not _NAME.match(path.stem):
        raise FfptError(f"{path}: a file of the combustion benchmark is called REACTION_SOURCE.npz, such as 09_irc.npz")
    block, _ = corrected(_block(arrays, path), without)
    return _dataset(block, None)


def read_combustion(
    folder: str | os.PathLike[str],
    reactions: Collection[str] = REACTIONS,
    sources: Collection[str] = SOURCES,
    without: Collection[str] = (),
    repeats: bool = False,
) -> tuple[Dataset, Reading]:
    """The benchmark, or a part of it, in eV and Angstrom; the energy zero are free atoms.

    Groups: "reaction" (as in REACTIONS), "source" (irc, nm, aimd) and "trajectory": an AIMD trajectory, or a point
    of the path with the normal-mode frames that are nearest to it. 12a_irc_d_corr and 12a_irc_q_corr hold second
    labels of geometries of 12_irc and are not read.

    Args:
        folder: with the files.
        reactions: names in the files.
        sources: of irc, nm, aimd.
        without: names of corrections (combustion_corrections.CORRECTIONS) to leave out.
        repeats: keep frames whose atoms stand where those of another frame do. Of two such frames the one with the
            lower energy is kept: a potential without spin sees one surface, and a higher one is another SCF solution.

    Raises:
        FfptError: no file of the benchmark there, a damaged one, or an unknown correction.
    """
    folder, reading = Path(folder), Reading()
    stems = [f"{reaction}_{source}" for reaction in reactions for source in sources]
    found = [stem for stem in stems if (folder / f"{stem}.npz").is_file()]
    reading.missing = [stem for stem in stems if stem not in found and _exists(stem)]
    if not found:
        raise FfptError(f"{folder} holds none of the files {', '.join(stems[:3])}, ... of the combustion benchmark")
    parts = []
    with progress_bar("reading", len(found), unit="files") as advance:
        for stem in found:
            path = folder / f"{stem}.npz"
            raw = _block(_checked(load_arrays(path, names=KEYS), path), path)
            block, counts = corrected(raw, without)
            reading.frames[stem] = len(raw)
            for name, count in counts.items():
                reading.corrections.setdefault(name, {})[stem] = count
            parts.append(_dataset(block, _path_of(folder, stem)))
            advance(1)
    dataset = Dataset.concatenate(parts)
    if not repeats:
        kept = first_of_repeats(dataset, lowest=True) == np.arange(len(dataset))
        reading.repeats = int((~kept).sum())
        dataset = dataset[kept]
    return dataset, reading


def _exists(stem: str) -> bool:
    """Whether the benchmark has this file."""
    return stem.endswith("_irc") or stem[:3] not in ("05_", "06a", "06b", "07_")


def _checked(arrays: dict[str, np.ndarray], path: Path) -> dict[str, np.ndarray]:
    if not is_combustion(arrays):
        raise FfptError(f"{path} is not a file of the combustion benchmark: its keys should be {', '.join(KEYS)}")
    return arrays


def _path_of(folder: Path, stem: str) -> np.ndarray | None:
    """(n_points, n_atoms, 3) the reaction path that the frames of a file belong to, where the folder has it."""
    path = folder / f"{stem.partition('_')[0]}_irc.npz"
    return _block(_checked(load_arrays(path, names=KEYS), path), path).positions if path.is_file() else None
