"""Known wrong labels of the hydrogen combustion benchmark, each with a name, mended or dropped.

The rules look at geometries, energies and forces and not at row numbers, so that they also hold for parts of a file.
``ffpt data combustion --list`` prints the names; docs/combustion.md has how each was found.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

import numpy as np

from ffpt_core.base.errors import FfptError


@dataclass(frozen=True)
class Block:
    """The frames of one file, in its units.

    Args:
        stem: name of the file without its suffix, such as "09_irc".
        numbers: (n_atoms,) atomic numbers, the same in all frames.
        positions: (n_frames, n_atoms, 3) Angstrom.
        energies: (n_frames,) kcal/mol.
        forces: (n_frames, n_atoms, 3) kcal/mol/Angstrom.
    """

    stem: str
    numbers: np.ndarray
    positions: np.ndarray
    energies: np.ndarray
    forces: np.ndarray

    def __len__(self) -> int:
        return len(self.energies)

    def distance(self, first: int, second: int) -> np.ndarray:
        """(n_frames,) Angstrom between two atoms."""
        return np.linalg.norm(self.positions[:, first] - self.positions[:, second], axis=1)


@dataclass(frozen=True)
class Correction:
    """A rule for one kind of wrong label: it drops frames or mends forces, never both.

    Args:
        name: stable name, to switch it off.
        files: stems that it concerns.
        what: what is wrong, and what is done.
        drop: (n_frames,) mask of frames to leave out.
        mend: (n_frames, n_atoms, 3) forces in place of those of the file.
    """

    name: str
    files: tuple[str, ...]
    what: str
    drop: Callable[[Block], np.ndarray] | None = None
    mend: Callable[[Block], np.ndarray] | None = None


_AIMD = tuple(f"{number:02d}_aimd" for number in (1, 2, 3, 4, *range(8, 20)))

CONTRADICTION = 2.0
"""kcal/mol above what its neighbours say, from which an energy counts as that of another SCF solution."""


def turned_back(positions: np.ndarray, forces: np.ndarray) -> np.ndarray:
    """Forces turned by the smallest rotation that takes away their torque: those of an isolated molecule have none.

    With the torque t = sum r x f and M = sum r f^T, a small rotation w of the forces changes t by (tr(M) - M^T) w;
    Newton steps on that. A rotation about an axis on which all atoms (or all forces) nearly lie is not determined
    and is left out.

    Args:
        positions: (n_atoms, 3).
        forces: (n_atoms, 3).

    Returns:
        (n_atoms, 3), of the same lengths.
    """
    centred = positions - positions.mean(axis=0)
    for _ in range(50):
        torque = np.cross(centred, forces).sum(axis=0)
        moments = centred.T @ forces
        step = -np.linalg.pinv(np.trace(moments) * np.eye(3) - moments.T, rcond=0.02) @ torque
        angle = float(np.linalg.norm(step))
        if angle < 1e-12:
            break
        step *= min(1.0, 0.2 / angle)
        forces = _rotated(forces, step)
    return forces


def _rotated(vectors: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """(n, 3) vectors turned about an axis by the length of rotation (rad)."""
    from scipy.spatial.transform import Rotation

    return np.asarray(Rotation.from_rotvec(rotation).apply(vectors))


def _turned_back(block: Block) -> np.ndarray:
    return np.array([turned_back(*frame) for frame in zip(block.positions, block.forces, strict=True)])


def _slopes(block: Block) -> tuple[np.ndarray, np.ndarray]:
    """(n_frames, n_pairs) distances (Angstrom) of all pairs, and dE/d(distance) that give the forces.

    In molecules of up to four atoms the distances are as many as the internal coordinates, so that they are unique
    but where the molecule is flat.
    """
    atoms = len(block.numbers)
    first, second = np.triu_indices(atoms, 1)
    between = block.positions[:, first] - block.positions[:, second]
    distances = np.linalg.norm(between, axis=2)
    jacobian = np.zeros((len(block), len(first), atoms, 3))
    pairs = np.arange(len(first))
    jacobian[:, pairs, first] = between / distances[:, :, None]
    jacobian[:, pairs, second] = -jacobian[:, pairs, first]
    inverse = np.linalg.pinv(jacobian.reshape(len(block), len(first), -1).transpose(0, 2, 1), rcond=1e-3)
    return distances, -np.einsum("fpx,fx->fp", inverse, block.forces.reshape(len(block), -1))


def contradiction(block: Block, neighbours: int = 12, reach: float = 0.15) -> np.ndarray:
    """How far each energy lies above what the frames around it say, in the units of the block.

    From a neighbour j within reach (in the space of all distances) the energy of frame i should be E_j plus the mean
    of both gradients times the way (trapezoid rule). The median over the neighbours is what they say together.

    Args:
        block: frames of one molecule of three or four atoms.
        neighbours: how many to ask.
        reach: Angstrom.

    Returns:
        (n_frames,) kcal/mol; 0 for a frame without neighbours.
    """
    from scipy.spatial import cKDTree

    distances, slopes = _slopes(block)
    away, near = cKDTree(distances).query(distances, min(neighbours + 1, len(block)))
    way = distances[:, None] - distances[near]
    said = block.energies[near] + 0.5 * ((slopes[near] + slopes[:, None]) * way).sum(axis=2)
    above = block.energies[:, None] - said
    asked = (away <= reach) & (near != np.arange(len(block))[:, None])
    masked = np.ma.masked_array(above, ~asked)
    return np.asarray(np.ma.median(masked, axis=1).filled(0.0))


def _other_scf(block: Block) -> np.ndarray:
    """Frames above their neighbours; those are asked again without the ones found before, until none is left."""
    bad = np.zeros(len(block), dtype=bool)
    while True:
        left = np.flatnonzero(~bad)
        found = left[contradiction(_take(block, left)) > CONTRADICTION]
        if not len(found):
            return bad
        bad[found] = True


def _take(block: Block, frames: np.ndarray) -> Block:
    return replace(
        block, positions=block.positions[frames], energies=block.energies[frames], forces=block.forces[frames]
    )


def _above(start: float, energy: float) -> Callable[[Block], np.ndarray]:
    """Diatomic frames longer than start (Angstrom) with an energy above energy (kcal/mol)."""
    return lambda block: (block.distance(0, 1) > start) & (block.energies > energy)


def _oxygen_masses(block: Block) -> np.ndarray:
    """Forces on O divided by 15.999 / 15.9949 where that brings the sum of forces of a frame nearer to zero."""
    mended = block.forces.copy()
    mended[:, block.numbers == 8] *= 15.9949 / 15.999
    better = np.linalg.norm(mended.sum(axis=1), axis=1) < np.linalg.norm(block.forces.sum(axis=1), axis=1)
    return np.where(better[:, None, None], mended, block.forces)


CORRECTIONS: dict[str, Correction] = {
    correction.name: correction
    for correction in (
        Correction(
            "06a-scf",
            ("06a_irc",),
            "O2 scan beyond 2.65 A: an SCF solution 34 kcal/mol up; dropped",
            _above(2.65, 10.0),
        ),
        Correction(
            "06b-dissociation",
            ("06b_irc",),
            "O2 scan beyond 1.7 A: the triplet determinant goes to +17 kcal/mol, above the broken-symmetry singlet "
            "(06a); dropped",
            lambda block: block.distance(0, 1) > 1.71,
        ),
        Correction(
            "07-scf", ("07_irc",), "OH scan beyond 3 A: an SCF solution 17 kcal/mol up; dropped", _above(3.0, 8.0)
        ),
        Correction(
            "08-scf",
            ("08_irc", "08_nm"),
            "H2O near O-H 1.77 to 2.08 A: energies of other SCF solutions; dropped where more than "
            f"{CONTRADICTION:g} kcal/mol above what the frames around them say",
            _other_scf,
        ),
        Correction(
            "15-scf", ("15_irc", "15_nm"), "H2O2 near O-O 1.90 to 1.97 A: the same as 08-scf; dropped", _other_scf
        ),
        Correction(
            "03-irc-forces",
            ("03_irc",),
            "forces turned against the positions by 2 to 5 degrees; turned back until the torque vanishes",
            mend=_turned_back,
        ),
        Correction(
            "09-irc-forces",
            ("09_irc",),
            "forces turned against the positions by up to 67 degrees; turned back until the torque vanishes",
            mend=_turned_back,
        ),
        Correction(
            "04-aimd-forces",
            ("04_aimd",),
            "forces 0.264% too small, by the factor of a wrong unit (1182.683 for 1185.821); multiplied",
            mend=lambda block: block.forces * (1185.821 / 1182.683),
        ),
        Correction(
            "aimd-oxygen-forces",
            _AIMD,
            "forces on O 0.026% too large, by a mass of 15.999 for 15.9949; divided where the net force then shrinks",
            mend=_oxygen_masses,
        ),
    )
}
"""The corrections by name, in the order in which they are made."""


def corrected(block: Block, without: Collection[str] = ()) -> tuple[Block, dict[str, int]]:
    """A block with its corrections made.

    Args:
        block: the frames of a file, as they are there.
        without: names of corrections to leave out.

    Returns:
        The block, and by name of each correction that concerns it how many frames it dropped or changed.

    Raises:
        FfptError: a name that is not in CORRECTIONS.
    """
    unknown = sorted(set(without) - set(CORRECTIONS))
    if unknown:
        raise FfptError(f"no correction is called {unknown[0]!r}; there are {', '.join(CORRECTIONS)}")
    counts = {}
    for correction in CORRECTIONS.values():
        if block.stem not in correction.files or correction.name in without:
            continue
        if correction.drop is not None:
            bad = correction.drop(block)
            counts[correction.name] = int(bad.sum())
            block = _take(block, np.flatnonzero(~bad))
        elif correction.mend is not None:
            forces = correction.mend(block)
            counts[correction.name] = int((forces != block.forces).any(axis=(1, 2)).sum())
            block = replace(block, forces=forces)
    return block, counts
