"""PLUMED inputs without a kernel: forces of an OpenMM System, and what happens between steps."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ffpt_core.base.errors import FfptError
from ffpt_plumed.native.actions import translate
from ffpt_plumed.native.forces import BiasForces
from ffpt_plumed.native.observer import Observer
from ffpt_plumed.native.reporter import NativeReporter
from ffpt_plumed.native.stateful import Moment, StatefulAction, StatefulBias
from ffpt_plumed.native.translation import Translation
from ffpt_plumed.text.plumed_input import PlumedInput

if TYPE_CHECKING:
    from openmm import Context, System
    from openmm.app import Simulation


def add_bias(
    system: System,
    script: str | PlumedInput,
    temperature: float | None = None,
    restart: bool = False,
    periodic: bool | None = None,
    folder: str | os.PathLike[str] = ".",
) -> NativeBias:
    """Add what a PLUMED input asks for to a System, as forces of OpenMM.

    Walls, restraints and METAD with a GRID are one CustomCVForce. METAD without a GRID sums its hills on the host,
    in a PythonForce that sees only the atoms of its collective variables.

    Args:
        system: to add forces to, before its Context is made.
        script: the PLUMED input, in PLUMED's units (nm, kJ/mol, ps) or those of its UNITS.
        temperature: K, for METAD without TEMP.
        restart: as if the input began with RESTART: continue HILLS and COLVAR. In a Simulation whose step is not 0,
            rows of later steps are cut off; at step 0 all hills are kept, as PLUMED does.
        periodic: whether distances are to nearest images; None: as the system says now.
        folder: that file names are relative to.

    Returns:
        what must run between steps: append its reporter() to a Simulation.

    Raises:
        FfptError: input that is wrong or that runs only with a PLUMED kernel, with its line; HILLS that cannot be
            continued.
    """
    if periodic is None:
        periodic = system.usesPeriodicBoundaryConditions()
    translation = translate(
        PlumedInput.of(script), system.getNumParticles(), periodic, temperature, restart, Path(folder)
    )
    bias = NativeBias(translation)
    bias.forces.add_to(system)
    return bias


class NativeBias:
    """A PLUMED input that acts on a simulation: hills and output of every step that update sees.

    At a step that is a multiple of STRIDE or PACE, the values of that step are printed and then a hill is added. As in
    PLUMED, the first step is printed and gets no hill.

    Args:
        translation: what to do.

    Attributes:
        forces: of the bias, to be added to a System.

    Raises:
        FfptError: HILLS cannot be continued.
    """

    def __init__(self, translation: Translation) -> None:
        self._time_unit = translation.units.time
        self._actions = translation.stateful
        wanted = {
            value.name: value
            for action in self._actions
            for value in action.arguments
            if value.variable is not None  # others are components of actions
        }
        self._names = list(wanted)
        self._observer = Observer(translation, list(wanted.values()))
        for action in self._actions:
            action.resume()
        self.forces = BiasForces(translation)
        self._step: int | None = None

    def reporter(self) -> NativeReporter:
        """To append to the reporters of a Simulation; before a CheckpointReporter, or after: both are safe."""
        return NativeReporter(self)

    def step(self, simulation: Simulation, steps: int) -> None:
        """Run steps as Simulation.step does, with errors in words. The reporter need not be appended.

        Raises:
            FfptError: as update; an argument of METAD left its grid.
        """
        appended = not any(isinstance(r, NativeReporter) and r.bias is self for r in simulation.reporters)
        reporter = self.reporter()
        if appended:
            simulation.reporters.append(reporter)
        try:
            with self.explained(simulation.context):
                simulation.step(steps)
        finally:
            if appended:
                simulation.reporters.remove(reporter)

    def advance(self, context: Context, steps: int) -> None:
        """Run steps in a Context without a Simulation.

        Raises:
            FfptError: as step.
        """
        last = context.getStepCount() + steps
        with self.explained(context):
            self.update(context)
            while (step := context.getStepCount()) < last:
                context.getIntegrator().step(min(last, self.next_step(step)) - step)
                self.update(context)

    @contextlib.contextmanager
    def explained(self, context: Context) -> Iterator[None]:
        """OpenMM's errors within this block in words, where values of now explain them."""
        from openmm import OpenMMException

        try:
            yield
        except OpenMMException as error:
            if np.isfinite(context.getState(positions=True).getPositions(asNumpy=True)._value).all():
                try:
                    self.evaluate(context)
                except FfptError as reason:
                    raise reason from error
            raise

    def next_step(self, step: int) -> int:
        """The first step after this one at which something is due; a far one where nothing ever is."""
        strides = (action.stride for action in self._actions)
        return min((step - step % stride + stride for stride in strides), default=step + 10**6)

    def update(self, context: Context) -> None:
        """Do what is due at the step of a Context; nothing if that was done already.

        Raises:
            FfptError: a value that is not defined, an argument outside of its grid, a file that cannot be written, or
                a step before the last one.
        """
        step, timestep = context.getStepCount(), self._timestep(context)
        if step == self._step:
            return
        if self._step is not None and step < self._step:
            raise FfptError(
                f"the simulation went back from step {self._step} to {step}: to go on from a checkpoint, make the "
                "System and its bias again with restart=True"
            )
        first, self._step = self._step is None, step
        due = self._begin(context, step, timestep) if first else self._actions
        due = [action for action in due if step % action.stride == 0]
        if not (due or first):
            return
        if first:
            self._check_slopes(context)
        moment = Moment(step, timestep, self.evaluate(context))
        for action in due:
            action.act(moment)
        for action in reversed(due):
            action.save(moment)
        if any(isinstance(action, StatefulBias) for action in due):
            self.forces.tell(context)

    def evaluate(self, context: Context) -> dict[str, float]:
        """All values that are printed or biased, by name, in the units of the input, at the positions of a Context.

        Raises:
            FfptError: one is not defined there, or an argument of METAD lies outside of its grid.
        """
        values = self._colvars(context)
        for action in self._actions:
            values |= action.components(values)
        return values

    def close(self) -> None:
        """Close the files."""
        for action in self._actions:
            action.close()

    def _colvars(self, context: Context) -> dict[str, float]:
        """Values that come from collective variables."""
        values = self._observer.values(*self._place(context))
        self._check_defined(context, np.isfinite(values))
        return dict(zip(self._names, values.tolist(), strict=True))

    def _check_defined(self, context: Context, defined: NDArray[np.bool_]) -> None:
        if not defined.all():
            name = self._names[int(np.argmin(defined))]
            raise FfptError(f"{name} is not defined at step {context.getStepCount()}: look where its atoms are")

    def _check_slopes(self, context: Context) -> None:
        """A torsion of atoms on a line has a value, but no derivatives."""
        _, gradients = self._observer.gradients(*self._place(context))
        self._check_defined(context, np.array([np.isfinite(gradient).all() for gradient in gradients], dtype=bool))

    def _place(self, context: Context) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
        """Positions of the atoms of the observer, and the box where they depend on it, in nm."""
        state = context.getState(positions=True)
        box = state.getPeriodicBoxVectors(asNumpy=True)._value if self._observer.periodic else None
        return state.getPositions(asNumpy=True)._value[self._observer.atoms], box

    def _begin(self, context: Context, step: int, timestep: float) -> list[StatefulAction]:
        """Bring files and hills to the step that the run begins at, and open the files; returns what is due there."""
        due = [action for action in self._actions if action.begin(step, timestep)]
        self.forces.tell(context)
        for action in self._actions:
            action.open()
        return due

    def _timestep(self, context: Context) -> float:
        """Of the integrator, in the input's unit."""
        return context.getIntegrator().getStepSize()._value / self._time_unit
