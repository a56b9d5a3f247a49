"""Is a fast evaluation of a network the network? Compared on two geometries, always, before anybody uses it.

Compiled models have been wrong in public projects, by kilocalories and without a word.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import numpy as np
import torch
from ase import Atoms

from ffpt_core.base.errors import FfptError
from ffpt_core.potentials.interface import Evaluator, Periodicity
from ffpt_core.potentials.scaled_network import ScaledNetwork

PROBE_ATOMS = 100
"""Enough to compare two evaluations; all atoms of a large box would take longer than starting its simulation."""

PROBE_COPIES = 3
"""Copies that are compared: each has neighbours of other geometries."""

_TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}
"""Largest difference allowed between two evaluations, relative to the largest value."""

_ROUNDING = 5.0
"""Added to it: so many times what the network itself is off its evaluation in double precision."""

_GRID = 2.5
"""Angstrom."""

GeometryEvaluation = Callable[[np.ndarray, np.ndarray | None], tuple[float, np.ndarray]]
"""Positions and a cell or None, Angstrom, to an energy (eV) and forces (eV/Angstrom)."""


def probe_geometries(
    numbers: Sequence[int] | np.ndarray,
    pbc: bool | Periodicity = False,
    positions: np.ndarray | None = None,
    seed: int = 0,
) -> list[Atoms]:
    """Two rattled geometries on which to compare two evaluations of one potential.

    Args:
        numbers: atomic numbers; of more than PROBE_ATOMS the first ones are taken.
        pbc: whether, or along which vectors, they are periodic, in a triclinic box.
        positions: (n_atoms, 3) Angstrom, rattled by 0.1 Angstrom; without them atoms start on a cubic grid of
            2.5 Angstrom: far from any chemistry, but not so near each other that a potential must be wild.
        seed: of the noise.
    """
    rng = np.random.default_rng(seed)
    numbers = numbers[:PROBE_ATOMS]
    if positions is None:
        side = int(np.ceil(len(numbers) ** (1 / 3)))
        grid = np.stack(np.meshgrid(*[np.arange(side)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
        positions = _GRID * grid[: len(numbers)].astype(float)
    positions = positions[:PROBE_ATOMS]
    extent = np.ptp(positions, axis=0) + _GRID
    cell = np.diag(extent) + np.array([[0, 0, 0], [0.2, 0, 0], [-0.1, 0.3, 0]]) * extent[0] if np.any(pbc) else None
    frames = [positions + rng.normal(scale=0.1, size=np.shape(positions)) for _ in range(2)]
    return [Atoms(numbers, frame, cell=cell, pbc=pbc) for frame in frames]


def disagreement(
    evaluate: GeometryEvaluation, potential: ScaledNetwork, frames: Sequence[Atoms], copies: int = 1
) -> tuple[float, float]:
    """How far another evaluation of a potential is from the potential.

    Every frame is evaluated three times: TorchScript rewrites itself during the first two calls.

    Args:
        evaluate: what an engine will run.
        potential: the truth.
        frames: what to evaluate, in one box if periodic. Neighbouring copies are given different ones.
        copies: how many evaluate is for, one after the other.

    Returns:
        The largest difference of an energy (eV) and of a force component (eV/Angstrom), NaN if any is NaN.
    """
    energy_difference, force_difference = 0.0, 0.0
    expected = [potential.energy_and_forces(atoms) for atoms in frames]
    for start, atoms in enumerate(frames):
        shown = [(start + k) % len(frames) for k in range(copies)]
        energy = sum(expected[k][0] for k in shown)
        forces = np.concatenate([expected[k][1] for k in shown])
        positions = np.concatenate([frames[k].positions for k in shown])
        cell = np.array(atoms.cell) if atoms.pbc.any() else None
        for _ in range(3):
            other_energy, other_forces = evaluate(positions, cell)
            energy_difference = np.maximum(energy_difference, abs(other_energy - energy))
            force_difference = np.maximum(force_difference, np.abs(other_forces - forces).max(initial=0.0))
    return float(energy_difference), float(force_difference)


def check_evaluation(
    evaluate: GeometryEvaluation, potential: ScaledNetwork, frames: Sequence[Atoms], copies: int = 1
) -> tuple[float, float]:
    """Refuse an evaluation that does not give what its potential does. Takes and returns what disagreement does.

    Raises:
        FfptError: an energy or a force differs by more than rounding does; or the potential itself gives NaN.
    """
    energy, force = disagreement(evaluate, potential, frames, copies)
    numbers = torch.as_tensor(frames[0].numbers, dtype=torch.int64, device=potential.device)
    shift = float(potential.shifts.index_select(0, numbers).sum())
    evaluated = [potential.energy_and_forces(atoms) for atoms in frames]
    if not all(np.isfinite(value) and np.isfinite(forces).all() for value, forces in evaluated):
        raise FfptError(
            "the potential gives no finite energy on the geometry for the check: is it in Angstrom, with atoms apart?"
        )
    scale = max(1.0, *(abs(value - shift) for value, _ in evaluated), *(np.abs(f).max() for _, f in evaluated))
    exact = copy.deepcopy(potential).double().energy_and_forces
    rounding = max(np.abs(forces - exact(atoms)[1]).max() for atoms, (_, forces) in zip(frames, evaluated, strict=True))
    limit = _TOLERANCE[potential.dtype] * scale + _ROUNDING * rounding
    if not (energy <= copies * (limit + 1e-12 * abs(shift)) and force <= limit):
        raise FfptError(
            f"the evaluation is {energy:.2g} eV and {force:.2g} eV/A off the network in plain PyTorch, more than "
            f"the {limit:.2g} that rounding allows: this is a fault of what computes it (PyTorch {torch.__version__})"
        )
    return energy, force


def check_evaluator(
    make: Callable[[Sequence[int] | np.ndarray, int], Evaluator],
    potential: ScaledNetwork,
    numbers: Sequence[int] | np.ndarray,
    pbc: Periodicity,
    copies: int = 1,
) -> tuple[float, float]:
    """check_evaluation of what a backend makes for some atoms, on a part of them that is soon done.

    Args:
        make: the evaluator of atomic numbers and a number of copies.
        potential: what it must be.
        numbers: atomic numbers of the atoms that are to be evaluated.
        pbc: along which cell vectors they are periodic.
        copies: how many copies are to be evaluated.
    """
    frames, some = probe_geometries(numbers, pbc), min(copies, PROBE_COPIES)
    evaluator = make(frames[0].numbers, some)

    def evaluate(positions: np.ndarray, cell: np.ndarray | None) -> tuple[float, np.ndarray]:
        prediction = evaluator(positions, cell)
        return float(prediction.energies.sum()), prediction.forces

    return check_evaluation(evaluate, potential, frames, some)
