"""Makes the demo data, ffpt_core/datasets/data/combustion-dft.npz: reactions 9 and 1 of hydrogen combustion by DFT.

HO2 -> H + O2 on the doublet and OH + O -> H + O2 on the quartet surface, unrestricted, with a spin-broken initial
guess. All geometries are made here. Run from the root of the repository; finished batches are kept in WORK, so that a
stopped script continues:

    OMP_NUM_THREADS=1 python examples/data/make_combustion_dft.py WORK
"""

# ruff: noqa: E501  # the table of the data card

from __future__ import annotations

import dataclasses
import sys
import warnings
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from ase import Atoms

from ffpt_core.base.files import atomic_write
from ffpt_core.base.progress import console
from ffpt_core.base.units import KCAL_PER_MOL
from ffpt_core.datasets import Dataset, shift_energies
from ffpt_core.datasets.formats.combustion_corrections import Block, contradiction
from ffpt_core.potentials.sources import open_potential
from ffpt_core.sampling.labelling import Job, label
from ffpt_core.sampling.trajectory import teacher_frames
from ffpt_core.teachers.qforce.species_teachers import species_teacher

LEVEL = "wB97X/def2-TZVP/df"
NUMBERS = (8, 8, 1)
BATCH = 20
FRAMES = {"09": 300, "01": 300}
TEMPERATURE = 1500.0  # K, of the dynamics of HO2 with the Q-Force teacher
LIMIT = 3.0  # kcal/mol above what its neighbours say: dropped as another SCF solution

TARGET = Path(__file__).resolve().parents[2] / "ffpt_core" / "datasets" / "data" / "combustion-dft.npz"


@dataclass(frozen=True)
class Surface:
    """The spin of a surface, and the guesses (unpaired electrons of O, O, H) of which the lowest solution counts."""

    multiplicity: int
    guesses: tuple[str, ...]


SURFACES = {
    "09": Surface(2, ("1,1,-1",)),
    "01": Surface(4, ("2,1,0", "1,1,1")),  # O + OH, and O2 + H: each side has solutions that the other guess misses
}


def bent(r_oo: float, r_oh: float, angle: float) -> np.ndarray:
    """(3, 3) positions of O, O, H: the H on the second O, O-O-H angle in degrees."""
    theta = np.radians(angle)
    return np.array([[0.0, 0.0, 0.0], [r_oo, 0.0, 0.0], [r_oo - r_oh * np.cos(theta), r_oh * np.sin(theta), 0.0]])


def halton(index: int) -> float:
    """Numbers in (0, 1) that fill it evenly, however many are taken: the van der Corput sequence."""
    value, share = 0.0, 0.5
    while index:
        value += share * (index % 2)
        index, share = index // 2, share / 2
    return value


def on_path(reaction: str, place: float) -> tuple[float, float, float]:
    """r_OO, r_OH (Angstrom) and angle (degrees) at a place between 0 (reactants) and 1 (products)."""
    if reaction == "09":  # the H leaves, and the O-O bond shortens from that of HO2 to that of O2
        r_oh = 0.85 + 2.45 * place
        return 1.21 + 0.105 / (1 + np.exp((r_oh - 1.6) / 0.15)), r_oh, 105.0 + 8.0 * place
    # Bond orders n that add up to one, r = r_e - a ln n (Johnston's bond energy-bond order path).
    order = 1 / (1 + np.exp(5.0 - 10.0 * place))
    return 1.21 - 0.35 * np.log(order), 0.97 - 0.35 * np.log(1 - order), 180.0  # collinear on the quartet surface


def fragments(rng: np.random.Generator) -> np.ndarray:
    """OH and O, or O2 and H: a vibrating diatomic and an atom somewhere around it, nothing closer than a bond."""
    while True:
        hydroxyl = rng.random() < 0.5
        bond = rng.normal(0.97, 0.07) if hydroxyl else rng.normal(1.21, 0.06)
        direction = rng.normal(size=3)
        third = rng.uniform(1.0, 3.5) * direction / np.linalg.norm(direction)
        atom = np.array([bond, 0.0, 0.0])
        positions = np.array([third, np.zeros(3), atom]) if hydroxyl else np.array([atom, np.zeros(3), third])
        r_oo, r_oh = np.linalg.norm(positions[0] - positions[1]), np.linalg.norm(positions[:2] - positions[2], axis=1)
        if r_oo > 1.05 and r_oh.min() > 0.75:
            return positions


def geometries(reaction: str, count: int) -> np.ndarray:
    """(count, 3, 3) Angstrom, in turn: on the path, around the path, and dynamics of HO2 or fragments.

    The first frames do not depend on how many there are.
    """
    dynamics = teacher_frames(species_teacher("HO2"), 200, TEMPERATURE, seed=9).positions.reshape(-1, 3, 3)
    frames = []
    for index in range(count):
        rng = np.random.default_rng((int(reaction), index))
        place = halton(index // 3 + 1)
        r_oo, r_oh, angle = on_path(reaction, place)
        if index % 3 == 1:
            noise = rng.normal(size=3)
            r_oo, r_oh = max(r_oo + 0.08 * noise[0], 1.02), max(r_oh + 0.12 * noise[1], 0.78)
            angle = 180 - abs(180 - abs(angle + 25 * noise[2]))
        if index % 3 == 2:
            frames.append(dynamics[index // 3] if reaction == "09" else fragments(rng))
        else:
            frames.append(bent(r_oo, r_oh, angle))
    return np.array(frames).astype(np.float32).astype(np.float64)


def batch(reaction: str, positions: np.ndarray, work: Path, start: int) -> Dataset:
    """Labels of some frames, the lowest of all guesses; in files that a later run finds."""
    surface = SURFACES[reaction]
    solutions = []
    for index, spins in enumerate(surface.guesses):
        name = f"pyscf:{LEVEL}/spins={spins}"
        job = Job(Dataset.from_arrays(NUMBERS, positions), name, multiplicity=surface.multiplicity)
        solutions.append(label(job, work / f"{reaction}-{start:03d}-{index}.npz", quiet=True))
    energies = np.array([solution.energies for solution in solutions])
    forces = np.array([solution.forces.reshape(-1, 3, 3) for solution in solutions])
    best, frames = energies.argmin(axis=0), np.arange(len(positions))
    return Dataset.from_arrays(NUMBERS, positions, energies[best, frames], forces[best, frames], level=LEVEL)


def free_atoms() -> dict[int, float]:
    """Energies of the ground states of O and H, eV."""
    energies = {}
    for number, multiplicity in ((8, 3), (1, 2)):
        atom = Atoms(
            [number],
            [(0.0, 0.0, 0.0)],
            calculator=open_potential(f"pyscf:{LEVEL}", multiplicity=multiplicity).calculator(),
        )
        energies[number] = atom.get_potential_energy()
    return energies


def kept(reaction: str, frames: Dataset) -> Dataset:
    """The frames that are on one surface, with the reaction as their group."""
    positions, forces = frames.positions.reshape(-1, 3, 3), frames.forces.reshape(-1, 3, 3)
    block = Block(reaction, np.array(NUMBERS), positions, frames.energies / KCAL_PER_MOL, forces / KCAL_PER_MOL)
    above = contradiction(block)
    good = frames[above < LIMIT]
    console.print(f"reaction {reaction}: {len(frames) - len(good)} of {len(frames)} frames dropped as of another state")
    return dataclasses.replace(good, groups={"reaction": np.full(len(good), reaction)})


def main(work: Path) -> None:
    positions = {reaction: geometries(reaction, count) for reaction, count in FRAMES.items()}
    parts: dict[str, list[Dataset]] = {reaction: [] for reaction in FRAMES}
    for start in range(0, max(FRAMES.values()), BATCH):
        for reaction in FRAMES:
            some = positions[reaction][start : start + BATCH]
            if len(some):
                parts[reaction].append(batch(reaction, some, work, start))
                console.print(f"reaction {reaction}: {start + len(some)} of {FRAMES[reaction]}")
    atoms = free_atoms()
    surfaces = []
    for reaction, pieces in parts.items():
        frames = Dataset.concatenate(pieces)
        frames = dataclasses.replace(frames, energies=frames.energies - shift_energies(frames, atoms))
        surfaces.append(kept(reaction, frames))
    Dataset.concatenate(surfaces).save(TARGET, precision="float32")
    write_card(Dataset.load(TARGET), atoms)


CARD = """# combustion-dft.npz

{frames} labelled frames of O, O, H on two surfaces of hydrogen combustion: {doublets} of HO2 -> H + O2 (reaction 9, doublet) and {quartets} of OH + O -> H + O2 (reaction 1, quartet).

| | |
| --- | --- |
| level | wB97X/def2-TZVP (J.-D. Chai, M. Head-Gordon, J. Chem. Phys. 128, 084106 (2008); F. Weigend, R. Ahlrichs, Phys. Chem. Chem. Phys. 7, 3297 (2005)), unrestricted Kohn-Sham with density fitting, PySCF {pyscf}, default grids |
| spin | multiplicity 2 from a guess with opposite spins on O2 and H (broken symmetry where it is lower); multiplicity 4, the lower of the solutions from the guesses O + OH and O2 + H |
| geometries | made for this set, a third each: along a path, around it (0.08 A in O-O, 0.12 A in O-H, 25 degrees), and {temperature:g} K dynamics of HO2 with the Q-Force teacher (reaction 9) or an atom near a vibrating OH or O2 (reaction 1) |
| energy zero | free atoms at this level: O {oxygen:.6f} eV, H {hydrogen:.6f} eV |
| groups | reaction: 09 or 01 |
| units | positions Angstrom, energies eV, forces eV/Angstrom (minus the gradient) |
| precision | positions and forces rounded to 32 bits; labels were computed at the rounded positions; energies 64 bits |
| checks | frames more than {limit:g} kcal/mol above what the forces and energies of their neighbours say were dropped: other SCF solutions |
| energies | reaction 9: {low9:.3f} to {high9:.3f} eV; reaction 1: {low1:.3f} to {high1:.3f} eV |
| forces | root mean square {rms:.3f} eV/Angstrom per component |
| fingerprint | {fingerprint} |
| license | CC0 1.0: no rights reserved |
| made by | `OMP_NUM_THREADS=1 python examples/data/make_combustion_dft.py WORK` |

Both surfaces have the same atoms: where their geometries meet, their energies differ, and a potential without spin
cannot tell them apart. Train on one of them (`ffpt data split` and the group reaction), or accept the conflict.

The level is close to, and not the same as, that of the hydrogen combustion benchmark (wB97X-V/cc-pVTZ), of which no
frame is in this set.
"""


def write_card(data: Dataset, atoms: dict[int, float]) -> None:
    doublet, quartet = (data.groups["reaction"] == reaction for reaction in ("09", "01"))
    values = {
        "frames": len(data),
        "doublets": int(doublet.sum()),
        "quartets": int(quartet.sum()),
        "pyscf": version("pyscf"),
        "temperature": TEMPERATURE,
        "oxygen": atoms[8],
        "hydrogen": atoms[1],
        "limit": LIMIT,
        "low9": data.energies[doublet].min(),
        "high9": data.energies[doublet].max(),
        "low1": data.energies[quartet].min(),
        "high1": data.energies[quartet].max(),
        "rms": np.sqrt((data.forces**2).mean()),
        "fingerprint": data.fingerprint,
    }
    with atomic_write(TARGET.with_suffix(".md")) as stream:
        stream.write(CARD.format(**values))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: make_combustion_dft.py WORK (a folder for unfinished work)")
    warnings.simplefilter("ignore")  # pyscf's advice about other packages
    main(Path(sys.argv[1]))
