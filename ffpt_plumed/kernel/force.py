"""PLUMED in OpenMM."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import openmm

from ffpt_core.base.errors import FfptError
from ffpt_plumed.kernel.plumed import RunningPlumed, Setup
from ffpt_plumed.text.plumed_input import PlumedInput

if TYPE_CHECKING:
    from openmm import State, System

BACKENDS: tuple[str, ...] = ("pythonforce", "openmm-plumed")
"""Ways to run PLUMED's kernel inside OpenMM."""


class PlumedFunction:
    """What the PythonForce calls: positions of a State to the bias (kJ/mol) and its forces (kJ/mol/nm).

    OpenMM asks for forces more than once at a step: the first call of a step lets PLUMED deposit and print, later ones
    at the same positions get the same answer, so that who looks at energies does not change the dynamics.

    Args:
        setup: of PLUMED, which starts at the first call; changes after that have no effect.
    """

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.periodic = False
        self.error: FfptError | None = None
        """Why PLUMED stopped, behind the text that OpenMM makes of it."""
        self._plumed: RunningPlumed | None = None
        self._last: tuple[int, float, np.ndarray, np.ndarray | None] | None = None
        self._answer: tuple[float, np.ndarray] | None = None

    def __call__(self, state: State) -> tuple[float, np.ndarray]:
        """Raises what RunningPlumed raises, and where the timestep is not that of the integrator."""
        positions = state.getPositions(asNumpy=True)._value
        if not np.isfinite(positions).all():
            return np.nan, np.full_like(positions, np.nan)  # for OpenMM to report; PLUMED's grids fail at a NaN
        box = state.getPeriodicBoxVectors(asNumpy=True)._value if self.periodic else None
        try:
            return self._compute(state.getStepCount(), state.getTime()._value, positions, box)
        except FfptError as error:
            self.error = error
            raise

    def forget(self) -> None:
        """Compute at the next call even at the same positions: with the hill that was deposited there."""
        self._answer = None

    def close(self) -> None:
        """End PLUMED, which writes out its files. The next call starts it anew."""
        if self._plumed is not None:
            self._plumed.close()
        self._plumed = self._last = self._answer = None

    def __reduce__(self) -> Any:
        raise TypeError("a PlumedForce holds a running PLUMED and its files: add one to the copied System instead")

    def _compute(
        self, step: int, time: float, positions: np.ndarray, box: np.ndarray | None
    ) -> tuple[float, np.ndarray]:
        if self._plumed is None:
            self._plumed = RunningPlumed(self.setup, len(positions))
        new = self._last is None or step != self._last[0]
        if new:
            self._check_timestep(step, time)
        if new or self._answer is None or not self._is_last(positions, box):
            self._answer = self._plumed.compute(step, positions, box, update=new)
            self._last = (step, time, positions, box)
        return self._answer

    def _is_last(self, positions: np.ndarray, box: np.ndarray | None) -> bool:
        if self._last is None:
            return False
        _, _, before, box_before = self._last
        if box is None or box_before is None:
            return box is box_before and np.array_equal(positions, before)
        return np.array_equal(box, box_before) and np.array_equal(positions, before)

    def _check_timestep(self, step: int, time: float) -> None:
        """PLUMED counts steps; the times that it prints, and what depends on them, need the right timestep."""
        told = self.setup.timestep
        if told is None and step > 0:
            raise FfptError(
                "PLUMED needs the timestep of the integrator, which OpenMM does not tell a PythonForce: "
                f"PlumedForce(script, system, timestep={time / step:g}) (ps), or setTimestep"
            )
        if told is not None and self._last is not None and step == self._last[0] + 1:
            measured = time - self._last[1]
            if abs(measured - told) > 1e-3 * told:
                raise FfptError(f"PLUMED was told a timestep of {told:g} ps, the integrator makes {measured:g} ps")


class PlumedForce(openmm.PythonForce):
    """A bias that a PLUMED input describes, as openmm-plumed's force of this name, over a kernel and the plumed wheel.

        system.addForce(PlumedForce(open("plumed.dat").read(), system, timestep=0.0005))

    openmm-plumed's force finds masses, charges, the box and the timestep by itself. A PythonForce is told nothing
    about its System, so they are given here; the input alone is enough for energies and forces of single frames of an
    isolated system by CVs that need no masses. One Context at a time: PLUMED's state belongs to a trajectory.

    Args:
        script: PLUMED input (it counts atoms from 1), which PLUMED alone judges.
        system: with all its particles and other forces: masses, charges of its NonbondedForce, whether it is periodic.
        timestep: of the integrator, ps.
        temperature: K, for what needs kBT; a negative one counts as not given.
        restart: go on with the files that are there.

    Raises:
        FfptError: there is no kernel, or no plumed wheel. What PLUMED says about its input comes at the first
            evaluation, as an openmm.OpenMMException of one line.
    """

    def __init__(
        self,
        script: str | PlumedInput,
        system: System | None = None,
        *,
        timestep: float | None = None,
        temperature: float | None = None,
        restart: bool = False,
    ) -> None:
        from ffpt_plumed.kernel.library import new_plumed

        new_plumed().finalize()  # its absence is an error here, and not at the first step
        setup = Setup(script if isinstance(script, str) else script.text, timestep, restart=restart)
        self.function = PlumedFunction(setup)
        super().__init__(self.function)
        self.setName("PLUMED")
        if temperature is not None:
            self.setTemperature(temperature)
        if system is not None:
            setup.masses, setup.charges = _masses(system), _charges(system)
            self.setUsesPeriodicBoundaryConditions(system.usesPeriodicBoundaryConditions())

    def getScript(self) -> str:
        """The PLUMED input."""
        return self.function.setup.script

    def setTemperature(self, temperature: float) -> None:
        """K; a negative one counts as not given."""
        self.function.setup.temperature = None if temperature < 0 else float(temperature)

    def getTemperature(self) -> float:
        """K; -1 where none was given."""
        temperature = self.function.setup.temperature
        return -1.0 if temperature is None else temperature

    def setMasses(self, masses: Sequence[float]) -> None:
        """amu, of every particle; none: not known."""
        self.function.setup.masses = np.array(masses, dtype=float) if len(masses) else None

    def getMasses(self) -> tuple[float, ...]:
        """amu."""
        masses = self.function.setup.masses
        return () if masses is None else tuple(masses.tolist())

    def setRestart(self, restart: bool) -> None:
        """Whether PLUMED goes on with the files that are there."""
        self.function.setup.restart = bool(restart)

    def getRestart(self) -> bool:
        """Whether PLUMED goes on with the files that are there."""
        return self.function.setup.restart

    def setTimestep(self, timestep: float) -> None:
        """Of the integrator, ps."""
        self.function.setup.timestep = float(timestep)

    def setLogFile(self, path: str | os.PathLike[str]) -> None:
        """Where PLUMED's log goes; without, standard output."""
        self.function.setup.log = os.fspath(path)

    def setUsesPeriodicBoundaryConditions(self, periodic: bool) -> None:
        """Whether distances are those of nearest images in the box of the Context."""
        super().setUsesPeriodicBoundaryConditions(periodic)
        self.function.periodic = bool(periodic)


def create_plumed_force(
    script: str | PlumedInput,
    system: System,
    *,
    timestep: float,
    temperature: float | None = None,
    restart: bool = False,
    backend: str = "pythonforce",
) -> openmm.Force:
    """A PLUMED input as an OpenMM force, by either of BACKENDS.

    Args:
        script, system, timestep, temperature, restart: as in PlumedForce.
        backend: "pythonforce" (PlumedForce), or "openmm-plumed", which must be installed.

    Raises:
        FfptError: no such backend, or it is not installed.
    """
    if backend == "pythonforce":
        return PlumedForce(script, system, timestep=timestep, temperature=temperature, restart=restart)
    if backend != "openmm-plumed":
        raise FfptError(f"there is no PLUMED backend {backend!r}; there are {', '.join(BACKENDS)}")
    try:
        import openmmplumed
    except ImportError as error:
        raise FfptError(
            f"openmm-plumed does not load ({error}): conda install -c conda-forge openmm-plumed, or use "
            'backend="pythonforce"'
        ) from error
    force = openmmplumed.PlumedForce(script if isinstance(script, str) else script.text)
    force.setTemperature(-1.0 if temperature is None else temperature)
    force.setRestart(restart)
    return force


def _masses(system: System) -> np.ndarray:
    return np.array([system.getParticleMass(k)._value for k in range(system.getNumParticles())])


def _charges(system: System) -> np.ndarray | None:
    """Those of a NonbondedForce, as openmm-plumed takes them."""
    for force in system.getForces():
        if isinstance(force, openmm.NonbondedForce):
            return np.array([force.getParticleParameters(k)[0]._value for k in range(system.getNumParticles())])
    return None
