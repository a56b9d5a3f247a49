"""Which molecules the runs of a reaction consist of: of each replica, and of several together."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ffpt_core.base.errors import FfptError
from ffpt_core.base.files import read_json
from ffpt_core.base.units import NANOMETRE
from ffpt_core.datasets.run_folders import Replica, RunFiles, is_run
from ffpt_core.structure.read import read_geometry
from ffpt_plumed.reactions.records import Reaction, reaction
from ffpt_plumed.reactions.species import SpeciesCount, allowed_species, count_species

_CURVE = 200
"""Points of the curve over time in a record."""


@dataclass(frozen=True, eq=False)
class Stop:
    """Where a guard ended a replica.

    Args:
        time: ps.
        reason: one line.
    """

    time: float
    reason: str


@dataclass(frozen=True, eq=False)
class ReplicaSpecies:
    """What one replica consists of.

    Args:
        name: such as "run/0".
        count: of its frames, as replica_species takes them.
        stop: None where no guard did.
    """

    name: str
    count: SpeciesCount
    stop: Stop | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, times in ps."""
        stop = None if self.stop is None else {"time_ps": self.stop.time, "reason": self.stop.reason}
        return {"name": self.name, **self.count.to_dict(), "stopped": stop}


def recorded_reaction(path: str | os.PathLike[str]) -> Reaction | None:
    """The reaction that a run folder was made for by ``ffpt metad --reaction``; None where it does not say.

    Raises:
        FfptError: the record cannot be read.
    """
    if not is_run(path):
        return None
    source = read_json(RunFiles(path).record).get("bias", {}).get("source", "")
    found = re.match(r"reaction (\w+) by ", source)
    return None if found is None else reaction(found[1])


def has_species(replica: Replica) -> bool:
    """Whether there is a frame to classify: a saved one, or that which its guard stopped it at."""
    return replica.has_frames or _last_path(replica) is not None


def replica_species(reaction: Reaction, replica: Replica, frame_interval: float | None = None) -> ReplicaSpecies:
    """Classify the frames of one replica.

    A guard ends a trajectory before the frame that it stops at, and writes that frame to a file of its own. It counts
    here as the last one: without it, no run that was guarded against unphysical species would ever have one. Where its
    coordinates are not finite the file has an earlier frame, which counts only if no frame was saved.

    Args:
        reaction: which.
        replica: of a run folder, or a trajectory file by itself.
        frame_interval: ps between frames; None: from the file.

    Raises:
        FfptError: no frames, other atoms than those of the reaction, or a periodic cell.
    """
    times, positions = np.zeros(0), np.zeros((0, len(reaction.symbols), 3))
    if replica.has_frames:
        times, positions = _saved_frames(reaction, replica, frame_interval)
    last = _last_frame(reaction, replica)
    if last is not None and (last.at_the_stop or not len(times)):
        times, positions = np.append(times, last.time), np.concatenate([positions, last.positions[None]])
    stop = None
    if replica.status == "failed" and replica.time is not None:
        stop = Stop(replica.time, replica.reason)
    return ReplicaSpecies(replica.name, count_species(reaction, positions, times), stop)


def pooled(replicas: Sequence[ReplicaSpecies]) -> SpeciesCount:
    """All frames of several replicas of one reaction, in the order of their times."""
    times = np.concatenate([one.count.times for one in replicas])
    order = np.argsort(times, kind="stable")
    species = np.concatenate([one.count.species for one in replicas])
    return SpeciesCount(species[order], replicas[0].count.allowed, times[order])


def to_record(reaction: Reaction, groups: dict[str, list[ReplicaSpecies]]) -> dict[str, Any]:
    """What species.json holds: each replica, and those of a label together (plain JSON values, times in ps)."""
    runs: dict[str, dict[str, Any]] = {}
    for label, replicas in groups.items():
        together = pooled(replicas)
        shown = np.unique(np.linspace(0, len(together.times) - 1, _CURVE).round().astype(int))
        over_time: dict[str, Any] = {
            "n_replicas": len(replicas),
            "n_stopped": sum(one.stop is not None for one in replicas),
            "until_ps": together.times[shown],
            "unphysical_fraction_until": together.unphysical_until[shown],
        }
        runs[label] = {"pooled": together.to_dict() | over_time, "replicas": [one.to_dict() for one in replicas]}
    return {
        "reaction": reaction.number,
        "equation": reaction.equation,
        "allowed": sorted(allowed_species(reaction)),
        "runs": runs,
    }


def _saved_frames(reaction: Reaction, replica: Replica, frame_interval: float | None) -> tuple[np.ndarray, np.ndarray]:
    """Times in ps, and positions in Angstrom."""
    trajectory = replica.load(frame_interval)
    _check_atoms(reaction, [atom.element.symbol for atom in trajectory.topology.atoms], replica.name)
    if trajectory.unitcell_vectors is not None:
        raise FfptError(f"{replica.name} has a periodic cell: species are told without periodic images")
    return np.asarray(trajectory.time, dtype=float), NANOMETRE * np.asarray(trajectory.xyz, dtype=float)


@dataclass(frozen=True, eq=False)
class _LastFrame:
    """What a guard wrote: ps, (n_atoms, 3) Angstrom, and whether it is the frame that it stopped at."""

    time: float
    positions: np.ndarray
    at_the_stop: bool


def _last_path(replica: Replica) -> Path | None:
    return replica.failure if replica.status == "failed" else None


def _last_frame(reaction: Reaction, replica: Replica) -> _LastFrame | None:
    path = _last_path(replica)
    if path is None:
        return None
    try:
        atoms = read_geometry(path)
        time, stopped = float(atoms.info["frame_time_ps"]), float(atoms.info["time_ps"])
    except (FfptError, ValueError, KeyError) as error:
        raise FfptError(f"cannot read the frame that stopped {replica.name}, {path}: {error}") from error
    _check_atoms(reaction, atoms.get_chemical_symbols(), replica.name)
    return _LastFrame(time, atoms.positions, time == stopped)


def _check_atoms(reaction: Reaction, symbols: Sequence[str], name: str) -> None:
    if tuple(symbols) != reaction.symbols:
        raise FfptError(
            f"reaction {reaction.number} is of the atoms {' '.join(reaction.symbols)} in this order, "
            f"{name} has {' '.join(symbols[:12])}{' ...' if len(symbols) > 12 else ''}"
        )
