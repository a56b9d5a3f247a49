"""Molecular dynamics of a potential or a teacher: replicas, checkpoints, a stability guard, a folder that tells all."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms

from ffpt_core import NetworkPotential, __version__
from ffpt_core.base.errors import FfptError
from ffpt_core.base.files import atomic_path, atomic_write, read_json, write_json
from ffpt_core.base.progress import progress_bar
from ffpt_openmm.md.biasing import PLAIN, Sampling
from ffpt_openmm.md.folder import RunFolder
from ffpt_openmm.md.models import Model, as_model
from ffpt_openmm.md.pool import ATOMS_AT_ONCE, grouped, run_groups
from ffpt_openmm.md.relaxation import relax
from ffpt_openmm.md.settings import FORMAT, FORMAT_VERSION, MDSettings, Outcome, check_continues
from ffpt_openmm.md.starts import check_atoms, fingerprint_of, starts_of

if TYPE_CHECKING:
    from openmm.app import Topology

    from ffpt_core.teachers import Teacher

_FILES = {
    "run.json": "settings, and what became of each replica",
    "potential.pt, teacher/": "what moves the atoms: a potential, or a teacher",
    "topology.pdb": "the atoms",
    "reference.xyz": "the geometry whose bond lengths the stability guard compares with",
    "start.xyz": "the geometry all replicas start from, or one for each",
    "trajectory-K.dcd, .h5": "frames of replica K",
    "state-K.csv": "its energies and temperatures",
    "checkpoint-K.npz": "where replica K and those that share its Context continue (groups)",
    "failure-K.xyz": "the unphysical frame that stopped it",
}


@dataclass(frozen=True)
class MDResult:
    """A run that has ended.

    Args:
        folder: of the run.
        settings: with the backend and the platform that were used.
        outcomes: one for each replica.
    """

    folder: Path
    settings: MDSettings
    outcomes: tuple[Outcome, ...]

    @property
    def failed(self) -> int:
        """Number of replicas that reached an unphysical frame."""
        return sum(outcome.status == "failed" for outcome in self.outcomes)


def run_md(
    potential: NetworkPotential | Teacher | str | os.PathLike[str],
    topology: Topology,
    folder: str | os.PathLike[str],
    settings: MDSettings,
    *,
    structure: Atoms | Sequence[Atoms] | None = None,
    reference: Atoms | None = None,
    teacher: Teacher | None = None,
    jobs: int | None = None,
    threads: int = 1,
    progress: bool = False,
    sampling: Sampling = PLAIN,
) -> MDResult:
    """Dynamics of independent replicas, each until its end or its first unphysical frame.

    Replicas of a potential share OpenMM Contexts: all of them one on a GPU, on a CPU a few for each of the jobs. Each
    samples what a run of its own would sample; which share a Context decides on their noise, and is recorded when they
    start. Replicas of a teacher, with a barostat, or in different cells have Contexts of their own.

    The same call continues a run that was killed, exactly where its checkpoints are; a potential on the Reference and
    CPU platforms and a teacher on the Reference platform give what an unbroken run would have given, but for a
    barostat, whose random numbers OpenMM does not keep. A greater length or more replicas extend a run.

    Args:
        potential: what moves the atoms, or its file; or a teacher, its folder or its name.
        topology: the atoms; its box, if it has one, is the simulation's.
        folder: of the run (see its run.json for a word about each file).
        settings: what to simulate.
        structure: geometry in Angstrom; a sequence: one for each replica, in cells of their own; None: the relaxed one
            of the teacher.
        reference: geometry whose bond lengths the stability guard compares with; None: the teacher's, or the first
            structure.
        teacher: a classical force field of the same molecule: it relaxes the geometry first, for nothing.
        jobs: processes that run replicas at the same time; None: as many as there are cores, or one on a GPU.
        threads: of PyTorch for each process; one is the fastest for molecules of tens of atoms.
        progress: show a bar.
        sampling: how the replicas are sampled; ffpt_plumed's are biased.

    Raises:
        FfptError: the folder holds a run with other settings; bad input; files that cannot be written.
    """
    prepared = RunFolder(folder)
    model, source = as_model(potential)
    settings = model.resolved(settings, topology.getNumAtoms())
    starts = _starts(topology, structure, teacher, settings)
    model.check(starts[0])
    if teacher is not None:
        check_atoms(starts[0].numbers.tolist(), teacher.atoms, "teacher")
        reference = teacher.atoms if reference is None else reference
    with prepared.locked():
        jobs = jobs or _default_jobs(model, settings)
        record = _prepare(prepared, (model, source), topology, starts, reference, teacher, settings, jobs, sampling)
        _run(prepared, record, settings, jobs, threads, progress, sampling)
    return MDResult(prepared.path, settings, tuple(Outcome(**outcome) for outcome in record["replicas"]))


def _run(
    folder: RunFolder,
    record: dict[str, Any],
    settings: MDSettings,
    jobs: int,
    threads: int,
    progress: bool,
    sampling: Sampling,
) -> None:
    """Run what is not over yet, and keep the record up to date."""
    outcomes = record["replicas"]
    waiting = [group for group in record["groups"] if not all(_is_over(outcomes[k], settings) for k in group)]

    def ended(replica: int, outcome: Outcome) -> None:
        outcomes[replica] = dataclasses.asdict(outcome)
        write_json(folder.record, record)

    with ExitStack() as stack:
        advance: Callable[[int], None] = _ignore
        if progress and waiting:
            replicas = sum(map(len, waiting))
            title = f"{sampling.title}, {replicas} replica{'s' if replicas > 1 else ''}"
            advance = stack.enter_context(progress_bar(title, replicas * settings.steps, "steps"))
        run_groups(folder, waiting, jobs, threads, advance, ended, sampling)


def _ignore(steps: int) -> None:
    """Where no bar is shown."""


def _default_jobs(model: Model, settings: MDSettings) -> int:
    if model.on_gpu or settings.platform == "CUDA":
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _is_over(outcome: dict[str, Any], settings: MDSettings) -> bool:
    return outcome["status"] == "failed" or outcome["steps"] >= settings.steps


def _starts(
    topology: Topology, structure: Atoms | Sequence[Atoms] | None, teacher: Teacher | None, settings: MDSettings
) -> list[Atoms]:
    """The starting geometries, one for all replicas or one for each, checked against the settings."""
    if structure is None:
        if teacher is None:
            raise FfptError("a run needs a starting geometry: give a structure, or a teacher")
        structure = teacher.atoms
    single = isinstance(structure, Atoms)
    starts = starts_of(topology, [structure] if isinstance(structure, Atoms) else structure, own_cells=not single)
    if not single and len(starts) < settings.replicas:
        raise FfptError(f"there are {len(starts)} starting geometries for {settings.replicas} replicas")
    if settings.pressure is None and not settings.wrap:
        return starts
    if not starts[0].pbc.all():
        raise FfptError(
            "a pressure, or wrapping, needs a periodic box: give a topology with one (CRYST1 in a PDB file)"
        )
    if settings.pressure is not None and not any(True for _ in topology.bonds()):
        raise FfptError(
            "a barostat moves whole molecules, and the topology lists no bonds: name residues as OpenMM knows them "
            "(HOH with O, H1, H2), or give CONECT records"
        )
    return starts


def _at_once(model: Model, starts: Sequence[Atoms], settings: MDSettings) -> int | None:
    """Atoms in a Context, at most, as grouped takes them."""
    cells = np.array([atoms.cell.array for atoms in starts])
    if not model.shares or settings.pressure is not None or (cells != cells[0]).any():
        return len(starts[0])
    return None if model.on_gpu else ATOMS_AT_ONCE


def _prepare(
    folder: RunFolder,
    moved_by: tuple[Model, str],
    topology: Topology,
    starts: Sequence[Atoms],
    reference: Atoms | None,
    teacher: Teacher | None,
    settings: MDSettings,
    jobs: int,
    sampling: Sampling,
) -> dict[str, Any]:
    """Write what replicas share, or check that what is there is the same run; returns the record.

    Replicas that are new in it are divided into groups, which stay.
    """
    model, source = moved_by
    record: dict[str, Any] = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "ffpt_version": __version__,
        "settings": dataclasses.asdict(settings),
        "units": {"temperature": "K", "friction": "1/ps", "pressure": "bar", "timestep": "fs", "length": "ps",
                  "interval": "fs", "log_interval": "fs", "checkpoint_interval": "ps", "max_stretch": "Angstrom"},
        "potential": {"source": source, **model.record()},
        "structure": {"source": "teacher" if teacher is not None else "given", "fingerprint": fingerprint_of(starts)},
        **sampling.record(),
        "files": _FILES | sampling.files(),
        "groups": [],
        "replicas": [],
    }  # fmt: skip
    if folder.record.is_file():
        old = read_json(folder.record)
        check_continues(folder.path, old, record)
        if record["settings"] != old["settings"] and settings.format == "h5":
            raise FfptError(f"{folder.path} cannot be extended: its trajectories were closed as HDF5; use format dcd")
        record = {**old, "settings": record["settings"]}
    else:
        how, criterion = _write_shared(folder, model, topology, starts, reference, teacher, settings, sampling)
        record |= {"minimized": how, "criterion": criterion}
    new = range(len(record["replicas"]), settings.replicas)
    record["groups"] += grouped(new, len(starts[0]), jobs, _at_once(model, starts, settings))
    record["replicas"] += [dataclasses.asdict(Outcome()) for _ in new]
    write_json(folder.record, record)
    return record


def _write_shared(
    folder: RunFolder,
    model: Model,
    topology: Topology,
    starts: Sequence[Atoms],
    reference: Atoms | None,
    teacher: Teacher | None,
    settings: MDSettings,
    sampling: Sampling,
) -> tuple[str, dict[str, Any]]:
    """The potential, the topology, the reference and the start; returns how it was relaxed, and what is physical."""
    from openmm import app

    foreign = next(iter(folder.path.glob("trajectory-*")), None)
    if foreign is not None:
        raise FfptError(f"{folder.path} holds {foreign.name}, but no run.json: choose another folder")
    lengths_of = starts[0].copy()
    if reference is not None:
        check_atoms(starts[0].numbers.tolist(), reference, "reference geometry")
        lengths_of.positions, lengths_of.cell = reference.positions, reference.cell
    criterion = sampling.criterion(topology, lengths_of, settings)
    for atoms in starts:
        failure = criterion.check(atoms.positions, np.array(atoms.cell) if atoms.pbc.any() else None)
        if failure is not None:
            raise FfptError(f"the starting geometry is unphysical: {failure.reason} (are its positions in Angstrom?)")
    given, how = starts[0], "not"
    if settings.minimize:
        relaxed = [relax(atoms, model, topology, teacher, settings, criterion) for atoms in starts]
        starts, how = [atoms for atoms, _ in relaxed], relaxed[0][1]
    sampling.prepare(folder, starts[0])
    model.save(folder)
    with atomic_write(folder.topology) as stream:
        # Numbers without a unit are Angstrom here, unlike everywhere else in OpenMM.
        app.PDBFile.writeFile(topology, given.positions, stream)
    _write_structures(folder.reference, [lengths_of])
    _write_structures(folder.start, starts)
    return how, criterion.to_dict()


def _write_structures(path: Path, structures: Sequence[Atoms]) -> None:
    import ase.io

    bare = [Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc) for atoms in structures]
    with atomic_path(path) as temporary:
        ase.io.write(temporary, bare, format="extxyz")
