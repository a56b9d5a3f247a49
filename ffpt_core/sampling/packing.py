"""Frames of single molecules packed into periodic boxes, in which molecules only keep each other at a distance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase.data import atomic_masses
from scipy.spatial.transform import Rotation

from ffpt_core.base.errors import FfptError
from ffpt_core.base.units import GRAM_PER_CUBIC_CENTIMETRE
from ffpt_core.datasets import Dataset
from ffpt_core.structure.periodic import nearest_image

_TRIES = 2000
"""Random places that a molecule is offered before its box counts as full."""

_CHUNK = 1_000_000
"""Distances that are held at once."""


@dataclass(frozen=True)
class Wall:
    """What molecules feel of each other: stiffness / 2 (reach - d)^2 for every two of their atoms nearer than reach.

    Args:
        reach: Angstrom; hydrogen bonds in water begin at 1.5, all else between molecules further out.
        stiffness: eV/Angstrom^2.
    """

    reach: float = 1.5
    stiffness: float = 20.0


def pack(
    frames: Dataset,
    n_molecules: int = 8,
    density: float = 1.0,
    min_distance: float = 1.0,
    wall: Wall | None = None,
    seed: int = 0,
) -> Dataset:
    """Boxes of molecules that are near each other, and feel nothing of each other but a wall at contact.

    A potential that has seen one molecule alone knows nothing of neighbours: its forces in a liquid are those of
    chance, and fine-tuning has to unlearn them first. Pre-trained on such boxes it has the teacher's surface of the
    molecule whatever is around it, no interactions to begin with, and molecules that cannot fall into each other.

    Molecules are turned and placed at random, one after the other, where they keep a distance to all atoms that are
    there already (random sequential addition). Energies are sums over molecules and the wall; forces turn with the
    molecules.

    Args:
        frames: of one isolated molecule, labelled or not. Each is used once, in random order; the last few that do not
            fill a box are left out.
        n_molecules: in a box, a cube.
        density: g/cm3.
        min_distance: between atoms of different molecules, Angstrom.
        wall: between them; Wall() when None.
        seed: of the order, places and turns.

    Returns:
        (n_frames // n_molecules) boxes.

    Raises:
        FfptError: frames of several molecules or of boxes, fewer of them than molecules, an impossible number, or a
            box that is too small or so dense that a molecule found no place.
    """
    wall = wall or Wall()
    molecule = _molecule(frames)
    if n_molecules < 1 or not density > 0 or not min_distance >= 0:
        raise FfptError("packing needs at least one molecule, a positive density and a distance that is not negative")
    if not (wall.reach >= 0 and wall.stiffness >= 0):
        raise FfptError("the wall between molecules needs a reach and a stiffness that are not negative")
    n_boxes = len(frames) // n_molecules
    if n_boxes == 0:
        raise FfptError(f"{len(frames)} frames do not fill a box of {n_molecules} molecules")
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(len(frames))[: n_boxes * n_molecules]
    shape = (n_boxes, n_molecules, len(molecule), 3)
    shapes = frames.positions.reshape(len(frames), -1, 3)[chosen].reshape(shape)
    shapes = shapes - shapes.mean(axis=2, keepdims=True)
    edge = _edge(molecule, n_molecules, density)
    _check_room(shapes, edge, max(min_distance, wall.reach))
    positions, turns = np.empty(shape), np.empty((n_boxes, n_molecules, 3, 3))
    contact, push = np.empty(n_boxes), np.empty(shape)
    size = max(1, _CHUNK // (n_molecules * len(molecule)) ** 2)
    for part in (slice(start, start + size) for start in range(0, n_boxes, size)):
        positions[part], turns[part] = _placed(shapes[part], edge, min_distance, rng)
        contact[part], push[part] = _contacts(positions[part], edge, wall)
    energies, forces = frames.energies, frames.forces
    if energies is not None:
        energies = energies[chosen].reshape(n_boxes, n_molecules).sum(axis=1) + contact
    if forces is not None:
        turned = np.einsum("bmij,bmaj->bmai", turns, forces.reshape(len(frames), -1, 3)[chosen].reshape(shape))
        forces = (turned + push).reshape(-1, 3)
    return Dataset(
        numbers=np.tile(molecule, n_boxes * n_molecules),
        offsets=np.arange(n_boxes + 1) * n_molecules * len(molecule),
        positions=positions.reshape(-1, 3),
        energies=energies,
        forces=forces,
        cells=np.tile(edge * np.eye(3), (n_boxes, 1, 1)),
        pbc=np.ones((n_boxes, 3), dtype=bool),
        level=f"{frames.level}, single molecules packed" if frames.level else "",
    )


def _molecule(frames: Dataset) -> np.ndarray:
    """(n_atoms,) atomic numbers of the one molecule of a data set."""
    if frames.pbc.any():
        raise FfptError("packing takes frames of isolated molecules: these are periodic")
    numbers = frames.numbers[: frames.n_atoms[0]] if len(frames) else np.zeros(0, dtype=int)
    if (frames.n_atoms != len(numbers)).any() or (frames.numbers.reshape(len(frames), -1) != numbers).any():
        raise FfptError("packing takes frames of one molecule: these have several")
    return numbers


def _edge(molecule: np.ndarray, n_molecules: int, density: float) -> float:
    """Edge of the box in Angstrom."""
    volume = n_molecules * atomic_masses[molecule].sum() / (density * GRAM_PER_CUBIC_CENTIMETRE)
    return float(volume ** (1 / 3))


def _check_room(shapes: np.ndarray, edge: float, reach: float) -> None:
    """No molecule may feel its own image, nor two images of an atom."""
    # Atoms lie no further from the centre than this, nor from each other than twice this.
    extent = 2 * float(np.sqrt((shapes**2).sum(axis=-1).max()))
    needed = max(extent, reach) + reach
    if needed > edge:
        raise FfptError(
            f"boxes of {edge:.1f} Angstrom are too small for molecules of up to {extent:.1f}: {needed:.1f} are needed; "
            "pack more molecules, or a lower density"
        )


def _placed(
    shapes: np.ndarray, edge: float, min_distance: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Positions of all molecules (whole, their centres in the box) and the (n_boxes, n_molecules, 3, 3) turns."""
    n_boxes, n_molecules = shapes.shape[:2]
    placed, turns = np.empty_like(shapes), np.empty((n_boxes, n_molecules, 3, 3))
    for which in range(n_molecules):
        waiting = np.arange(n_boxes)
        for _ in range(_TRIES):
            turn = Rotation.random(len(waiting), rng=rng).as_matrix()
            centres = rng.uniform(0.0, edge, (len(waiting), 1, 3))
            trial = centres + np.einsum("bij,baj->bai", turn, shapes[waiting, which])
            others = placed[waiting, :which].reshape(len(waiting), -1, 3)
            distances = np.linalg.norm(nearest_image(trial[:, :, None] - others[:, None], edge * np.eye(3)), axis=-1)
            fits = distances.min(axis=(1, 2), initial=np.inf) >= min_distance
            placed[waiting[fits], which], turns[waiting[fits], which] = trial[fits], turn[fits]
            waiting = waiting[~fits]
            if not len(waiting):
                break
        else:
            raise FfptError(
                f"molecule {which + 1} of {n_molecules} found no place {min_distance:g} Angstrom from the others: "
                "choose a lower density or a shorter distance"
            )
    return placed, turns


def _contacts(positions: np.ndarray, edge: float, wall: Wall) -> tuple[np.ndarray, np.ndarray]:
    """Energies (n_boxes,) and forces of the wall between molecules at (n_boxes, n_molecules, n_atoms, 3)."""
    n_boxes, n_molecules, n_atoms, _ = positions.shape
    flat = positions.reshape(n_boxes, -1, 3)
    of = np.repeat(np.arange(n_molecules), n_atoms)
    vectors = nearest_image(flat[:, :, None] - flat[:, None], edge * np.eye(3))
    distances = np.linalg.norm(vectors, axis=-1)
    overlap = np.where(of[:, None] != of, np.clip(wall.reach - distances, 0.0, None), 0.0)
    energies = 0.25 * wall.stiffness * (overlap**2).sum(axis=(1, 2))  # every pair is there twice
    strength = wall.stiffness * overlap / np.where(overlap > 0, distances, 1.0)
    return energies, np.einsum("bij,bijk->bik", strength, vectors).reshape(positions.shape)
