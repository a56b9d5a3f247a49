"""Langevin molecular dynamics of a potential: replicas, checkpoints, a stability guard, a folder that tells all."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms

from ffpt_core import Potential, __version__, load
from ffpt_core.errors import FfptError
from ffpt_core.files import atomic_path, atomic_write, fingerprint, read_json, write_json
from ffpt_core.progress import progress_bar
from ffpt_core.units import NANOMETRE
from ffpt_openmm.backends import choose_backend, choose_platform
from ffpt_openmm.folder import RunFolder, criterion_of
from ffpt_openmm.pool import ATOMS_AT_ONCE, grouped, run_groups
from ffpt_openmm.relaxation import relax
from ffpt_openmm.settings import FORMAT, FORMAT_VERSION, MDSettings, Outcome, check_continues, identity

if TYPE_CHECKING:
    from openmm.app import Topology

    from ffpt_core.teachers import Teacher

_FILES = {
    "run.json": "settings, and what became of each replica",
    "potential.pt": "the potential",
    "topology.pdb": "the atoms",
    "reference.xyz": "the geometry whose bond lengths the stability guard compares with",
    "start.xyz": "the geometry all replicas start from",
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
    potential: Potential | str | os.PathLike[str],
    topology: Topology,
    folder: str | os.PathLike[str],
    settings: MDSettings,
    *,
    structure: Atoms | None = None,
    teacher: Teacher | None = None,
    jobs: int | None = None,
    threads: int = 1,
    progress: bool = False,
) -> MDResult:
    """Langevin dynamics of independent replicas, each until its end or its first unphysical frame.

    Replicas share OpenMM Contexts: all of them one on a GPU, on a CPU a few for each of the jobs. Each samples what a
    run of its own would sample; which share a Context decides on their noise, and is recorded when they start.

    The same call continues a run that was killed, exactly where its checkpoints are; on the Reference and CPU
    platforms it gives what an unbroken run would have given. A greater length or more replicas extend a run.

    Args:
        potential: what moves the atoms, or its file.
        topology: the atoms; its box, if it has one, is the simulation's.
        folder: of the run (see its run.json for a word about each file).
        settings: what to simulate.
        structure: geometry in Angstrom; None: the teacher's relaxed one.
        teacher: a classical force field of the same molecule: it relaxes the geometry first, for nothing.
        jobs: processes that run replicas at the same time; None: as many as there are cores, or one on a GPU.
        threads: of PyTorch for each process; one is the fastest for molecules of tens of atoms.
        progress: show a bar.

    Raises:
        FfptError: the folder holds a run with other settings; bad input; files that cannot be written.
    """
    prepared = RunFolder(folder)
    model = potential if isinstance(potential, Potential) else load(potential)
    source = "a Potential" if isinstance(potential, Potential) else os.fspath(potential)
    platform = choose_platform(settings.platform)
    settings = dataclasses.replace(settings, backend=choose_backend(settings.backend, platform), platform=platform)
    atoms = _geometry(topology, structure, teacher)
    model.check_elements(atoms.numbers)
    with prepared.locked():
        jobs = jobs or _default_jobs(settings)
        record = _prepare(prepared, model, source, topology, atoms, teacher, settings, jobs)
        _run(prepared, record, settings, jobs, threads, progress)
    return MDResult(prepared.path, settings, tuple(Outcome(**outcome) for outcome in record["replicas"]))


def _run(
    folder: RunFolder, record: dict[str, Any], settings: MDSettings, jobs: int, threads: int, progress: bool
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
            title = f"MD, {replicas} replica{'s' if replicas > 1 else ''}"
            advance = stack.enter_context(progress_bar(title, replicas * settings.steps, "steps"))
        run_groups(folder, waiting, jobs, threads, advance, ended)


def _ignore(steps: int) -> None:
    """Where no bar is shown."""


def _default_jobs(settings: MDSettings) -> int:
    if settings.platform == "CUDA":
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _is_over(outcome: dict[str, Any], settings: MDSettings) -> bool:
    return outcome["status"] == "failed" or outcome["steps"] >= settings.steps


def _geometry(topology: Topology, structure: Atoms | None, teacher: Teacher | None) -> Atoms:
    """The starting geometry, checked against the topology, with the topology's box."""
    source = structure if structure is not None or teacher is None else teacher.atoms
    if source is None:
        raise FfptError("a run needs a starting geometry: give a structure, or a teacher")
    atoms = source.copy()
    elements = [atom.element for atom in topology.atoms()]
    if None in elements:
        raise FfptError(f"atom {elements.index(None)} of the topology has no element")
    numbers = [element.atomic_number for element in elements]
    for name, other in (
        ("starting geometry", atoms.numbers),
        ("teacher", None if teacher is None else teacher.numbers),
    ):
        if other is not None and other.tolist() != numbers:
            raise FfptError(
                f"the topology has {len(numbers)} atoms and the {name} {len(other)}, or their elements differ in order"
            )
    if not np.isfinite(atoms.positions).all():
        raise FfptError("the starting geometry has coordinates that are not finite")
    box = topology.getPeriodicBoxVectors()
    atoms.calc = None
    atoms.pbc = box is not None
    atoms.cell = None if box is None else np.array([list(vector) for vector in box._value]) * NANOMETRE
    return atoms


def _prepare(
    folder: RunFolder,
    potential: Potential,
    source: str,
    topology: Topology,
    atoms: Atoms,
    teacher: Teacher | None,
    settings: MDSettings,
    jobs: int,
) -> dict[str, Any]:
    """Write what replicas share, or check that what is there is the same run; returns the record.

    Replicas that are new in it are divided into groups, which stay.
    """
    record: dict[str, Any] = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "ffpt_version": __version__,
        "settings": dataclasses.asdict(settings),
        "units": {"temperature": "K", "friction": "1/ps", "timestep": "fs", "length": "ps", "interval": "fs",
                  "log_interval": "fs", "checkpoint_interval": "ps", "max_stretch": "Angstrom"},
        "potential": {"source": source, "fingerprint": identity(potential), **potential.record()},
        "structure": {"source": "teacher" if teacher is not None else "given",
                      "fingerprint": fingerprint(atoms.numbers, atoms.positions, np.array(atoms.cell))},
        "files": _FILES,
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
        how, criterion = _write_shared(folder, potential, topology, atoms, teacher, settings)
        record |= {"minimized": how, "criterion": criterion}
    new = range(len(record["replicas"]), settings.replicas)
    at_once = None if settings.platform == "CUDA" else ATOMS_AT_ONCE
    record["groups"] += grouped(new, len(atoms), jobs, at_once)
    record["replicas"] += [dataclasses.asdict(Outcome()) for _ in new]
    write_json(folder.record, record)
    return record


def _write_shared(
    folder: RunFolder,
    potential: Potential,
    topology: Topology,
    atoms: Atoms,
    teacher: Teacher | None,
    settings: MDSettings,
) -> tuple[str, dict[str, Any]]:
    """The potential, the topology, the reference and the start; returns how it was relaxed, and what is physical."""
    from openmm import app

    foreign = next(iter(folder.path.glob("trajectory-*")), None)
    if foreign is not None:
        raise FfptError(f"{folder.path} holds {foreign.name}, but no run.json: choose another folder")
    reference = atoms.copy()
    reference.positions = atoms.positions if teacher is None else teacher.atoms.positions
    criterion = criterion_of(topology, reference, settings)
    failure = criterion.check(atoms.positions, np.array(atoms.cell) if atoms.pbc.any() else None)
    if failure is not None:
        raise FfptError(f"the starting geometry is unphysical: {failure.reason} (are its positions in Angstrom?)")
    potential.save(folder.potential)
    with atomic_write(folder.topology) as stream:
        # Numbers without a unit are Angstrom here, unlike everywhere else in OpenMM.
        app.PDBFile.writeFile(topology, atoms.positions, stream)
    _write_structure(folder.reference, reference)
    how = "not"
    if settings.minimize:
        atoms, how = relax(atoms, potential, topology, teacher, settings, criterion)
    _write_structure(folder.start, atoms)
    return how, criterion.to_dict()


def _write_structure(path: Path, atoms: Atoms) -> None:
    import ase.io

    with atomic_path(path) as temporary:
        ase.io.write(temporary, Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc), format="extxyz")
