"""Cheap relaxation of a starting geometry: first on a classical force field, then a few steps on the potential."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms

from ffpt_core.analysis import Criterion
from ffpt_core.base.errors import FfptError
from ffpt_core.base.units import KJ_PER_MOL_NM, NANOMETRE
from ffpt_core.potentials.calculator_potential import FAILURES
from ffpt_core.potentials.interface import Potential
from ffpt_openmm.md.moving import MovedSystem
from ffpt_openmm.md.settings import MDSettings

if TYPE_CHECKING:
    import openmm
    from openmm.app import Topology

    from ffpt_core.teachers import Teacher

_log = logging.getLogger(__name__)

_TOLERANCE = 10.0
"""kJ/mol/nm (0.01 eV/Angstrom): far below thermal forces."""

_ITERATIONS = 50
"""On the potential. An evaluation costs as much as a step of the dynamics, which relax the rest."""


def relax(
    atoms: Atoms,
    potential: Potential,
    topology: Topology,
    teacher: Teacher | None,
    settings: MDSettings,
    criterion: Criterion,
) -> tuple[Atoms, str]:
    """Relax atoms on the teacher, if there is one, and then on what moves them in the run.

    A potential whose own minimum is unphysical must not spoil the start of its dynamics: its relaxation is then
    left out, with a warning.

    Returns:
        The relaxed atoms, and how they were relaxed, for the record.
    """
    how = []
    if teacher is not None and not atoms.pbc.any():
        atoms = _minimize(atoms, teacher.system, "Reference", 0)
        how.append(f"on {teacher.level}")
    relaxed = _minimize(atoms, MovedSystem(potential, topology, settings).system, settings.platform, _ITERATIONS)
    if not np.isfinite(relaxed.positions).all():
        relaxed = _minimize_gently(atoms, potential)
    failure = criterion.check(relaxed.positions, np.array(atoms.cell) if atoms.pbc.any() else None)
    if failure is None:
        return relaxed, ", ".join([*how, f"at most {_ITERATIONS} iterations on the potential"])
    _log.warning("the minimum of the potential is unphysical (%s): starting from the geometry before", failure.reason)
    return atoms, ", ".join([*how, f"not on the potential, whose minimum is unphysical ({failure.reason})"])


def _minimize(atoms: Atoms, system: openmm.System, platform: str, iterations: int) -> Atoms:
    import openmm

    context = openmm.Context(system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName(platform))
    if atoms.pbc.any():
        context.setPeriodicBoxVectors(*(np.array(atoms.cell) / NANOMETRE))
    context.setPositions(atoms.positions / NANOMETRE)
    relaxed = atoms.copy()
    try:
        openmm.LocalEnergyMinimizer.minimize(context, _TOLERANCE, iterations)
        relaxed.positions = context.getState(positions=True).getPositions(asNumpy=True)._value * NANOMETRE
    except openmm.OpenMMException as error:
        _log.info("minimisation stopped: %s", error)  # L-BFGS met a NaN
        relaxed.positions = np.full_like(atoms.positions, np.nan)
    return relaxed


def _minimize_gently(atoms: Atoms, potential: Potential) -> Atoms:
    """As many steps of ASE's L-BFGS, at most 0.1 Angstrom each: OpenMM's first may go where an SCF has no answer."""
    from ase.optimize import LBFGS

    relaxed = atoms.copy()
    relaxed.calc = potential.calculator()
    try:
        LBFGS(relaxed, logfile=os.devnull, maxstep=0.1).run(_TOLERANCE * KJ_PER_MOL_NM, _ITERATIONS)
    except (FfptError, *FAILURES) as error:
        _log.warning("minimisation stopped: %s", error)
        relaxed.positions = np.full_like(atoms.positions, np.nan)
    relaxed.calc = None
    return relaxed
