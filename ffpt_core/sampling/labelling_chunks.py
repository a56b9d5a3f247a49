"""The work of one labelling process: a few frames in a row, each calculated from scratch."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from ffpt_core.base.errors import FfptError
from ffpt_core.base.runs import Parts
from ffpt_core.datasets import Dataset
from ffpt_core.potentials.interface import Evaluator, Potential
from ffpt_core.potentials.sources import saved_potential


@dataclass(frozen=True)
class Chunk:
    """Some frames in a row of a job.

    Args:
        frames: these frames only.
        first: index of the first of them in the whole job.
        potential: what labels them, or the folder of one.
        skip_failed: note failures and go on.
        parts: where their labels are kept, or None.
    """

    frames: Dataset
    first: int
    potential: Potential | str
    skip_failed: bool
    parts: Parts | None


@dataclass(frozen=True)
class ChunkResult:
    """Labels of some frames in a row.

    Args:
        energies: (n_frames,) eV; NaN where failed.
        forces: (n_atoms_total, 3) eV/Angstrom; NaN where failed.
        failed: reason by index of the frame in the whole job.
    """

    energies: np.ndarray
    forces: np.ndarray
    failed: dict[int, str] = field(default_factory=dict)


@lru_cache(maxsize=1)
def _opened(folder: str) -> Potential:
    return saved_potential(folder)


def _name(first: int) -> str:
    """Of the part with the labels of a chunk."""
    return f"{first:09d}"


def read_chunk(parts: Parts, first: int) -> ChunkResult | None:
    """A finished chunk, or None: not there or damaged, and to be calculated."""
    found = parts.read(_name(first), "energies", "forces", "failed", "reasons")
    if found is None:
        return None
    failed = dict(zip(found["failed"].tolist(), found["reasons"].tolist(), strict=True))
    return ChunkResult(found["energies"], found["forces"], failed)


def label_chunk(chunk: Chunk) -> ChunkResult:
    """Label frames one by one, and keep their labels.

    Raises:
        FfptError: a frame failed and failures are not skipped; names the frame.
    """
    potential = _opened(chunk.potential) if isinstance(chunk.potential, str) else chunk.potential
    frames = chunk.frames
    energies = np.full(len(frames), np.nan)
    forces = np.full((len(frames.numbers), 3), np.nan)
    failed: dict[int, str] = {}
    evaluators: dict[tuple[bytes, bytes], Evaluator] = {}
    for index in range(len(frames)):
        mine = slice(frames.offsets[index], frames.offsets[index + 1])
        key = (frames.numbers[mine].tobytes(), frames.pbc[index].tobytes())
        try:
            if key not in evaluators:
                evaluators[key] = potential.evaluator(frames.numbers[mine], frames.pbc[index])
            cell = frames.cells[index] if frames.pbc[index].any() else None
            energies[index], forces[mine] = _single_point(evaluators[key], frames.positions[mine], cell)
        except FfptError as error:
            if not chunk.skip_failed:
                raise FfptError(f"frame {chunk.first + index}: {error}") from error
            failed[chunk.first + index] = str(error)
    result = ChunkResult(energies, forces, failed)
    if chunk.parts is not None:
        chunk.parts.write(
            _name(chunk.first),
            energies=energies,
            forces=forces,
            failed=np.array(list(failed), dtype=np.int64),
            reasons=np.array(list(failed.values()), dtype=str),
        )
    return result


def _single_point(evaluator: Evaluator, positions: np.ndarray, cell: np.ndarray | None) -> tuple[float, np.ndarray]:
    """Energy (eV) and forces (n_atoms, 3) in eV/Angstrom of one frame.

    Raises:
        FfptError: the potential fails or gives numbers that are not finite; says why, not which frame.
    """
    prediction = evaluator(positions, cell)
    energy = float(prediction.energies[0])
    if not np.isfinite(energy):
        raise FfptError(f"the energy is {energy}")
    if not np.isfinite(prediction.forces).all():
        raise FfptError("the forces are not finite")
    return energy, prediction.forces
