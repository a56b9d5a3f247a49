"""The contract of a potential as a function that anyone can call on theirs."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields

import numpy as np
from ase import Atoms
from scipy.spatial.transform import Rotation

from ffpt_core.base.errors import FfptError
from ffpt_core.potentials.interface import Potential, Prediction


@dataclass(frozen=True)
class Tolerances:
    """Largest differences that rounding, and a potential's own convergence, may make.

    Args:
        energy: eV.
        force: eV/Angstrom, between evaluations that should be the same.
        gradient: eV/Angstrom, between a force and the derivative of the energy by finite differences.
        step: Angstrom, of the finite differences.
    """

    energy: float = 1e-4
    force: float = 1e-4
    gradient: float = 1e-2
    step: float = 1e-3


@dataclass(frozen=True)
class ContractReport:
    """How far a potential is from the contract, for each part of it that applies to the structure.

    Args:
        gradient: largest |F + dE/dr|, eV/Angstrom, over the coordinates that were tried.
        repeat: largest difference of energies (eV) or forces (eV/Angstrom) of the same structure asked twice.
        copies: the same, of copies and of single evaluations.
        translation, rotation, permutation, wrapping: the same, of a structure that was moved, turned, listed in another
            order, or put back into its cell atom by atom; None where it does not apply.
        virial: largest |virial - dE/d(strain)|, eV; None where there is none.
    """

    gradient: float
    repeat: float
    copies: float
    translation: float
    rotation: float | None
    permutation: float | None
    wrapping: float | None
    virial: float | None

    def to_dict(self) -> dict[str, float | None]:
        """All fields, for JSON."""
        return {one.name: getattr(self, one.name) for one in fields(self)}


def check_potential(
    potential: Potential,
    atoms: Atoms,
    tolerances: Tolerances | None = None,
    *,
    coordinates: int = 6,
    ordered: bool = False,
    seed: int = 0,
) -> ContractReport:
    """Check that a potential is what dynamics, audits and labels take it for.

    Shapes and types; nothing that is passed in is modified; the record is JSON with a level and a fingerprint; the same
    structure gives the same numbers; copies give what single evaluations give; energies do not depend on where the
    structure is, how it is turned, in which order its atoms are listed or in which image of the cell each one is, and
    forces follow; forces are minus the derivative of the energy, and the virial is its derivative in a strain.

    Args:
        potential: the potential, ours or anyone's.
        atoms: a structure that it is for, away from its minimum; periodic or not.
        tolerances: None: those of single precision.
        coordinates: how many coordinates are displaced for finite differences; two evaluations each.
        ordered: whether it is for atoms in this very order, as a force field of one molecule is.
        seed: of the choice of coordinates, of the rotation and of the permutation.

    Raises:
        FfptError: the contract is broken; says by how much.
    """
    allowed = tolerances or Tolerances()
    _check_record(potential)
    random = np.random.default_rng(seed)
    probe = _Probe(potential, atoms)
    first = probe.predict(atoms.positions)
    # Something else in between, lest a calculator that keeps its last results answers from its memory.
    probe.predict(atoms.positions + random.normal(0, allowed.step, atoms.positions.shape))
    repeat = _difference(first, probe.predict(atoms.positions))
    _require("the same structure gives other numbers the second time", repeat, allowed.energy)

    copies = _copies(probe, first, random)
    _require("copies differ from single evaluations", copies, allowed.force)

    shifted = probe.predict(atoms.positions + np.array([1.3, -2.7, 0.9]))
    translation = _difference(first, shifted)
    _require("energy or forces change when everything is moved", translation, allowed.force)

    rotation = None if atoms.pbc.any() and not atoms.pbc.all() else _rotation(potential, atoms, first, random)
    if rotation is not None:
        _require("energy or forces do not follow a rotation", rotation, allowed.force)
    permutation = None if ordered else _permutation(potential, atoms, first, random)
    if permutation is not None:
        _require("energy or forces depend on the order of the atoms", permutation, allowed.force)
    wrapping = _wrapping(probe, atoms, first) if atoms.pbc.any() else None
    if wrapping is not None:
        _require("energy or forces depend on the image that an atom is in", wrapping, allowed.force)

    gradient = _gradient(probe, atoms, first, allowed.step, coordinates, random)
    _require("forces are not minus the derivative of the energy", gradient, allowed.gradient)
    virial = _virial(potential, atoms, first, allowed.step) if first.virial is not None and atoms.pbc.all() else None
    if virial is not None:
        _require("the virial is not the derivative of the energy in a strain", virial, 10 * allowed.gradient)
    return ContractReport(gradient, repeat, copies, translation, rotation, permutation, wrapping, virial)


class _Probe:
    """Evaluations of one structure, checked for their form."""

    def __init__(self, potential: Potential, atoms: Atoms) -> None:
        self.atoms = atoms
        self.potential = potential
        self.cell = np.array(atoms.cell) if atoms.pbc.any() else None
        self._evaluator = potential.evaluator(atoms.numbers, atoms.pbc)
        if not np.array_equal(self._evaluator.numbers, atoms.numbers):
            raise FfptError("the evaluator's numbers are not those that it was made for")

    def predict(self, positions: np.ndarray) -> Prediction:
        """One structure with these positions."""
        return checked_prediction(self._evaluator, positions, self.cell, 1)


def checked_prediction(evaluator: object, positions: np.ndarray, cell: np.ndarray | None, copies: int) -> Prediction:
    """A prediction whose form is right, from arguments that stay what they are.

    Raises:
        FfptError: shapes or types are wrong, or an argument was modified.
    """
    given = [positions] if cell is None else [positions, cell]
    before = [array.copy() for array in given]
    prediction = evaluator(positions, cell)  # type: ignore[operator]  # whatever it is, it must be callable
    if not all(map(np.array_equal, given, before)):
        raise FfptError("an evaluation modifies the positions or the cell that it is given")
    if not isinstance(prediction, Prediction):
        raise FfptError(f"an evaluation returns a {type(prediction).__name__}, not a Prediction")
    shapes = {"energies": (copies,), "forces": positions.shape, "virial": (3, 3)}
    for name, shape in shapes.items():
        value = getattr(prediction, name)
        if name == "virial" and value is None:
            continue
        if not isinstance(value, np.ndarray) or value.shape != shape or not np.issubdtype(value.dtype, np.floating):
            found = getattr(value, "shape", type(value).__name__)
            raise FfptError(f"{name} should be floating-point numbers of shape {shape}, not {found}")
    return Prediction(*(None if value is None else value.copy() for value in prediction))  # type: ignore[arg-type]


def _check_record(potential: Potential) -> None:
    record = potential.record()
    try:
        json.dumps(record)
    except TypeError as error:
        raise FfptError(f"the record is not JSON: {error}") from error
    missing = [key for key in ("level", "fingerprint") if key not in record]
    if missing:
        raise FfptError(f"the record lacks {' and '.join(missing)}")
    if record != potential.record():
        raise FfptError("the record changes from call to call")


def _require(what: str, found: float, allowed: float) -> None:
    if not found <= allowed:  # NaN too
        raise FfptError(f"{what}: by {found:.2g}, more than {allowed:.2g} (eV, Angstrom)")


def _difference(one: Prediction, other: Prediction) -> float:
    energies = np.abs(one.energies - other.energies).max()
    return float(max(energies, np.abs(one.forces - other.forces).max(initial=0.0)))


def _copies(probe: _Probe, first: Prediction, random: np.random.Generator) -> float:
    """Three copies, the second of another geometry, the third on top of the first."""
    positions = probe.atoms.positions
    moved = positions + random.normal(0, 0.02, positions.shape)
    single = probe.predict(moved)
    together = probe.potential.evaluator(probe.atoms.numbers, probe.atoms.pbc, copies=3)
    found = checked_prediction(together, np.concatenate([positions, moved, positions]), probe.cell, 3)
    expected = Prediction(
        np.concatenate([first.energies, single.energies, first.energies]),
        np.concatenate([first.forces, single.forces, first.forces]),
        None,
    )
    return _difference(found, expected)


def _rotation(potential: Potential, atoms: Atoms, first: Prediction, random: np.random.Generator) -> float | None:
    """Atoms and cell turned together; None for a potential whose boxes must be in a standard orientation."""
    matrix = Rotation.random(random_state=int(random.integers(2**31))).as_matrix()
    turned = atoms.copy()
    turned.positions = atoms.positions @ matrix.T
    turned.cell = np.array(atoms.cell) @ matrix.T
    try:
        found = _Probe(potential, turned).predict(turned.positions)
    except FfptError:
        if atoms.pbc.any():
            return None
        raise
    return _difference(Prediction(found.energies, found.forces @ matrix, None), first)


def _permutation(potential: Potential, atoms: Atoms, first: Prediction, random: np.random.Generator) -> float:
    order = random.permutation(len(atoms))
    found = _Probe(potential, atoms[order]).predict(atoms.positions[order])
    return _difference(found, Prediction(first.energies, first.forces[order], None))


def _wrapping(probe: _Probe, atoms: Atoms, first: Prediction) -> float:
    cells = np.zeros((len(atoms), 3))
    cells[::2] = atoms.pbc
    cells[1::3] -= atoms.pbc
    return _difference(first, probe.predict(atoms.positions + cells @ np.array(atoms.cell)))


def _gradient(
    probe: _Probe, atoms: Atoms, first: Prediction, step: float, coordinates: int, random: np.random.Generator
) -> float:
    chosen = random.permutation(atoms.positions.size)[:coordinates]
    worst = 0.0
    for coordinate in chosen:
        displacement = np.zeros(atoms.positions.size)
        displacement[coordinate] = step
        displacement = displacement.reshape(-1, 3)
        up, down = (probe.predict(atoms.positions + sign * displacement).energies[0] for sign in (1, -1))
        worst = max(worst, abs(first.forces.flat[coordinate] + (up - down) / (2 * step)))
    return float(worst)


def _virial(potential: Potential, atoms: Atoms, first: Prediction, step: float) -> float:
    assert first.virial is not None
    evaluator = potential.evaluator(atoms.numbers, atoms.pbc)
    worst = 0.0
    for row, column in ((0, 0), (1, 1), (2, 2)):  # a sheared box is not in every engine's standard form
        energies = []
        for sign in (1, -1):
            strain = np.eye(3)
            strain[row, column] += sign * step
            energies.append(evaluator(atoms.positions @ strain, np.array(atoms.cell) @ strain).energies[0])
        worst = max(worst, abs(first.virial[row, column] - (energies[0] - energies[1]) / (2 * step)))
    return float(worst)
