"""Makes the demo data, ffpt_core/datasets/data/aspirin-gfn2.npz: aspirin at 500 K, sampled and labelled with GFN2-xTB.

Run from the root of the repository, about 25 minutes on one core; finished runs are kept in WORK, so that a
stopped script continues:

    OMP_NUM_THREADS=1 python examples/data/make_aspirin_gfn2.py WORK
"""

# ruff: noqa: E501  # the table of the data card

from __future__ import annotations

import sys
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import thermalize_momenta
from tblite.ase import TBLite

from ffpt_core.base.files import atomic_path, atomic_write
from ffpt_core.base.progress import console
from ffpt_core.datasets import Dataset
from ffpt_core.teachers import Teacher, aspirin

TEMPERATURE = 500.0  # K
TIME_STEP = 0.5  # fs
FRICTION = 0.01  # 1/fs; strong, because only the distribution matters here
RUNS = 12
TEACHER_STEPS = 40_000  # 20 ps on the teacher: conformers that 1 ps of GFN2-xTB would not reach
EQUILIBRATION = 2_000  # steps of GFN2-xTB that are thrown away
FRAMES = 125  # kept in each run
STRIDE = 50  # steps between two kept frames: 25 fs
LABEL_ACCURACY = 0.01  # of tblite; forces are then reproducible to 1e-5 eV/Angstrom

TARGET = Path(__file__).resolve().parents[2] / "ffpt_core" / "datasets" / "data" / "aspirin-gfn2.npz"

CARD = """# aspirin-gfn2.npz

{frames} labelled frames of one aspirin molecule (C9H8O4, 21 atoms) in vacuum at {temperature:g} K.

| | |
| --- | --- |
| level | GFN2-xTB (C. Bannwarth, S. Ehlert, S. Grimme, J. Chem. Theory Comput. 15, 1652 (2019)), tblite {tblite}, accuracy {accuracy}, electronic temperature 300 K, charge 0, singlet |
| sampling | Langevin dynamics with ASE {ase}, GFN2-xTB forces, {temperature:g} K, {time_step:g} fs, friction {friction:g}/fs |
| runs | {runs} independent ones (seeds 0 to {last_run}), in this order in the file, {per_run} frames each, every {stride_fs:g} fs |
| start | relaxed structure of the GAFF-2.11 teacher, {teacher_ps:g} ps of the same dynamics on that teacher, then {equilibration_ps:g} ps of GFN2-xTB, all thrown away |
| units | positions Angstrom, energies eV (total energy of GFN2-xTB), forces eV/Angstrom (minus the gradient) |
| precision | positions and forces rounded to 32 bits; labels were computed at the rounded positions; energies 64 bits |
| atom order | that of MD17, rMD17 and the sGDML CCSD aspirin, and of the built-in teacher |
| energies | mean {mean:.3f} eV, standard deviation {std:.3f} eV |
| forces | root mean square {rms:.3f} eV/Angstrom per component |
| fingerprint | {fingerprint} |
| license | CC0 1.0: no rights reserved |
| made by | `OMP_NUM_THREADS=1 python examples/data/make_aspirin_gfn2.py WORK` |

Frames of one run follow one another by {stride_fs:g} fs and are correlated (the energy by {after_one:.2f} from one frame to
the next, by {after_eight:.2f} over eight); for a test set that is independent of the training set hold out whole runs.

GFN2-xTB is a semi-empirical method: good for trying ffpt out, not for predictions about aspirin.
"""


def dynamics(atoms: Atoms, rng: np.random.Generator) -> Langevin:
    return Langevin(
        atoms, TIME_STEP * units.fs, temperature_K=TEMPERATURE, friction=FRICTION / units.fs, rng=rng, fixcm=False
    )


def sample(run: int, teacher: Teacher) -> np.ndarray:
    """(FRAMES, n_atoms, 3) positions of one run, Angstrom."""
    rng = np.random.default_rng(run)
    atoms = teacher.atoms.copy()
    atoms.calc = teacher.calculator()
    thermalize_momenta(atoms, temperature_K=TEMPERATURE, rng=rng)
    dynamics(atoms, rng).run(TEACHER_STEPS)
    atoms.calc = TBLite(method="GFN2-xTB", verbosity=0)
    md = dynamics(atoms, rng)
    md.run(EQUILIBRATION)
    frames = []
    for _ in range(FRAMES):
        md.run(STRIDE)
        frames.append(atoms.positions - atoms.positions.mean(axis=0))
    return np.array(frames)


def label(positions: np.ndarray, numbers: np.ndarray) -> Dataset:
    """Single points from scratch: no frame sees the density of another."""
    energies, forces = [], []
    for frame in positions:
        atoms = Atoms(numbers, frame)
        atoms.calc = TBLite(method="GFN2-xTB", accuracy=LABEL_ACCURACY, verbosity=0)
        energies.append(atoms.get_potential_energy())
        forces.append(atoms.get_forces())
    return Dataset.from_arrays(numbers, positions, np.array(energies), np.array(forces), level="GFN2-xTB")


def check_bonds(positions: np.ndarray, bonds: np.ndarray) -> None:
    lengths = np.linalg.norm(positions[:, bonds[:, 0]] - positions[:, bonds[:, 1]], axis=2)
    if lengths.min() < 0.8 or lengths.max() > 1.9:
        raise SystemExit(f"a bond of {lengths.min():.2f} or {lengths.max():.2f} Angstrom: this is not aspirin any more")


def correlation(energies: np.ndarray, frames: int) -> float:
    """Autocorrelation of (n_runs, n_frames) energies over a number of frames."""
    rest = energies - energies.mean(axis=1, keepdims=True)
    return float((rest[:, :-frames] * rest[:, frames:]).mean() / (rest**2).mean())


def main(work: Path) -> None:
    teacher = aspirin()
    runs = []
    for run in range(RUNS):
        path = work / f"run-{run:02d}.npy"
        if not path.is_file():
            with atomic_path(path) as temporary:
                np.save(temporary, sample(run, teacher))
        runs.append(np.load(path))
        console.print(f"run {run + 1} of {RUNS}")
    positions = np.concatenate(runs).astype(np.float32).astype(np.float64)
    check_bonds(positions, teacher.bonds)
    label(positions, teacher.numbers).save(TARGET, precision="float32")
    dataset = Dataset.load(TARGET)
    by_run = dataset.energies.reshape(RUNS, FRAMES)
    values = {
        "frames": len(dataset),
        "temperature": TEMPERATURE,
        "time_step": TIME_STEP,
        "friction": FRICTION,
        "runs": RUNS,
        "last_run": RUNS - 1,
        "per_run": FRAMES,
        "stride_fs": STRIDE * TIME_STEP,
        "teacher_ps": TEACHER_STEPS * TIME_STEP / 1000,
        "equilibration_ps": EQUILIBRATION * TIME_STEP / 1000,
        "accuracy": LABEL_ACCURACY,
        "tblite": version("tblite"),
        "ase": version("ase"),
        "after_one": correlation(by_run, 1),
        "after_eight": correlation(by_run, 8),
        "mean": dataset.energies.mean(),
        "std": dataset.energies.std(),
        "rms": np.sqrt((dataset.forces**2).mean()),
        "fingerprint": dataset.fingerprint,
    }
    with atomic_write(TARGET.with_suffix(".md")) as stream:
        stream.write(CARD.format(**values))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: make_aspirin_gfn2.py WORK (a folder for unfinished work)")
    warnings.simplefilter("error", RuntimeWarning)
    main(Path(sys.argv[1]))
