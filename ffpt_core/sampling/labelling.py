"""Labelling: frames and a potential become a Dataset; in parallel, and resumable after any kill.

Frames are labelled in chunks, each written to OUT.npz.parts/ as soon as it is done; a label depends on its frame alone,
not on the frames, the processes or the run before it. A killed run therefore continues with the chunks that are missing
and gives what an unbroken one would have given.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ffpt_core.base.errors import FfptError
from ffpt_core.base.files import read_json, write_json
from ffpt_core.base.progress import progress_bar
from ffpt_core.base.runs import Parts
from ffpt_core.base.workers import open_executor
from ffpt_core.datasets import Dataset
from ffpt_core.potentials.interface import Potential
from ffpt_core.potentials.sources import open_charged
from ffpt_core.sampling.labelling_chunks import Chunk, ChunkResult, label_chunk, read_chunk
from ffpt_core.sampling.labelling_names import earlier_name


@dataclass(frozen=True)
class Job:
    """What is labelled with what.

    Args:
        frames: the frames; labels that they may have are not looked at.
        source: a potential, or its name as open_potential takes it.
        charge: total charge, e; for tblite and pyscf.
        multiplicity: 2S + 1; for tblite and pyscf.
        skip_failed: leave out frames that the potential cannot do, instead of stopping at the first.
    """

    frames: Dataset
    source: Potential | str | os.PathLike[str]
    charge: int = 0
    multiplicity: int = 1
    skip_failed: bool = False

    @cached_property
    def potential(self) -> Potential:
        """What labels. Raises FfptError as open_charged."""
        return open_charged(self.source, self.charge, self.multiplicity)

    @property
    def name(self) -> str:
        """What the potential was asked for by."""
        return self.source.level if isinstance(self.source, Potential) else os.fspath(self.source)

    @property
    def level(self) -> str:
        """Level of theory of the labels: a file is one of its own, whatever it was trained on."""
        path = None if isinstance(self.source, Potential) else Path(self.source)
        return path.name if path is not None and path.is_file() else self.potential.level

    def identity(self) -> dict[str, Any]:
        """What the labels depend on, as JSON values."""
        return {**self._frames_and_level(), "potential": self.potential.record()["fingerprint"]}

    def earlier_identity(self) -> dict[str, Any]:
        """The same as ffpt 0.1.0 wrote it, whose unfinished and finished work is taken up."""
        name = earlier_name(self.potential, None if isinstance(self.source, Potential) else Path(self.source))
        return {**self._frames_and_level(), "calculator": name}

    def _frames_and_level(self) -> dict[str, Any]:
        bare = Dataset(
            numbers=self.frames.numbers,
            offsets=self.frames.offsets,
            positions=self.frames.positions,
            cells=self.frames.cells,
            pbc=self.frames.pbc,
        )
        return {
            "frames": len(bare),
            "fingerprint": bare.fingerprint,
            "level": self.level,
            "chunk": self.potential.frames_at_once,
        }


def label(job: Job, output: str | os.PathLike[str] | None = None, jobs: int = 1, quiet: bool = False) -> Dataset:
    """Label frames.

    Args:
        job: frames and potential.
        output: npz file to write; unfinished work lies in OUTPUT.parts and is taken up again. Without it
            nothing is kept.
        jobs: worker processes, each with one thread; 1 calculates in this process, with the threads it has.
        quiet: no progress bar.

    Returns:
        The frames with energies (eV) and forces (eV/Angstrom), in their order; without those that
        failed where job.skip_failed.

    Raises:
        FfptError: no such potential, a frame that it cannot do, that fails or gives NaN (with its index), an unfinished
            or finished output of another job, all frames failed, or a disk that is full.
    """
    if len(job.frames) == 0:
        raise FfptError("there are no frames to label")
    if not job.skip_failed:
        _check(job)
    if output is None:
        return _assembled(job, _results(job, None, jobs, quiet))[0]
    output, parts = Path(output), Parts(output)
    with parts.held():
        dataset = _finished(job, output, parts)
        if dataset is None:
            identity = _as_in(parts.identity, job)
            parts.claim(identity)
            dataset, failed = _assembled(job, _results(job, parts, jobs, quiet))
            dataset.save(output)
            write_json(output.with_suffix(".json"), {**_record(job, identity, failed), "output": dataset.fingerprint})
        parts.remove()
    return dataset


def _check(job: Job) -> None:
    """Refuse frames that the potential cannot do before the first is calculated."""
    seen: set[tuple[bytes, bytes]] = set()
    frames = job.frames
    for index in range(len(frames)):
        numbers = frames.numbers[frames.offsets[index] : frames.offsets[index + 1]]
        key = (numbers.tobytes(), frames.pbc[index].tobytes())
        if key in seen:
            continue
        seen.add(key)
        try:
            job.potential.check(numbers, frames.pbc[index])
        except FfptError as error:
            raise FfptError(f"frame {index}: {error}") from error


def _as_in(found: Any, job: Job) -> dict[str, Any]:
    """The identity of a job in the form of one that was found."""
    return job.earlier_identity() if isinstance(found, dict) and "calculator" in found else job.identity()


def _record(job: Job, identity: dict[str, Any], failed: dict[int, str]) -> dict[str, Any]:
    return {
        "input": identity,
        "calculator": job.name,
        "charge": job.charge,
        "multiplicity": job.multiplicity,
        "level": job.level,
        "units": {"energies": "eV", "forces": "eV/Angstrom"},
        "skip_failed": job.skip_failed,
        "failed": {str(index): reason for index, reason in failed.items()},
    }


def _finished(job: Job, output: Path, parts: Parts) -> Dataset | None:
    """The finished output of this very job, or None where there is none yet."""
    if not output.exists():
        return None
    record_path = output.with_suffix(".json")
    record = read_json(record_path) if record_path.is_file() else None
    if isinstance(record, dict) and record.get("skip_failed") == job.skip_failed:
        found = record.get("input")
        dataset = Dataset.load(output) if found == _as_in(found, job) else None
        if dataset is not None and dataset.fingerprint == record.get("output"):
            return dataset
    if parts.begun:
        return None  # killed between the data set and its record: written again
    raise FfptError(f"{output} is there already and comes from another input: remove it or choose another name")


def _results(job: Job, parts: Parts | None, jobs: int, quiet: bool) -> list[ChunkResult]:
    """All chunks in order: those that are there already, and the others calculated."""
    total, size = len(job.frames), job.potential.frames_at_once
    results: dict[int, ChunkResult] = {}
    missing: list[int] = []
    for first in range(0, total, size):
        known = None if parts is None else read_chunk(parts, first)
        if known is None or (known.failed and not job.skip_failed):
            missing.append(first)
        else:
            results[first] = known
    # One thread each: with more, workers fight for cores, and sums may come out in another order.
    jobs = min(jobs, max(1, len(missing)))
    executor = open_executor(jobs)
    bar = contextlib.nullcontext(_ignore) if quiet else progress_bar(f"Labelling with {job.level}", total)
    with bar as advance, _within_reach(job.potential, parts, jobs) as potential:
        advance(sum(len(result.energies) for result in results.values()))
        chunks = (
            Chunk(job.frames[first : first + size], first, potential, job.skip_failed, parts) for first in missing
        )
        for index, result in executor.map(label_chunk, chunks):
            results[missing[index]] = result
            advance(len(result.energies))
    return [results[first] for first in sorted(results)]


@contextlib.contextmanager
def _within_reach(potential: Potential, parts: Parts | None, jobs: int) -> Iterator[Potential | str]:
    """The potential itself for this process, or for others a folder that they open it from."""
    if jobs == 1:
        yield potential
        return
    with tempfile.TemporaryDirectory(dir=None if parts is None else parts.folder, prefix=".potential-") as folder:
        potential.save_into(folder)
        yield folder


def _ignore(_: float) -> None:
    """Stands for the progress bar where there is none."""


def _assembled(job: Job, results: list[ChunkResult]) -> tuple[Dataset, dict[int, str]]:
    """The labelled data set, and the frames that failed with their reasons."""
    failed = {index: reason for result in results for index, reason in sorted(result.failed.items())}
    if len(failed) == len(job.frames):
        index, reason = next(iter(failed.items()))
        raise FfptError(f"all {len(failed)} frames failed; frame {index}: {reason}")
    kept = np.array([index for index in range(len(job.frames)) if index not in failed])
    frames = job.frames if not failed else job.frames[kept]
    energies = np.concatenate([result.energies for result in results])[kept]
    forces = np.concatenate([result.forces for result in results])
    if failed:
        forces = forces[np.isin(np.repeat(np.arange(len(job.frames)), job.frames.n_atoms), kept)]
    return replace(frames, energies=energies, forces=forces, level=job.level), failed
