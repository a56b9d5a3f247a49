"""What a molecular dynamics run is made of, as its folder records it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ffpt_core.base.errors import FfptError
from ffpt_core.base.units import PICOSECOND
from ffpt_core.datasets.run_folders import FORMAT

FORMAT_VERSION = 2

TRAJECTORY_FORMATS: tuple[str, ...] = ("dcd", "h5")

MAY_GROW = ("length", "replicas")
"""Settings that a later call may raise: what was simulated before stays as it is."""


@dataclass(frozen=True)
class MDSettings:
    """Settings of a run.

    Args:
        temperature: K.
        friction: of the Langevin thermostat, 1/ps; 0: constant energy, by OpenMM's VerletIntegrator.
        pressure: bar, of a Monte Carlo barostat; None: constant volume.
        timestep: fs.
        length: ps, of each replica.
        replicas: number of independent trajectories from one geometry.
        seed: of all velocities and noise (see velocity_noise and noise_seed).
        minimize: relax the geometry first.
        interval: fs between frames of the trajectory.
        log_interval: fs between rows of the table of energies.
        checkpoint_interval: ps between checkpoints.
        check_interval: at most this many steps between two looks of the stability guard.
        max_stretch: Angstrom, by how much a bond may differ from its reference length.
        min_distance: Angstrom, bound for atoms of different molecules (1.2 for water, Fu et al.); None: half the
            sum of covalent radii, as within a molecule.
        format: "dcd" or "h5".
        wrap: put whole molecules back into the box in the trajectory, as pictures need it. A diffusion constant
            needs coordinates that are continuous. With a barostat there are only wrapped ones.
        backend: as in ffpt_openmm.create_force ("auto" before it is resolved).
        platform: OpenMM's name ("auto" before it is resolved).

    Raises:
        FfptError: a value that makes no sense; an interval that is not a whole number of steps.
    """

    temperature: float = 300.0
    friction: float = 2.0
    pressure: float | None = None
    timestep: float = 0.5
    length: float = 100.0
    replicas: int = 1
    seed: int = 0
    minimize: bool = True
    interval: float = 10.0
    log_interval: float = 100.0
    checkpoint_interval: float = 1.0
    check_interval: int = 10
    max_stretch: float = 0.5
    min_distance: float | None = None
    format: str = "dcd"
    wrap: bool = False
    backend: str = "auto"
    platform: str = "auto"

    def __post_init__(self) -> None:
        positive = ("timestep", "length", "replicas", "interval", "log_interval", "checkpoint_interval")
        for name in (*positive, "check_interval", "max_stretch", "min_distance"):
            if getattr(self, name) is not None and not 0 < getattr(self, name) < np.inf:
                raise FfptError(f"the {name.replace('_', ' ')} must be positive, not {getattr(self, name)}")
        for name in ("temperature", "friction", "seed"):
            if not 0 <= getattr(self, name) < np.inf:
                raise FfptError(f"the {name} must not be negative, but is {getattr(self, name)}")
        if self.pressure is not None:
            self._check_barostat()
        if self.format not in TRAJECTORY_FORMATS:
            raise FfptError(f"there is no trajectory format {self.format!r}; there are {', '.join(TRAJECTORY_FORMATS)}")
        for name, femtoseconds in (("length", PICOSECOND * self.length), ("interval", self.interval)):
            steps = femtoseconds / self.timestep
            if steps < 0.999 or abs(steps - round(steps)) > 1e-3 * steps:
                raise FfptError(
                    f"the {name} of {femtoseconds:g} fs is not a whole number of steps of {self.timestep:g} fs"
                )

    def _check_barostat(self) -> None:
        if self.pressure is None or not np.isfinite(self.pressure):
            raise FfptError(f"the pressure must be a finite number of bar, not {self.pressure}")
        if self.friction == 0 or self.temperature == 0:
            raise FfptError("constant pressure needs a thermostat: a friction and a temperature above 0")
        if not self.wrap:
            raise FfptError("a barostat puts molecules back into the box: its trajectory is a wrapped one")

    @property
    def steps(self) -> int:
        """Steps of each replica."""
        return round(PICOSECOND * self.length / self.timestep)

    @property
    def frame_steps(self) -> int:
        """Steps between frames."""
        return round(self.interval / self.timestep)

    @property
    def log_steps(self) -> int:
        """Steps between rows of the table."""
        return max(1, round(self.log_interval / self.timestep))

    @property
    def checkpoint_steps(self) -> int:
        """Steps between checkpoints."""
        return max(1, round(PICOSECOND * self.checkpoint_interval / self.timestep))

    @property
    def check_steps(self) -> int:
        """Steps between looks of the guard: every frame of the trajectory is looked at before it is written."""
        within = range(1, min(self.check_interval, self.frame_steps) + 1)
        return max(steps for steps in within if self.frame_steps % steps == 0)

    def velocity_noise(self, replica: int) -> np.random.Generator:
        """What the first velocities of a replica are drawn from: it depends on the seed and the replica alone."""
        return np.random.default_rng(np.random.SeedSequence(entropy=self.seed, spawn_key=(0, replica)))

    def noise_seed(self, replicas: Sequence[int]) -> int:
        """OpenMM's seed for the Langevin noise of replicas in one Context.

        A function of the seed and of which replicas these are. No two Contexts of a run have it in common: groups
        share no replica, and a group that goes on without one that failed is another one.
        """
        words = np.random.SeedSequence(entropy=self.seed, spawn_key=(1, *replicas)).generate_state(1)
        return int(words[0] % (2**31 - 2)) + 1  # OpenMM takes 0 as "choose one"


def check_continues(folder: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    """Refuse to continue a run with other settings.

    Args:
        folder: of the run.
        old: its record.
        new: the record that the present call would write.

    Raises:
        FfptError: naming what differs, or that the folder is of a newer ffpt.
    """
    if old.get("format") != FORMAT:
        raise FfptError(f"{folder / 'run.json'} is not the record of an ffpt run: choose another folder")
    if old["format_version"] > FORMAT_VERSION:
        raise FfptError(f"{folder} was written by ffpt {old['ffpt_version']}: install a newer ffpt to continue it")
    if old["format_version"] < FORMAT_VERSION:
        raise FfptError(
            f"{folder} was written by an earlier ffpt, which this one cannot continue: choose another folder"
        )
    # What an earlier ffpt did not know of was as it is by default.
    before = {**{field.name: field.default for field in dataclasses.fields(MDSettings)}, **old["settings"]}
    differences = [
        f"{name.replace('_', ' ')} {before[name]} (now {value})"
        for name, value in new["settings"].items()
        if before[name] != value and not (name in MAY_GROW and value > before[name])
    ]
    for name in ("potential", "structure", "bias"):
        (before, now) = (record.get(name, {"fingerprint": "", "source": "none"}) for record in (old, new))
        if before["fingerprint"] != now["fingerprint"]:
            differences.append(f"another {name} ({before['source']}, now {now['source']})")
    if differences:
        raise FfptError(
            f"{folder} holds a run with {', '.join(differences)}: repeat those settings or choose another folder"
        )


def settings_of(record: dict[str, Any]) -> MDSettings:
    """The settings in the record of a run."""
    names = {field.name for field in dataclasses.fields(MDSettings)}
    return MDSettings(**{name: value for name, value in record["settings"].items() if name in names})
