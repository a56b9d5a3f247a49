"""The work of one labelling process: a few frames in a row, each calculated from scratch."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from subprocess import SubprocessError

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, CalculatorError, PropertyNotImplementedError

from ffpt_core.base.errors import FfptError
from ffpt_core.datasets import Dataset
from ffpt_core.sampling.resolved import Resolved, resolve

CHUNK_FRAMES: dict[str, int] = {"pyscf": 1, "ase": 8, "tblite": 16, "potential": 128, "teacher": 5000}
"""Frames written at once, by kind of calculator: at most seconds of work are lost when a run is killed."""

_REUSABLE = ("teacher", "potential")
"""Kinds that remember nothing from one frame to the next, so that one object serves all."""

_FAILURES = (
    CalculatorError,
    PropertyNotImplementedError,
    RuntimeError,
    ValueError,
    ArithmeticError,
    KeyError,
    OSError,
    SubprocessError,
    np.linalg.LinAlgError,
)
"""What calculators raise when a frame defeats them."""


@dataclass(frozen=True)
class ChunkResult:
    """Labels of some frames in a row.

    Args:
        energies: (n_frames,) eV; NaN where failed.
        forces: (n_atoms_total, 3) eV/Angstrom; NaN where failed.
        failed: reason by index of the frame in the whole job.
    """

    energies: np.ndarray
    forces: np.ndarray
    failed: dict[int, str] = field(default_factory=dict)


@lru_cache(maxsize=4)
def _resolved(name: str, charge: int, multiplicity: int) -> Resolved:
    return resolve(name, charge, multiplicity)


@lru_cache(maxsize=4)
def _shared(name: str, charge: int, multiplicity: int) -> Calculator:
    return _resolved(name, charge, multiplicity).make()


def _single_point(atoms: Atoms, calculator: Calculator) -> tuple[float, np.ndarray]:
    """Energy (eV) and forces (n_atoms, 3) in eV/Angstrom of one frame.

    Raises:
        FfptError: the calculator fails or gives numbers that are not finite; says why, not which frame.
    """
    bare = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    bare.calc = calculator
    try:
        energy, forces = float(bare.get_potential_energy()), np.array(bare.get_forces(), dtype=float)
    except _FAILURES as error:
        text = " ".join(str(error).split()) or type(error).__name__
        raise FfptError(f"{type(calculator).__name__} failed: {text}") from error
    if not np.isfinite(energy):
        raise FfptError(f"{type(calculator).__name__} gave an energy of {energy}")
    if forces.shape != (len(atoms), 3) or not np.isfinite(forces).all():
        raise FfptError(f"{type(calculator).__name__} gave forces that are not finite")
    return energy, forces


def label_chunk(
    frames: Dataset, calculator: str, charge: int, multiplicity: int, first: int, skip_failed: bool
) -> ChunkResult:
    """Label frames one by one.

    Args:
        frames: those of this chunk.
        calculator: its name, see ffpt_core.potentials.sources.
        charge: total charge, e.
        multiplicity: 2S + 1.
        first: index of the first of these frames in the whole job, for messages.
        skip_failed: note failures and go on.

    Raises:
        FfptError: a frame failed and failures are not skipped; names the frame.
    """
    resolved = _resolved(calculator, charge, multiplicity)
    energies = np.full(len(frames), np.nan)
    forces = np.full((len(frames.numbers), 3), np.nan)
    failed: dict[int, str] = {}
    for index, atoms in enumerate(frames):
        # A fresh object: a density kept from the last frame would leave its trace in the last digits.
        shared = resolved.kind in _REUSABLE
        engine = _shared(calculator, charge, multiplicity) if shared else resolved.make()
        mine = slice(frames.offsets[index], frames.offsets[index + 1])
        try:
            energies[index], forces[mine] = _single_point(atoms, engine)
        except FfptError as error:
            if not skip_failed:
                raise FfptError(f"frame {first + index}: {error}") from error
            failed[first + index] = str(error)
    return ChunkResult(energies, forces, failed)
