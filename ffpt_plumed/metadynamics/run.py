"""Dynamics that a PLUMED input biases, as runs in folders: metadynamics, restraints, walls."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms

from ffpt_core.analysis import Criterion, StabilityCriterion
from ffpt_core.analysis.criterion import Failure
from ffpt_core.base.errors import FfptError
from ffpt_core.base.files import atomic_write, fingerprint, read_json
from ffpt_core.base.units import NANOMETRE, PICOSECOND
from ffpt_core.potentials.interface import Potential
from ffpt_core.potentials.sources import Source
from ffpt_openmm.forces.systems import topology_of
from ffpt_openmm.md.biasing import Biasing
from ffpt_openmm.md.folder import RunFolder
from ffpt_openmm.md.replicas import Replicas
from ffpt_openmm.md.run import MDResult, run_md
from ffpt_openmm.md.settings import MDSettings
from ffpt_plumed.metadynamics.bias import LOG, choose_bias, create_bias
from ffpt_plumed.metadynamics.files import copy_inputs
from ffpt_plumed.metadynamics.replicas import AseEnsemble, BiasedEnsemble
from ffpt_plumed.text.plumed_input import PlumedInput

if TYPE_CHECKING:
    from openmm.app import Topology

ENGINES: tuple[str, ...] = ("openmm", "ase")
"""What integrates."""

INPUT = "plumed.dat"

METAD_SETTINGS = MDSettings(
    temperature=300.0, friction=10.0, timestep=0.2, length=100.0, interval=10.0, log_interval=100.0, minimize=False
)
"""300 K and steps of 0.2 fs, as Yuan and Head-Gordon; more friction, for hills heat (see MetadynamicsSettings)."""

_STARTED = "start-"
"""Before the name of a file that PLUMED changes: what it was when the run began."""


@dataclass(frozen=True)
class _Both:
    """A frame is physical by two criteria."""

    first: Criterion
    second: Criterion

    @property
    def symbols(self) -> tuple[str, ...]:
        return self.first.symbols

    def check(self, positions: np.ndarray, cells: np.ndarray | None = None) -> Failure | None:
        return next(iter(self.failures(positions, cells)), None)

    def failures(self, positions: np.ndarray, cells: np.ndarray | None = None) -> list[Failure]:
        found = {failure.frame: failure for failure in self.second.failures(positions, cells)}
        found |= {failure.frame: failure for failure in self.first.failures(positions, cells)}
        return [found[frame] for frame in sorted(found)]

    def to_dict(self) -> dict[str, Any]:
        return {**self.first.to_dict(), "and": self.second.to_dict()}


class PlumedBiasing(Biasing):
    """One trajectory of Langevin dynamics on a potential and a PLUMED bias.

    Args:
        script: PLUMED input.
        source: where it comes from, for messages.
        engine: of ENGINES.
        kind: of the bias, as in create_bias.
        inputs: files that the script reads, by the names that it has for them.
        settings: of the dynamics.
        guard: another criterion besides that of contacts.
    """

    title = "metadynamics"

    def __init__(
        self,
        script: PlumedInput,
        source: str,
        engine: str,
        kind: str,
        inputs: dict[str, Path],
        settings: MDSettings,
        guard: Criterion | None = None,
    ) -> None:
        self.script, self.source, self.engine, self.kind = script, source, engine, kind
        self.inputs, self.settings, self.guard = inputs, settings, guard
        self.outputs = script.outputs

    def record(self) -> dict[str, Any]:
        """See Biasing."""
        rule = None if self.guard is None else self.guard.to_dict()
        text = f"{self.engine}\n{self.kind}\n{rule}\n{self.script.text}"
        what = {"source": f"{self.source} by {self.kind} in {self.engine}", "engine": self.engine, "kind": self.kind,
                "fingerprint": fingerprint(np.frombuffer(text.encode(), dtype=np.uint8)),
                "outputs": list(self.outputs.all)}  # fmt: skip
        return {"bias": what}

    def files(self) -> dict[str, str]:
        """See Biasing."""
        words = {INPUT: "the PLUMED input"} | dict.fromkeys(self.outputs.all, "what PLUMED writes: hills, values")
        return words if self.kind == "native" else words | {LOG: "PLUMED's log since the run was last continued"}

    def prepare(self, folder: RunFolder, start: Atoms) -> None:
        """See Biasing: the first step is tried elsewhere before anything is written here."""
        self._rehearse(start)
        self._copy_inputs(folder.path)
        with atomic_write(folder.path / INPUT) as stream:
            stream.write(self.script.text)

    def criterion(self, topology: Topology, reference: Atoms, settings: MDSettings) -> Criterion:
        """Bonds break and form: by default only atoms that collide, and what is not finite, are unphysical."""
        contacts = StabilityCriterion.from_reference(reference, [], min_distance=settings.min_distance)
        return contacts if self.guard is None else _Both(contacts, self.guard)

    def ensemble(
        self,
        folder: RunFolder,
        potential: Potential,
        topology: Topology,
        settings: MDSettings,
        starts: Sequence[Atoms],
        replicas: Sequence[int],
        state: bytes,
    ) -> Replicas:
        """See Biasing."""
        if not state:
            self._clear(folder.path)
        shared = (self.script, folder.path, potential, topology, settings, starts, state)
        return AseEnsemble(*shared) if self.engine == "ase" else BiasedEnsemble(self.kind, *shared)

    def _copy_inputs(self, folder: Path) -> None:
        """What the script changes is kept under another name: a run without a checkpoint begins again."""
        changed = set(self.outputs.all)
        copy_inputs({_STARTED + name if name in changed else name: path for name, path in self.inputs.items()}, folder)

    def _clear(self, folder: Path) -> None:
        """Bring the files of the bias to where they are before the first step."""
        for name in self.outputs.all:
            (folder / name).unlink(missing_ok=True)
            if (folder / (_STARTED + name)).is_file():
                copy_inputs({name: folder / (_STARTED + name)}, folder)

    def _rehearse(self, start: Atoms) -> None:
        """Evaluate the bias at the start, in a folder that is then removed.

        Raises:
            FfptError: input that is wrong, or a bias that is not defined there.
        """
        with tempfile.TemporaryDirectory() as name, contextlib.chdir(name):
            try:
                copy_inputs(self.inputs, Path(name))
                self._first_step(Path(name), start)
            except FfptError as error:
                raise FfptError(str(error).replace(f"{name}{os.sep}", "")) from error

    def _first_step(self, folder: Path, start: Atoms) -> None:
        import openmm

        bias = create_bias(
            self.kind, self.script, folder, self.settings.temperature, self.settings.timestep / PICOSECOND, None
        )
        system = openmm.System()
        for mass in start.get_masses():
            system.addParticle(mass)
        if start.pbc.any():
            system.setDefaultPeriodicBoxVectors(*(np.array(start.cell) / NANOMETRE))
            nothing = openmm.CustomBondForce("0")  # a System is periodic by its forces
            nothing.setUsesPeriodicBoundaryConditions(True)
            system.addForce(nothing)
        bias.attach(system)
        integrator = openmm.VerletIntegrator(self.settings.timestep / PICOSECOND)
        context = openmm.Context(system, integrator, openmm.Platform.getPlatformByName("Reference"))
        context.setPositions(start.positions / NANOMETRE)
        try:
            bias.save(context)
        finally:
            bias.close()


def run_metad(
    potential: Source,
    script: str | PlumedInput,
    structure: Atoms,
    folder: str | os.PathLike[str],
    settings: MDSettings = METAD_SETTINGS,
    *,
    engine: str = "openmm",
    bias: str = "auto",
    source: str = "the PLUMED input",
    inputs_from: str | os.PathLike[str] | None = None,
    guard: Criterion | None = None,
    progress: bool = False,
) -> MDResult:
    """Langevin dynamics of one trajectory, biased by a PLUMED input, until its end or its first unphysical frame.

    The folder is that of run_md, with the input, what PLUMED prints and its hills. The same call continues a run that
    was killed: PLUMED's files are cut back to the last checkpoint and go on without a gap or a doubled line. A greater
    length extends it. The centre of mass is held, so the bias must not depend on where the system is.

    Args:
        potential: what moves the atoms: a potential, or what open_potential opens.
        script: PLUMED input, in its units (nm, kJ/mol, ps), which counts atoms from 1.
        structure: the start, Angstrom.
        folder: of the run.
        settings: of the dynamics; one replica.
        engine: of ENGINES.
        bias: of BIASES; auto: PLUMED's kernel where there is one, else native, and what a run began with.
        source: where the input comes from, for the record.
        inputs_from: folder of the files that the input reads; None: it reads none.
        guard: stops the run at its first frame that is not physical, as two atoms that collide do in any case: for
            instance a SpeciesCriterion.
        progress: show a bar.

    Raises:
        FfptError: as run_md; no kernel; input that PLUMED refuses, in its words; a bias that is undefined at the start.
    """
    if engine not in ENGINES:
        raise FfptError(f"there is no engine {engine!r}; there are {', '.join(ENGINES)}")
    if settings.replicas != 1:
        raise FfptError(f"a bias acts on one trajectory, not on {settings.replicas}: run each in a folder of its own")
    kind = _chosen(bias, engine, RunFolder(folder))
    script = PlumedInput.of(script)
    inputs = {} if inputs_from is None else script.inputs(inputs_from)
    settings = dataclasses.replace(settings, backend="pythonforce" if engine == "ase" else settings.backend)
    biasing = PlumedBiasing(script, source, engine, kind, inputs, settings, guard)
    return run_md(
        potential,
        topology_of(structure),
        folder,
        settings,
        structure=structure,
        jobs=1,
        progress=progress,
        biasing=biasing,
    )


def _chosen(bias: str, engine: str, folder: RunFolder) -> str:
    if bias == "auto" and folder.record.is_file():
        bias = read_json(folder.record).get("bias", {}).get("kind", bias)
    if engine == "ase":
        if bias not in ("auto", "plumed"):
            raise FfptError(f"ASE runs PLUMED's kernel only, not {bias}: use --engine openmm")
        return choose_bias("plumed")
    return choose_bias(bias)
