"""Labelling: frames and a calculator become a Dataset; in parallel, and resumable after any kill.

Frames are labelled in chunks, each written to OUT.npz.parts/ as soon as it is done; every frame is calculated
from scratch, so a label depends on its frame alone, not on the frames, the processes or the run before it. A
killed run therefore continues with the chunks that are missing and gives what an unbroken one would have given.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ffpt_core.base.errors import FfptError
from ffpt_core.base.files import read_json, write_json
from ffpt_core.base.progress import progress_bar
from ffpt_core.base.runs import Parts
from ffpt_core.base.workers import open_executor
from ffpt_core.datasets import Dataset
from ffpt_core.sampling.labelling_chunks import CHUNK_FRAMES, ChunkResult, label_chunk
from ffpt_core.sampling.resolved import Resolved, resolve


@dataclass(frozen=True)
class Job:
    """What is labelled with what.

    Args:
        frames: the frames; labels that they may have are not looked at.
        calculator: name of a calculator, see ffpt_core.potentials.sources.
        charge: total charge, e.
        multiplicity: 2S + 1.
        skip_failed: leave out frames that the calculator cannot do, instead of stopping at the first.
    """

    frames: Dataset
    calculator: str
    charge: int = 0
    multiplicity: int = 1
    skip_failed: bool = False

    def resolved(self) -> Resolved:
        """The calculator; raises FfptError where there is none."""
        return resolve(self.calculator, self.charge, self.multiplicity)

    def identity(self) -> dict[str, Any]:
        """What the labels depend on, as JSON values."""
        bare = Dataset(
            numbers=self.frames.numbers,
            offsets=self.frames.offsets,
            positions=self.frames.positions,
            cells=self.frames.cells,
            pbc=self.frames.pbc,
        )
        resolved = self.resolved()
        return {
            "frames": len(bare),
            "fingerprint": bare.fingerprint,
            "calculator": resolved.identity,
            "level": resolved.level,
            "chunk": CHUNK_FRAMES[resolved.kind],
        }


def label(job: Job, output: str | os.PathLike[str] | None = None, jobs: int = 1, quiet: bool = False) -> Dataset:
    """Label frames.

    Args:
        job: frames and calculator.
        output: npz file to write; unfinished work lies in OUTPUT.parts and is taken up again. Without it
            nothing is kept.
        jobs: worker processes, each with one thread; 1 calculates in this process, with the threads it has.
        quiet: no progress bar.

    Returns:
        The frames with energies (eV) and forces (eV/Angstrom), in their order; without those that
        failed where job.skip_failed.

    Raises:
        FfptError: unknown calculator, a frame that fails or gives NaN (with its index), an unfinished
            or finished output of another job, all frames failed, or a disk that is full.
    """
    if len(job.frames) == 0:
        raise FfptError("there are no frames to label")
    identity = job.identity()
    _check_electrons(job)
    if output is None:
        return _assembled(job, identity, _results(job, identity, None, jobs, quiet))[0]
    output, parts = Path(output), Parts(output)
    with parts.held():
        dataset = _finished(output, parts, identity, job.skip_failed)
        if dataset is None:
            parts.claim(identity)
            dataset, failed = _assembled(job, identity, _results(job, identity, parts, jobs, quiet))
            dataset.save(output)
            write_json(output.with_suffix(".json"), {**_record(job, identity, failed), "output": dataset.fingerprint})
        parts.remove()
    return dataset


def _check_electrons(job: Job) -> None:
    """Refuse charges and multiplicities that the electrons cannot have; tblite itself would go on and say nothing."""
    if job.resolved().kind not in ("tblite", "pyscf"):
        return
    electrons = np.add.reduceat(job.frames.numbers, job.frames.offsets[:-1]) - job.charge
    wrong = np.flatnonzero((electrons < job.multiplicity - 1) | ((electrons - job.multiplicity) % 2 == 0))
    if len(wrong):
        raise FfptError(
            f"frame {wrong[0]}: {electrons[wrong[0]]} electrons (charge {job.charge}) cannot have multiplicity "
            f"{job.multiplicity}; see --charge and --multiplicity"
        )


def _record(job: Job, identity: dict[str, Any], failed: dict[int, str]) -> dict[str, Any]:
    return {
        "input": identity,
        "calculator": job.calculator,
        "charge": job.charge,
        "multiplicity": job.multiplicity,
        "level": identity["level"],
        "units": {"energies": "eV", "forces": "eV/Angstrom"},
        "skip_failed": job.skip_failed,
        "failed": {str(index): reason for index, reason in failed.items()},
    }


def _finished(output: Path, parts: Parts, identity: dict[str, Any], skip_failed: bool) -> Dataset | None:
    """The finished output of this very job, or None where there is none yet."""
    if not output.exists():
        return None
    record_path = output.with_suffix(".json")
    record = read_json(record_path) if record_path.is_file() else None
    if isinstance(record, dict) and record.get("input") == identity and record.get("skip_failed") == skip_failed:
        dataset = Dataset.load(output)
        if dataset.fingerprint == record.get("output"):
            return dataset
    if parts.begun:
        return None  # killed between the data set and its record: written again
    raise FfptError(f"{output} is there already and comes from another input: remove it or choose another name")


@dataclass(frozen=True)
class _Chunk:
    """Some frames in a row of a job.

    Args:
        job: with these frames only.
        first: index of the first of them in the whole job.
        parts: where their labels are kept, or None.
    """

    job: Job
    first: int
    parts: Parts | None

    @property
    def name(self) -> str:
        """Of the part."""
        return f"{self.first:09d}"


def _read(parts: Parts | None, name: str) -> ChunkResult | None:
    """A finished chunk."""
    found = None if parts is None else parts.read(name, "energies", "forces", "failed", "reasons")
    if found is None:
        return None
    failed = dict(zip(found["failed"].tolist(), found["reasons"].tolist(), strict=True))
    return ChunkResult(found["energies"], found["forces"], failed)


def _label(chunk: _Chunk) -> ChunkResult:
    """Label a chunk and keep its labels."""
    job = chunk.job
    result = label_chunk(job.frames, job.calculator, job.charge, job.multiplicity, chunk.first, job.skip_failed)
    if chunk.parts is not None:
        chunk.parts.write(
            chunk.name,
            energies=result.energies,
            forces=result.forces,
            failed=np.array(list(result.failed), dtype=np.int64),
            reasons=np.array(list(result.failed.values()), dtype=str),
        )
    return result


def _results(job: Job, identity: dict[str, Any], parts: Parts | None, jobs: int, quiet: bool) -> list[ChunkResult]:
    """All chunks in order: those that are there already, and the others calculated."""
    total, size = len(job.frames), identity["chunk"]
    results: dict[int, ChunkResult] = {}
    missing: list[int] = []
    for first in range(0, total, size):
        known = _read(parts, f"{first:09d}")
        if known is None or (known.failed and not job.skip_failed):
            missing.append(first)
        else:
            results[first] = known
    chunks = (_Chunk(replace(job, frames=job.frames[first : first + size]), first, parts) for first in missing)
    # One thread each: with more, workers fight for cores, and sums may come out in another order.
    executor = open_executor(min(jobs, max(1, len(missing))))
    bar = contextlib.nullcontext(_ignore) if quiet else progress_bar(f"Labelling with {identity['level']}", total)
    with bar as advance:
        advance(sum(len(result.energies) for result in results.values()))
        for index, result in executor.map(_label, chunks):
            results[missing[index]] = result
            advance(len(result.energies))
    return [results[first] for first in sorted(results)]


def _ignore(_: float) -> None:
    """Stands for the progress bar where there is none."""


def _assembled(job: Job, identity: dict[str, Any], results: list[ChunkResult]) -> tuple[Dataset, dict[int, str]]:
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
    dataset = Dataset(
        numbers=frames.numbers,
        offsets=frames.offsets,
        positions=frames.positions,
        energies=energies,
        forces=forces,
        cells=frames.cells,
        pbc=frames.pbc,
        level=identity["level"],
        groups=frames.groups,
    )
    return dataset, failed
