"""PLUMED, started: positions go in, the bias and its forces come out."""

from __future__ import annotations

import ctypes
import os
import re
import weakref
from dataclasses import dataclass
from typing import Any

import numpy as np

from ffpt_core.base.errors import FfptError
from ffpt_core.base.units import BOLTZMANN_KJ_PER_MOL
from ffpt_plumed.kernel.library import new_plumed

_SOURCE = re.compile(r"^\(.*\.(cpp|h|c):\d+\)|^ERROR$|^\+\+\+")
"""Lines of PLUMED's messages that are about its own source."""


@dataclass
class Setup:
    """What PLUMED is told before its first step.

    Args:
        script: text of the PLUMED input.
        timestep: ps, for the times that it prints; None: not known (a single point).
        temperature: K, for what needs kBT; None: the input says it where it is needed.
        masses: (n_atoms,) amu; None: not known, a CV that weighs atoms with them is then refused.
        charges: (n_atoms,) elementary charges; None: not known, likewise.
        restart: go on with the files that are there.
        log: where PLUMED's log goes; None: standard output.
    """

    script: str
    timestep: float | None = None
    temperature: float | None = None
    masses: np.ndarray | None = None
    charges: np.ndarray | None = None
    restart: bool = False
    log: str | os.PathLike[str] | None = None


class RunningPlumed:
    """One PLUMED object over the kernel. Units are PLUMED's and OpenMM's: nm, kJ/mol, ps, amu.

    Args:
        setup: what it is told.
        n_atoms: of the system.

    Raises:
        FfptError: no kernel; what PLUMED says about its input, in one line.
    """

    def __init__(self, setup: Setup, n_atoms: int) -> None:
        self._n_atoms = n_atoms
        self._masses = self._per_atom(setup.masses, "masses")
        self._charges = None if setup.charges is None else self._per_atom(setup.charges, "charges")
        self._plumed = new_plumed()
        # At the end of the process too: PLUMED complains of objects that outlive it.
        self._end = weakref.finalize(self, self._plumed.finalize)
        self._bias = np.zeros(1)
        self.virial = np.zeros((3, 3))
        """kJ/mol, of the last frame: the derivative of the bias with respect to strain, which is PLUMED's sign."""
        try:
            self._start(setup)
        except FfptError:
            self._end()
            raise

    def compute(
        self, step: int, positions: np.ndarray, box: np.ndarray | None, update: bool
    ) -> tuple[float, np.ndarray]:
        """The bias at a frame.

        Args:
            step: of the dynamics.
            positions: (n_atoms, 3) nm.
            box: (3, 3) nm; None: isolated.
            update: let PLUMED deposit, print and count: once for each step.

        Returns:
            kJ/mol, and the forces (n_atoms, 3) in kJ/mol/nm.

        Raises:
            FfptError: what PLUMED says, in one line; a bias that is not a number, before anything is deposited.
        """
        forces = np.zeros((self._n_atoms, 3))
        self.virial = np.zeros((3, 3))
        self._command("setStep", step)
        self._command("setMasses", self._masses)
        if self._charges is not None:
            self._command("setCharges", self._charges)
        self._command("setPositions", positions)
        self._command("setForces", forces)
        if box is not None:
            self._command("setBox", box)
        self._command("setVirial", self.virial)
        self._command("prepareCalc")
        self._command("performCalcNoUpdate")
        self._command("getBias", self._bias)
        if not (np.isfinite(self._bias[0]) and np.isfinite(forces).all()):
            raise FfptError(self._not_a_number(step))
        if update:
            self._command("update")
        return float(self._bias[0]), forces

    def close(self) -> None:
        """End PLUMED, which writes out its files."""
        self._end()

    def _start(self, setup: Setup) -> None:
        for key in ("setMDEnergyUnits", "setMDLengthUnits", "setMDTimeUnits", "setMDMassUnits", "setMDChargeUnits"):
            self._command(key, 1.0)
        self._command("setMDEngine", "OpenMM")
        self._command("setNatoms", self._n_atoms)
        self._command("setTimestep", 0.0 if setup.timestep is None else float(setup.timestep))
        if setup.temperature is not None:
            self._command("setKbT", setup.temperature * BOLTZMANN_KJ_PER_MOL)
        self._command("setRestart", int(setup.restart))
        if setup.log is not None:
            self._command("setLogFile", os.fspath(setup.log))
        self._command("init")
        self._command("readInputLines", setup.script)

    def _per_atom(self, values: np.ndarray | None, what: str) -> np.ndarray:
        if values is None:
            return np.full(self._n_atoms, np.nan)
        if len(values) != self._n_atoms:
            raise FfptError(f"PLUMED was given {len(values)} {what} for {self._n_atoms} atoms")
        return np.array(values, dtype=float)

    def _not_a_number(self, step: int) -> str:
        causes = "two atoms in one place, an angle or a torsion of atoms in line"
        if not np.isfinite(self._masses).all():
            causes += ", or one that needs masses, which PLUMED was not given"
        return f"the bias of PLUMED is not a number at step {step}: a CV is undefined there ({causes})"

    def _command(self, key: str, value: Any = None) -> None:
        try:
            self._plumed.cmd(key, value)
        except Exception as error:  # PlumedError, LeptonError and Python's own, by what C++ threw
            raise FfptError(message_of(error, self._n_atoms)) from error


def message_of(error: BaseException, n_atoms: int) -> str:
    """What PLUMED says in one line, from the outermost error to its cause, without the places in its source."""
    parts: list[str] = []
    cause: BaseException | None = error
    while cause is not None:
        lines = (line.strip() for line in str(cause).splitlines())
        parts.append(" ".join(line for line in lines if line and not _SOURCE.match(line)))
        cause = cause.__cause__
    text = ": ".join(filter(None, parts)) or "an error without a message"
    if "atom" in text and "out of range" in text:
        text += f" (the system has atoms 1 to {n_atoms})"
    return f"PLUMED: {text}"


def flush_files() -> None:
    """Hand everything that C libraries hold in buffers, PLUMED's among them, to the operating system."""
    ctypes.CDLL(None).fflush(None)
