"""Any ASE calculator as a potential: MACE, ANI, AIMNet2, CHGNet, SevenNet, tblite, PySCF, and what comes next."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from subprocess import SubprocessError
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, CalculatorError, PropertyNotImplementedError

from ffpt_core.base.errors import FfptError
from ffpt_core.base.files import write_json
from ffpt_core.potentials.interface import ISOLATED, Periodicity, Potential, Prediction

FILE = "potential.json"
"""Its file in the folder of a run: the name that opens it again."""

FORMAT = "ffpt-named-potential"

FAILURES = (
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
"""What calculators raise when a structure defeats them."""


class CalculatorPotential(Potential):
    """An ASE calculator.

    Args:
        make: builds the calculator, or a calculator.
        level: level of theory of its energies.
        source: the name that open_potential opens it by; "" for an object that only this process has, with which a
            run in a folder cannot be started.
        elements: atomic numbers that it knows; None: it is asked.
        remembers: whether it keeps something of a structure for the next one, such as a density, that leaves its trace
            in the last digits. Then each structure gets a new calculator, so that numbers do not depend on what was
            computed before, and a run that was stopped continues exactly.
        isolated_only: whether it is for molecules in vacuum.
        electrons: of which charge and multiplicity they must be, (charge, 2S + 1); None: it has no say.
        on_gpu: whether it computes on a GPU.
        frames_at_once: how many frames are seconds of work, about.
    """

    def __init__(
        self,
        make: Callable[[], Calculator] | Calculator,
        level: str = "",
        source: str = "",
        *,
        elements: Iterable[int] | None = None,
        remembers: bool = False,
        isolated_only: bool = False,
        electrons: tuple[int, int] | None = None,
        on_gpu: bool = False,
        frames_at_once: int = 8,
    ) -> None:
        self._make: Callable[[], Calculator] = (lambda: make) if isinstance(make, Calculator) else make
        self.level = level
        self.source = source
        self.elements = None if elements is None else frozenset(elements)
        self.remembers = remembers
        self.isolated_only = isolated_only
        self.electrons = electrons
        self.on_gpu = on_gpu
        self.frames_at_once = frames_at_once

    @functools.cached_property
    def _shared(self) -> Calculator:
        try:
            return self._make()
        except (*FAILURES, ImportError, TypeError, AttributeError) as error:
            raise FfptError(f"{self.source or 'the calculator'} cannot be made: {_line(error)}") from error

    @property
    def gives_virial(self) -> bool:  # type: ignore[override]  # the calculator says
        """Whether the calculator implements the stress."""
        return "stress" in self._shared.implemented_properties

    def new_calculator(self) -> Calculator:
        """One that remembers nothing."""
        return self._make() if self.remembers else self._shared

    def calculator(self) -> Calculator:
        """The calculator itself."""
        return self._make()

    def check(
        self, numbers: Sequence[int] | np.ndarray, pbc: Periodicity = ISOLATED, *, needs_virial: bool = False
    ) -> None:
        """Refuse what it cannot do: elements, boxes, charges that the electrons cannot have, a pressure.

        Raises:
            FfptError: one of these, in one line.
        """
        super().check(numbers, pbc, needs_virial=needs_virial)
        if self.isolated_only and np.any(pbc):
            raise FfptError(f"{self.source or self.level} is for molecules in vacuum, not for a periodic box")
        if self.electrons is None:
            return
        charge, multiplicity = self.electrons
        electrons = int(np.sum(numbers)) - charge
        # tblite itself would go on with such numbers and say nothing.
        if electrons < multiplicity - 1 or (electrons - multiplicity) % 2 == 0:
            raise FfptError(
                f"{electrons} electrons (charge {charge}) cannot have multiplicity {multiplicity}; "
                "see --charge and --multiplicity"
            )

    def evaluator(
        self, numbers: Sequence[int] | np.ndarray, pbc: Periodicity = ISOLATED, copies: int = 1
    ) -> CalculatorEvaluator:
        """The calculator, asked for one copy after the other."""
        self.check(numbers, pbc)
        return CalculatorEvaluator(self, numbers, pbc, copies)

    def record(self) -> dict[str, Any]:
        """Its name, level and a fingerprint of both."""
        name = self.source or f"{type(self._shared).__module__}.{type(self._shared).__qualname__}"
        digest = hashlib.sha256(f"{name} {self.level}".encode()).hexdigest()
        return {"fingerprint": digest, "level": self.level, "source": name}

    def save_into(self, folder: str | os.PathLike[str]) -> None:
        """Write potential.json, which holds the name that opens it again.

        Raises:
            FfptError: a calculator without a name.
        """
        if not self.source:
            raise FfptError(
                "a run in a folder must be able to open its potential again: name the calculator, "
                "ase:module.Class?key=value, instead of giving the object"
            )
        write_json(Path(folder) / FILE, {"format": FORMAT, "source": self.source, **self.record()})


class CalculatorEvaluator:
    """An ASE calculator for a fixed list of atoms, or for copies of it one after the other.

    Args:
        potential: the calculator.
        numbers: atomic numbers of one copy.
        pbc: along which cell vectors the system is periodic.
        copies: number of copies, which share the cell.
    """

    def __init__(
        self,
        potential: CalculatorPotential,
        numbers: Sequence[int] | np.ndarray,
        pbc: Periodicity = ISOLATED,
        copies: int = 1,
    ) -> None:
        self.numbers = np.array(numbers, dtype=np.int64)
        self._potential = potential
        self._pbc = np.array(pbc, dtype=bool)
        self._copies = copies
        self._virial = bool(self._pbc.all()) and potential.gives_virial

    def __call__(self, positions: np.ndarray, cell: np.ndarray | None = None) -> Prediction:
        """Evaluate. Arguments and result are those of ffpt_core.potentials.interface.Evaluator.

        Raises:
            FfptError: the calculator fails, or gives an energy or forces of the wrong shape.
        """
        n = len(self.numbers)
        energies, forces = np.full(self._copies, np.nan), np.full((self._copies * n, 3), np.nan)
        virial = np.zeros((3, 3)) if self._virial else None
        for copy in range(self._copies):
            mine = slice(copy * n, (copy + 1) * n)
            if not np.isfinite(positions[mine]).all():  # a calculator may hang on it, or say anything
                virial = None if virial is None else np.full((3, 3), np.nan)
                continue
            atoms = Atoms(self.numbers, positions[mine], cell=cell, pbc=self._pbc)
            energies[copy], forces[mine], stress = self._single_point(atoms)
            if virial is not None and stress is not None:
                virial = virial + stress * atoms.cell.volume
        return Prediction(energies, forces, virial)

    def _single_point(self, atoms: Atoms) -> tuple[float, np.ndarray, np.ndarray | None]:
        calculator = self._potential.new_calculator()
        name = type(calculator).__name__
        atoms.calc = calculator
        try:
            energy, forces = float(atoms.get_potential_energy()), np.array(atoms.get_forces(), dtype=float)
            stress = np.array(atoms.get_stress(voigt=False), dtype=float) if self._virial else None
        except FAILURES as error:
            raise FfptError(f"{name} failed: {_line(error)}") from error
        if forces.shape != (len(atoms), 3):
            raise FfptError(f"{name} gave forces of shape {forces.shape} for {len(atoms)} atoms")
        return energy, forces, stress


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
