"""Sampling: dynamics of any potential, at one temperature or several, as decorrelated frames for labels and training.

Each temperature has a run folder of its own, beside the output: it continues where it was, and may be looked at with
everything that reads run folders. Only the physical part of each replica counts: its guard stops it before a frame that
is not. Frames are taken as far apart as they are independent by the autocorrelation of the potential energy, and runs
are extended until there are enough of them. What relaxes more slowly than the energy (a torsion, a conformer) may still
be correlated: replicas that start apart, or a second temperature, are there for that.
"""

from __future__ import annotations

import dataclasses
import math
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms

from ffpt_core import __version__
from ffpt_core.analysis.blocks import statistical_inefficiency
from ffpt_core.analysis.trajectories import read_state
from ffpt_core.base.errors import FfptError, FfptWarning
from ffpt_core.base.files import read_json, write_json
from ffpt_core.base.units import NANOMETRE, PICOSECOND
from ffpt_core.datasets import Dataset
from ffpt_core.sampling.labelling import Job, label
from ffpt_core.structure.graph import find_bonds
from ffpt_core.structure.read import read_geometry
from ffpt_core.structure.trajectory_files import load_trajectory
from ffpt_openmm.forces.systems import topology_of
from ffpt_openmm.md.folder import RunFolder
from ffpt_openmm.md.run import MDResult, run_md
from ffpt_openmm.md.settings import MDSettings

if TYPE_CHECKING:
    from openmm.app import Topology


@dataclass(frozen=True)
class SampleSettings:
    """What is sampled.

    Args:
        temperatures: K.
        frames: independent frames wanted at each temperature.
        interval: ps between the frames of a trajectory, of which independent ones are taken.
        equilibration: ps at the beginning of each replica that do not count.
        replicas: independent trajectories at each temperature.
        friction: of the Langevin thermostat, 1/ps.
        timestep: fs.
        seed: of velocities and noise; the temperature at place i has seed + i.
        longest: how many times as long as planned a run may become until there are enough independent frames.
        max_stretch, min_distance: of the guard, Angstrom, as in MDSettings.

    Raises:
        FfptError: a value that makes no sense.
    """

    temperatures: tuple[float, ...] = (300.0,)
    frames: int = 200
    interval: float = 0.1
    equilibration: float = 5.0
    replicas: int = 4
    friction: float = 2.0
    timestep: float = 0.5
    seed: int = 0
    longest: int = 5
    max_stretch: float = 0.5
    min_distance: float | None = None

    def __post_init__(self) -> None:
        if not self.temperatures or len(set(self.temperatures)) < len(self.temperatures):
            raise FfptError("sampling needs temperatures, each of them once")
        if min(self.frames, self.longest) < 1:
            raise FfptError(f"frames and the longest run are at least 1, not {self.frames} and {self.longest}")
        if not 0 < self.interval < math.inf or not 0 <= self.equilibration < math.inf:
            raise FfptError("the interval must be positive and the equilibration not negative, in ps")
        if not self.friction > 0:
            raise FfptError("a temperature needs a thermostat: a friction above 0")

    def dynamics(self, place: int, frames: int) -> MDSettings:
        """Those of the run at a temperature, with so many frames in each replica after its equilibration."""
        return MDSettings(
            temperature=self.temperatures[place],
            friction=self.friction,
            timestep=self.timestep,
            length=self.interval * (self.skipped + frames),
            replicas=self.replicas,
            seed=self.seed + place,
            interval=PICOSECOND * self.interval,
            log_interval=PICOSECOND * self.interval,
            max_stretch=self.max_stretch,
            min_distance=self.min_distance,
        )

    @property
    def skipped(self) -> int:
        """Frames of each replica that belong to its equilibration."""
        return math.ceil(round(self.equilibration / self.interval, 6))


@dataclass(frozen=True)
class Sampled:
    """What a temperature gave.

    Args:
        temperature: K.
        frames: independent ones, labelled by nothing yet.
        inefficiency: of the potential energy: how many frames, an interval apart, are worth an independent one.
        simulated: ps after equilibration, of all replicas together, that are physical.
        failed: replicas that reached an unphysical frame.
    """

    temperature: float
    frames: Dataset
    inefficiency: float
    simulated: float
    failed: int


def sample(
    potential: Any,
    structure: Atoms,
    output: str | os.PathLike[str],
    settings: SampleSettings,
    *,
    topology: Topology | None = None,
    label_with: Any = None,
    jobs: int | None = None,
    progress: bool = False,
) -> tuple[Dataset, list[Sampled]]:
    """Independent frames of dynamics of a potential, with its labels or those of another one.

    Stopped or killed, the same call goes on, from OUTPUT.runs; more frames or replicas extend what is there.

    Args:
        potential: whatever run_md takes.
        structure: where all replicas start, Angstrom; with a cell, a box of constant volume.
        output: npz file to write. The record of how it was made lies beside it, and so do the runs.
        settings: what to sample.
        topology: the atoms and their bonds; None: from the distances in the structure.
        label_with: another potential, whose labels the frames get.
        jobs: processes; None: as many as there are cores.
        progress: show bars.

    Returns:
        The frames of all temperatures in their order, with the groups "temperature" (K) and "replica"; and what each
        temperature gave. Where there are fewer independent frames than wanted, an FfptWarning says so.

    Raises:
        FfptError: as run_md and label; no physical frame at a temperature; an output that is not an npz file.
    """
    output = Path(output)
    if output.suffix != ".npz":
        raise FfptError(f"the data set is written as .npz, not as {output.name}")
    topology = topology_of(structure, find_bonds(structure)) if topology is None else topology
    folders = [Path(f"{output.with_suffix('')}.runs") / f"{value:g}K" for value in settings.temperatures]
    sampled = []
    for place, folder in enumerate(folders):
        sampled.append(_at_temperature(potential, topology, structure, folder, settings, place, jobs, progress))
    frames = Dataset.concatenate([one.frames for one in sampled])
    labelled = label(Job(frames, potential if label_with is None else label_with), jobs=jobs or 1, quiet=not progress)
    labelled.save(output)
    write_json(output.with_suffix(".json"), _record(settings, sampled, folders, labelled))
    return labelled, sampled


def _at_temperature(
    potential: Any,
    topology: Topology,
    structure: Atoms,
    folder: Path,
    settings: SampleSettings,
    place: int,
    jobs: int | None,
    progress: bool,
) -> Sampled:
    """Run at one temperature until there are enough independent frames, or it has become too long."""
    planned = math.ceil(settings.frames / settings.replicas)
    longest = settings.longest * planned
    frames = max(planned, min(longest, _frames_before(RunFolder(folder), settings)))
    while True:
        dynamics = dataclasses.replace(settings.dynamics(place, frames), wrap=bool(structure.pbc.any()))
        result = run_md(potential, topology, folder, dynamics, structure=structure, jobs=jobs, progress=progress)
        found = _independent(result, settings)
        if len(found.frames) >= settings.frames or frames >= longest or result.failed == settings.replicas:
            break
        # A tenth more than what the inefficiency asks for: it is known to no better.
        frames = min(longest, max(frames + 1, math.ceil(1.1 * frames * settings.frames / max(1, len(found.frames)))))
    if not len(found.frames):
        raise FfptError(
            f"{folder}: no replica stayed physical beyond its equilibration of {settings.equilibration:g} ps"
        )
    if len(found.frames) < settings.frames:
        warnings.warn(
            f"{found.temperature:g} K: {len(found.frames)} of {settings.frames} independent frames, from "
            f"{found.simulated:g} ps whose energies are correlated over {found.inefficiency * settings.interval:.2g} ps"
            + (f"; {found.failed} of {settings.replicas} replicas became unphysical" if found.failed else ""),
            FfptWarning,
            stacklevel=3,
        )
    return found


def _frames_before(folder: RunFolder, settings: SampleSettings) -> int:
    """Frames in each replica, after the equilibration, that an earlier call asked for; 0: there was none."""
    if not folder.record.is_file():
        return 0
    length = read_json(folder.record).get("settings", {}).get("length", 0.0)
    return round(length / settings.interval) - settings.skipped


def _independent(result: MDResult, settings: SampleSettings) -> Sampled:
    """The frames of a run that are independent, from all its replicas, at most as many as are wanted."""
    folder = RunFolder(result.folder)
    start = read_geometry(folder.reference)
    positions: list[np.ndarray] = []
    energies: list[np.ndarray] = []
    for replica in range(settings.replicas):
        found = _frames_of(folder, replica, result.settings, settings.skipped)
        positions.append(found[0])
        energies.append(found[1])
    inefficiency = statistical_inefficiency(energies)
    # As far apart on average as frames are independent, which is no whole number.
    taken = [frames[np.arange(0, len(frames), inefficiency).astype(int)] for frames in positions]
    replicas = np.repeat(np.arange(settings.replicas), [len(frames) for frames in taken])
    every = np.concatenate(taken).reshape(-1, len(start), 3)
    chosen = np.unique(np.linspace(0, len(every) - 1, min(settings.frames, len(every))).round().astype(int))
    temperature = result.settings.temperature
    frames = Dataset(
        numbers=np.tile(start.numbers, len(chosen)),
        offsets=np.arange(len(chosen) + 1) * len(start),
        positions=every[chosen].reshape(-1, 3),
        cells=np.tile(start.cell.array, (len(chosen), 1, 1)),
        pbc=np.tile(start.pbc, (len(chosen), 1)),
        groups={
            "temperature": np.full(len(chosen), f"{temperature:g}"),
            "replica": replicas[chosen].astype(str),
        },
    )
    simulated = settings.interval * sum(len(one) for one in energies)
    return Sampled(temperature, frames, inefficiency, round(simulated, 6), result.failed)


def _frames_of(folder: RunFolder, replica: int, settings: MDSettings, skipped: int) -> tuple[np.ndarray, np.ndarray]:
    """(n, n_atoms, 3) positions (Angstrom) and (n,) energies (kJ/mol) of a replica after its equilibration."""
    table = read_state(folder.state(replica)) if folder.state(replica).is_file() else {"Step": np.empty(0)}
    wanted = settings.frame_steps * (skipped + 1 + np.arange(max(0, round(settings.steps / settings.frame_steps))))
    rows = np.flatnonzero(np.isin(table["Step"], wanted))
    if not len(rows):
        return np.empty((0, 0, 3)), np.empty(0)
    energies = table["Potential Energy (kJ/mole)"][rows]
    xyz = load_trajectory(folder.trajectory(replica), folder.topology, timed=False).xyz[skipped:]
    kept = min(len(xyz), len(energies))  # a replica that failed may have a row more
    return NANOMETRE * xyz[:kept].astype(float), energies[:kept]


def _record(
    settings: SampleSettings, sampled: Sequence[Sampled], folders: Sequence[Path], labelled: Dataset
) -> dict[str, Any]:
    return {
        "format": "ffpt-sample",
        "ffpt_version": __version__,
        "settings": dataclasses.asdict(settings),
        "units": {"temperatures": "K", "interval": "ps", "equilibration": "ps", "friction": "1/ps", "timestep": "fs",
                  "simulated": "ps", "max_stretch": "Angstrom", "min_distance": "Angstrom"},
        "level": labelled.level,
        "fingerprint": labelled.fingerprint,
        "temperatures": [
            {
                "temperature": one.temperature,
                "run": os.fspath(folder),
                "frames": len(one.frames),
                "statistical_inefficiency": one.inefficiency,
                "simulated": one.simulated,
                "failed_replicas": one.failed,
            }
            for one, folder in zip(sampled, folders, strict=True)
        ],
    }  # fmt: skip
