"""Molecular dynamics of any potential: replicas, checkpoints, a stability guard, a folder that tells all."""

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

from ffpt_core import __version__
from ffpt_core.base.errors import FfptError
from ffpt_core.base.files import atomic_path, atomic_write, read_json, write_json
from ffpt_core.base.progress import progress_bar
from ffpt_core.base.workers import available_cores
from ffpt_core.datasets.run_folders import FORMAT, Outcome
from ffpt_core.potentials.interface import Potential
from ffpt_core.potentials.sources import Source, open_potential
from ffpt_openmm.md.biasing import UNBIASED, Biasing
from ffpt_openmm.md.folder import RunFolder
from ffpt_openmm.md.moving import resolved
from ffpt_openmm.md.pool import ATOMS_AT_ONCE, grouped, run_groups
from ffpt_openmm.md.relaxation import relax
from ffpt_openmm.md.settings import FORMAT_VERSION, MDSettings, check_continues
from ffpt_openmm.md.starts import check_atoms, fingerprint_of, starts_of

if TYPE_CHECKING:
    from openmm.app import Topology

    from ffpt_core.teachers import Teacher

_FILES = {
    "run.json": "settings, and what became of each replica",
    "potential.pt, potential.json, teacher/, system/": "what moves the atoms",
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
    potential: Source,
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
    biasing: Biasing = UNBIASED,
    source: str = "",
) -> MDResult:
    """Dynamics of independent replicas, each until its end or its first unphysical frame.

    Replicas of a potential that is cheaper for many copies at once, as a network is, share OpenMM Contexts: all of
    them one on a GPU, on a CPU a few for each of the jobs. Each samples what a run of its own would sample; which share
    a Context decides on their noise, and is recorded when they start. Replicas of other potentials, with a barostat, or
    in different cells have Contexts of their own.

    The same call continues a run that was killed, exactly where its checkpoints are; a potential on the Reference and
    CPU platforms and forces of OpenMM's own on the Reference platform give what an unbroken run would have given, but
    for a barostat, whose random numbers OpenMM does not keep. A greater length or more replicas extend a run.

    Args:
        potential: what moves the atoms: a potential, or what open_potential opens.
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
        biasing: what biases the replicas, such as ffpt_plumed's.
        source: where the potential comes from, for the record; "": its name, or what it is.

    Raises:
        FfptError: the folder holds a run with other settings; bad input; what the potential cannot do; files that
            cannot be written.
    """
    prepared = RunFolder(folder)
    moves, source = open_potential(potential), source or _source(potential)
    starts = _starts(topology, structure, teacher, settings)
    moves.check(starts[0].numbers, starts[0].pbc)
    settings = resolved(moves, settings, starts[0])
    if teacher is not None:
        check_atoms(starts[0].numbers.tolist(), teacher.atoms, "teacher")
        reference = teacher.atoms if reference is None else reference
    with prepared.locked():
        jobs = jobs or _default_jobs(moves, settings)
        record = _prepare(prepared, (moves, source), topology, starts, reference, teacher, settings, jobs, biasing)
        _run(prepared, record, settings, jobs, threads, progress, biasing)
    return MDResult(prepared.path, settings, tuple(Outcome(**outcome) for outcome in record["replicas"]))


def _run(
    folder: RunFolder,
    record: dict[str, Any],
    settings: MDSettings,
    jobs: int,
    threads: int,
    progress: bool,
    biasing: Biasing,
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
            title = f"{biasing.title}, {replicas} replica{'s' if replicas > 1 else ''}"
            advance = stack.enter_context(progress_bar(title, replicas * settings.steps, "steps"))
        run_groups(folder, waiting, jobs, threads, advance, ended, biasing)


def _ignore(steps: int) -> None:
    """Where no bar is shown."""


def _device(potential: Potential) -> str | None:
    """Where the potential was opened, for the processes that open it again; None: it has no choice."""
    device = getattr(potential, "device", None)
    return None if device is None else str(device)


def _source(potential: Source) -> str:
    """A word on where a potential comes from."""
    if isinstance(potential, str | os.PathLike):
        return os.fspath(potential)
    return getattr(potential, "source", "") or f"a {type(potential).__name__}"


def _default_jobs(potential: Potential, settings: MDSettings) -> int:
    return 1 if potential.on_gpu or settings.platform == "CUDA" else available_cores()


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


def _at_once(potential: Potential, starts: Sequence[Atoms], settings: MDSettings) -> int | None:
    """Atoms in a Context, at most, as grouped takes them."""
    cells = np.array([atoms.cell.array for atoms in starts])
    if not potential.batches or settings.pressure is not None or (cells != cells[0]).any():
        return len(starts[0])
    return None if potential.on_gpu else ATOMS_AT_ONCE


def _prepare(
    folder: RunFolder,
    moved_by: tuple[Potential, str],
    topology: Topology,
    starts: Sequence[Atoms],
    reference: Atoms | None,
    teacher: Teacher | None,
    settings: MDSettings,
    jobs: int,
    biasing: Biasing,
) -> dict[str, Any]:
    """Write what replicas share, or check that what is there is the same run; returns the record.

    Replicas that are new in it are divided into groups, which stay.
    """
    potential, source = moved_by
    record: dict[str, Any] = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "ffpt_version": __version__,
        "settings": dataclasses.asdict(settings),
        "units": {"temperature": "K", "friction": "1/ps", "pressure": "bar", "timestep": "fs", "length": "ps",
                  "interval": "fs", "log_interval": "fs", "checkpoint_interval": "ps", "max_stretch": "Angstrom"},
        "potential": {**potential.record(), "source": source},
        "structure": {"source": "teacher" if teacher is not None else "given", "fingerprint": fingerprint_of(starts)},
        **biasing.record(),
        "files": _FILES | biasing.files(),
        "device": _device(potential),
        "groups": [],
        "replicas": [],
    }  # fmt: skip
    if folder.record.is_file():
        old = read_json(folder.record)
        check_continues(folder.path, old, record)
        if record["settings"] != old["settings"] and settings.format == "h5":
            raise FfptError(f"{folder.path} cannot be extended: its trajectories were closed as HDF5; use format dcd")
        record = {**old, "settings": record["settings"], "device": record["device"]}
    else:
        how, criterion = _write_shared(folder, potential, topology, starts, reference, teacher, settings, biasing)
        record |= {"minimized": how, "criterion": criterion}
    new = range(len(record["replicas"]), settings.replicas)
    record["groups"] += grouped(new, len(starts[0]), jobs, _at_once(potential, starts, settings))
    record["replicas"] += [dataclasses.asdict(Outcome()) for _ in new]
    write_json(folder.record, record)
    return record


def _write_shared(
    folder: RunFolder,
    potential: Potential,
    topology: Topology,
    starts: Sequence[Atoms],
    reference: Atoms | None,
    teacher: Teacher | None,
    settings: MDSettings,
    biasing: Biasing,
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
    criterion = biasing.criterion(topology, lengths_of, settings)
    for atoms in starts:
        failure = criterion.check(*_geometry(atoms))
        if failure is not None:
            raise FfptError(f"the starting geometry is unphysical: {failure.reason} (are its positions in Angstrom?)")
    if potential.elements is None:  # whether it can evaluate these atoms at all is known by trying only
        potential.evaluator(starts[0].numbers, starts[0].pbc)(*_geometry(starts[0]))
    given, how = starts[0], "not"
    if settings.minimize:
        relaxed = [relax(atoms, potential, topology, teacher, settings, criterion) for atoms in starts]
        starts, how = [atoms for atoms, _ in relaxed], relaxed[0][1]
    biasing.prepare(folder, starts[0])
    potential.save_into(folder.path)
    with atomic_write(folder.topology) as stream:
        # Numbers without a unit are Angstrom here, unlike everywhere else in OpenMM.
        app.PDBFile.writeFile(topology, given.positions, stream)
    _write_structures(folder.reference, [lengths_of])
    _write_structures(folder.start, starts)
    return how, criterion.to_dict()


def _geometry(atoms: Atoms) -> tuple[np.ndarray, np.ndarray | None]:
    """Positions, and the cell of periodic atoms."""
    return atoms.positions, atoms.cell.array if atoms.pbc.any() else None


def _write_structures(path: Path, structures: Sequence[Atoms]) -> None:
    import ase.io

    bare = [Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc) for atoms in structures]
    with atomic_path(path) as temporary:
        ase.io.write(temporary, bare, format="extxyz")
