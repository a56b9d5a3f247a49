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
from ffpt_plumed.native.hillforce import VERSION_PARAMETER, hill_force
from ffpt_plumed.native.hills import HillGrid
from ffpt_plumed.native.metad_state import Metad
from ffpt_plumed.native.observer import Observer, cv_force
from ffpt_plumed.native.output import Printer
from ffpt_plumed.native.reporter import NativeReporter
from ffpt_plumed.native.restart import cut_after
from ffpt_plumed.native.splines import GridFunction
from ffpt_plumed.native.translation import Program, compile_script
from ffpt_plumed.text.script import parse_script

if TYPE_CHECKING:
    from openmm import Context, CustomCVForce, System
    from openmm.app import Simulation


def add_bias(
    system: System,
    script: str,
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
    program = compile_script(parse_script(script), system.getNumParticles(), periodic, temperature, restart)
    bias = NativeBias(program, Path(folder))
    bias.add_forces(system)
    return bias


class NativeBias:
    """A PLUMED input that acts on a simulation: hills and output of every step that update sees.

    At a step that is a multiple of STRIDE or PACE, the values of that step are printed and then a hill is added. As in
    PLUMED, the first step is printed and gets no hill.

    Args:
        program: what to do.
        folder: that file names are relative to.

    Raises:
        FfptError: HILLS cannot be continued.
    """

    def __init__(self, program: Program, folder: Path) -> None:
        self.program = program
        self.metads = [Metad(settings, folder) for settings in program.metads]
        self._prints = [Printer(settings, folder) for settings in program.prints]
        wanted = {value.name: value for metad in self.metads for value in metad.settings.arguments}
        wanted |= {v.name: v for printer in self._prints for v in printer.settings.values if v.variable is not None}
        self._names = list(wanted)
        self._observer = Observer(program, list(wanted.values()))
        self._force: CustomCVForce | None = None
        self._grids: list[GridFunction] = []
        self._step: int | None = None
        self._version = 0

    def add_forces(self, system: System) -> None:
        """Add the forces; called once."""
        program = self.program
        index = {atom: atom for atom in range(program.n_atoms)}
        terms, definitions = [*program.biases], []
        for k, metad in enumerate(self.metads):
            variables = [str(value.variable) for value in metad.settings.arguments]
            if isinstance(metad.hills, HillGrid):
                function = GridFunction(f"g{k}", metad.hills)
                expression, more = function.expression(variables)
                terms.append(expression)
                definitions += more
                self._grids.append(function)
            else:
                system.addForce(hill_force(program, metad))
        if terms:
            main = f"{program.units.energy!r}*({'+'.join(terms)})"
            force = cv_force(*program.expression("; ".join([main, *definitions])), index)
            for function in self._grids:
                function.add_tables(force)
            force.setName("ffpt native PLUMED")
            self._force = force
            system.addForce(force)

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
        intervals = [metad.settings.pace for metad in self.metads]
        intervals += [printer.settings.stride for printer in self._prints]
        return min((step - step % interval + interval for interval in intervals), default=step + 10**6)

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
        new = self._begin(context, step, timestep) if first else set()
        prints = [p for p in self._prints if step % p.settings.stride == 0 and not (first and p.done(step, timestep))]
        metads = [m for m in self.metads if step % m.settings.pace == 0 and (not first or m in new)]
        if not (prints or metads or first):
            return
        time = step * timestep
        if first:
            self._check_slopes(context)
        values = self.evaluate(context)
        rows = [(m, m.add_hill(step, time, timestep, [values[name] for name in m.settings.names])) for m in metads]
        # As in PLUMED, c(t) is printed with the hill of this step, and the bias without.
        values |= {f"{metad.settings.label}.rct": metad.rct for metad in metads}
        # Hills last: a run that is killed in between finds its row, and adds the hill.
        for printer in prints:
            printer.write(time, values)
        for metad, row in rows:
            metad.write(row)
        if metads:
            self._tell(context)

    def evaluate(self, context: Context) -> dict[str, float]:
        """All values that are printed or biased, by name, in the units of the input, at the positions of a Context.

        Raises:
            FfptError: one is not defined there, or an argument of METAD lies outside of its grid.
        """
        values = self._colvars(context)
        for metad in self.metads:
            bias = metad.bias([values[name] for name in metad.settings.names])
            label = metad.settings.label
            values |= {f"{label}.bias": bias, f"{label}.rct": metad.rct, f"{label}.rbias": bias - metad.rct}
        return values

    def close(self) -> None:
        """Close the files."""
        for metad in self.metads:
            metad.close()
        for printer in self._prints:
            printer.close()

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

    def _begin(self, context: Context, step: int, timestep: float) -> set[Metad]:
        """Bring files and hills to the step that the run begins at, and open the files.

        Returns:
            those whose hill of this step is missing: the run was stopped between its checkpoint and the hill.
        """
        missing = set()
        for metad in self.metads:
            if metad.settings.restart and step > 0:
                if cut_after(metad.path, step, timestep):
                    metad.read()
                if metad.missing(step, timestep):
                    missing.add(metad)
        self._tell(context)
        for metad in self.metads:
            metad.open()
        for printer in self._prints:
            printer.open(step, timestep)
        return missing

    def _tell(self, context: Context) -> None:
        """Make a Context use the hills of now."""
        if self._force is not None and self._grids:
            for function in self._grids:
                function.update(self._force)
            self._force.updateParametersInContext(context)
        if len(self._grids) < len(self.metads):
            self._version += 1
            context.setParameter(VERSION_PARAMETER, self._version)

    def _timestep(self, context: Context) -> float:
        """Of the integrator, in the input's unit."""
        return context.getIntegrator().getStepSize()._value / self.program.units.time
