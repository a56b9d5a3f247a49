"""Reference data of liquid water from nothing: a box of a flexible model, equilibrated, simulated, labelled."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ffpt_core.base.errors import FfptError
from ffpt_core.base.files import read_json, write_json
from ffpt_core.base.progress import progress_bar
from ffpt_core.base.runs import Parts
from ffpt_core.base.version import __version__
from ffpt_core.datasets import Dataset
from ffpt_core.sampling.trajectory import Dynamics, Trajectory
from ffpt_core.teachers import Teacher

SETS = ("train", "test")
"""Names of the data sets: each is a trajectory of its own, with its own start, equilibration and noise."""


@dataclass(frozen=True)
class WaterBox:
    """What the data are.

    Args:
        model: water model, a name in ffpt_core.teachers.water.WATER_MODELS.
        n_molecules: in the box.
        density: g/cm3.
        cutoff: of Lennard-Jones and of Ewald's real-space part, Angstrom.
        dynamics: temperature, friction, time step.
        train, test: labelled frames.
        interval, test_interval: ps between training frames and between test frames.
        equilibration: ps before the first frame of each.
        seed: of orientations, velocities and noise.
    """

    model: str = "spcfw"
    n_molecules: int = 64
    density: float = 0.997
    cutoff: float = 6.0
    dynamics: Dynamics = field(default_factory=Dynamics)
    train: int = 1000
    test: int = 10_000
    interval: float = 1.0
    test_interval: float = 0.1
    equilibration: float = 50.0
    seed: int = 0

    def box(self, which: int = 0) -> Teacher:
        """The box that a set starts from; the force field is the same for both."""
        from ffpt_core.teachers.water import water_box

        return water_box(self.model, self.n_molecules, self.density, self.cutoff, seed=2 * self.seed + which)

    def identity(self) -> dict[str, Any]:
        """What the data depend on, as JSON values."""
        return dataclasses.asdict(self)


def make_water_box(settings: WaterBox, folder: Path) -> dict[str, Dataset]:
    """Write train.npz, test.npz, the teacher folder reference/ and water-box.json into a folder.

    Stopped or killed, the same call goes on where it was, from FOLDER.parts, and writes what an unbroken one would
    have written. The structure in reference/ is the last frame of the first set: an equilibrated liquid.

    Args:
        settings: what to make.
        folder: where.

    Returns:
        The data sets by name; one that has no frames is left out.

    Raises:
        FfptError: settings that make no sense; a folder or unfinished work of other settings; a disk that is full.
    """
    identity, parts = settings.identity(), Parts(folder)
    trajectories = _trajectories(settings, parts)
    record_path = folder / "water-box.json"
    with parts.held():
        if record_path.is_file():
            if read_json(record_path).get("input") != identity:
                raise FfptError(f"{folder} holds a water box of other settings: choose another folder")
            parts.remove()  # left by a kill between the record and the end
            return {name: Dataset.load(folder / f"{name}.npz") for name in trajectories}
        if not parts.begun and folder.is_dir() and any(folder.iterdir()):
            raise FfptError(f"{folder} holds something else: choose another folder")
        parts.claim(identity)
        made = _make(settings, trajectories, folder, record_path)
        parts.remove()
    return made


def _make(
    settings: WaterBox, trajectories: dict[str, Trajectory], folder: Path, record_path: Path
) -> dict[str, Dataset]:
    """Simulate and write; the record comes last."""
    made: dict[str, Dataset] = {}
    started = time.process_time()
    for name, trajectory in trajectories.items():
        with progress_bar(f"Water, {name}", trajectory.n_frames) as advance:
            made[name] = trajectory.run(advance)
        # Thermal noise does not compress.
        made[name].save(folder / f"{name}.npz", compressed=False)
        if len(made) == 1:
            reference = _at(trajectory.teacher, made[name])
            reference.save(folder / "reference")
    record = {
        "format": "ffpt-water-box",
        "ffpt_version": __version__,
        "input": settings.identity(),
        "reference": reference.provenance,
        "units": {"density": "g/cm3", "cutoff": "Angstrom", "temperature": "K", "friction": "1/ps", "timestep": "fs",
                  "interval": "ps", "equilibration": "ps"},
        "fingerprints": {name: dataset.fingerprint for name, dataset in made.items()},
        "cpu_seconds_of_this_call": time.process_time() - started,
    }  # fmt: skip
    write_json(record_path, record)
    return made


def _at(teacher: Teacher, frames: Dataset) -> Teacher:
    """The teacher with the last of some frames as its structure."""
    atoms = frames[-1]
    atoms.calc = None
    return dataclasses.replace(teacher, atoms=atoms)


def _trajectories(settings: WaterBox, parts: Parts) -> dict[str, Trajectory]:
    """The trajectory of each set that has frames."""
    made = {}
    for which, (name, frames, interval) in enumerate(
        zip(SETS, (settings.train, settings.test), (settings.interval, settings.test_interval), strict=True)
    ):
        if frames:
            made[name] = Trajectory(
                settings.box(which), settings.dynamics, frames, interval, settings.equilibration,
                (settings.seed, which), parts, name,
            )  # fmt: skip
    if not made:
        raise FfptError("a data set needs frames: training or test frames")
    return made
