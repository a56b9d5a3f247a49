"""The hydrogen combustion benchmark as a whole: 19 reactions, three kinds of frames; see formats.combustion."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ffpt_core.base.errors import FfptError
from ffpt_core.base.progress import progress_bar
from ffpt_core.datasets.dataset import Dataset
from ffpt_core.datasets.formats.combustion import block_dataset, load_block
from ffpt_core.datasets.formats.combustion_corrections import corrected
from ffpt_core.datasets.splits import first_of_repeats

SOURCES = ("irc", "nm", "aimd")

REACTIONS = (*(f"{n:02d}" for n in range(1, 6)), "06a", "06b", *(f"{n:02d}" for n in range(7, 20)))
"""Names in the files. 12 holds, frame by frame, the lower of the doublet and the quartet (12a and 12b)."""


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
        without: names of corrections (formats.combustion_corrections.CORRECTIONS) to leave out.
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
            raw = load_block(path)
            block, counts = corrected(raw, without)
            reading.frames[stem] = len(raw)
            for name, count in counts.items():
                reading.corrections.setdefault(name, {})[stem] = count
            parts.append(block_dataset(block, _path_of(folder, stem)))
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


def _path_of(folder: Path, stem: str) -> np.ndarray | None:
    """(n_points, n_atoms, 3) the reaction path that the frames of a file belong to, where the folder has it."""
    path = folder / f"{stem.partition('_')[0]}_irc.npz"
    return load_block(path).positions if path.is_file() else None
