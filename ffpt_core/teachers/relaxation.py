"""Minima of a teacher."""

from __future__ import annotations

import dataclasses

import numpy as np

from ffpt_core.base.errors import FfptError
from ffpt_core.teachers.teacher import Teacher

FORCE_TOLERANCE = 1e-4
"""Largest force component of a relaxed structure, eV/Angstrom."""


def minimise(teacher: Teacher, positions: np.ndarray) -> tuple[float, np.ndarray]:
    """The minimum below a geometry, by L-BFGS on the teacher.

    Args:
        teacher: the force field.
        positions: (n_atoms, 3) Angstrom.

    Returns:
        Energy in eV and (n_atoms, 3) positions in Angstrom, centred at the origin; no force component
        is above FORCE_TOLERANCE.

    Raises:
        FfptError: not converged within 20,000 steps.
    """
    from scipy.optimize import minimize

    def value_and_gradient(flat: np.ndarray) -> tuple[float, np.ndarray]:
        energies, forces = teacher.energies_and_forces(flat.reshape(1, -1, 3))
        return float(energies[0]), -forces[0].ravel()

    flat = np.asarray(positions, dtype=float).ravel()
    # L-BFGS-B may stop where rounding of the energy hides progress; a fresh start goes on from there.
    for _ in range(5):
        options = {"maxiter": 20000, "maxfun": 40000, "ftol": 0.0, "gtol": FORCE_TOLERANCE / 10, "maxcor": 20}
        found = minimize(value_and_gradient, flat, jac=True, method="L-BFGS-B", options=options)
        flat = found.x
        if np.abs(found.jac).max() < FORCE_TOLERANCE:
            result = flat.reshape(-1, 3)
            return float(found.fun), result - result.mean(axis=0)
    raise FfptError(f"relaxation stopped with a force of {np.abs(found.jac).max():.2g} eV/Angstrom: {found.message}")


def relaxed(teacher: Teacher, starts: np.ndarray) -> Teacher:
    """The teacher with its lowest minimum reached from any of starts as its relaxed structure.

    Args:
        teacher: the force field.
        starts: (n_starts, n_atoms, 3) Angstrom.

    Raises:
        FfptError: a relaxation did not converge.
    """
    minima = [minimise(teacher, start) for start in starts]
    energy, positions = min(minima, key=lambda found: found[0])
    atoms = teacher.atoms.copy()
    atoms.positions = positions
    provenance = {**teacher.provenance, "relaxed_energy_eV": energy}
    return dataclasses.replace(teacher, atoms=atoms, provenance=provenance)
