"""Does a potential conserve energy? Dynamics without a thermostat, and the slope of the total energy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms

from ffpt_core import NetworkPotential
from ffpt_core.base.errors import FfptError
from ffpt_core.base.units import KJ_PER_MOL, MILLI, NANOMETRE, PICOSECOND
from ffpt_openmm.forces.backends import choose_platform
from ffpt_openmm.forces.create import create_system

if TYPE_CHECKING:
    from openmm.app import Topology


@dataclass(frozen=True, eq=False)
class EnergyDrift:
    """Total energy along a trajectory at constant energy.

    Args:
        times: (n,) ps.
        energies: (n,) total energy per atom, meV, less its first value.
        kinetic: (n,) kinetic energy per atom, meV: what the total energy would do if nothing conserved it.
    """

    times: np.ndarray
    energies: np.ndarray
    kinetic: np.ndarray

    @property
    def drift(self) -> float:
        """Slope of the total energy by least squares, meV/atom/ps."""
        return float(np.polyfit(self.times, self.energies, 1)[0])

    @property
    def fluctuation(self) -> float:
        """Standard deviation of the total energy about that line, meV/atom: grows with the square of the time step."""
        return float(np.std(self.energies - np.polyval(np.polyfit(self.times, self.energies, 1), self.times)))

    def to_dict(self) -> dict[str, Any]:
        """Plain values: drift (meV/atom/ps), fluctuation (meV/atom), length (ps)."""
        return {
            "drift_mev_per_atom_per_ps": self.drift,
            "fluctuation_mev_per_atom": self.fluctuation,
            "length_ps": float(self.times[-1]),
        }


def energy_drift(
    potential: NetworkPotential,
    topology: Topology,
    atoms: Atoms,
    *,
    length: float = 20.0,
    timestep: float = 0.5,
    temperature: float = 300.0,
    interval: int = 20,
    seed: int = 0,
    backend: str = "auto",
    platform: str = "auto",
) -> EnergyDrift:
    """Velocity-Verlet dynamics from a geometry with thermal velocities.

    Args:
        potential: what moves the atoms.
        topology: the atoms.
        atoms: starting geometry, Angstrom.
        length: ps.
        timestep: fs.
        temperature: K, of the initial velocities; about half of it remains once they have spread.
        interval: steps between samples.
        seed: of the velocities.
        backend: as in create_force.
        platform: OpenMM's name, or "auto".

    Raises:
        FfptError: fewer than three samples; an energy that is not finite; as create_force.
    """
    import openmm

    n_samples = round(PICOSECOND * length / timestep) // interval
    if n_samples < 3:
        raise FfptError(f"{length:g} ps are too short for a slope: {n_samples} samples")
    system = create_system(potential, topology, backend=backend, remove_cm_motion=False)
    chosen = openmm.Platform.getPlatformByName(choose_platform(platform, len(atoms)))
    context = openmm.Context(system, openmm.VerletIntegrator(timestep / PICOSECOND), chosen)
    context.setPositions(atoms.positions / NANOMETRE)
    context.setVelocitiesToTemperature(temperature, seed + 1)
    total, kinetic = np.empty(n_samples), np.empty(n_samples)
    for sample in range(n_samples):
        context.getIntegrator().step(interval)
        state = context.getState(energy=True)
        kinetic[sample] = state.getKineticEnergy()._value
        total[sample] = state.getPotentialEnergy()._value + kinetic[sample]
    if not np.isfinite(total).all():
        raise FfptError("the energy is not finite: the trajectory reached an unphysical geometry")
    times = timestep / PICOSECOND * interval * np.arange(1, n_samples + 1)
    scale = KJ_PER_MOL / MILLI / len(atoms)
    return EnergyDrift(times, scale * (total - total[0]), scale * kinetic)
