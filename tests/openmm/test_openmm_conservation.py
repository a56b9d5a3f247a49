"""Energy is conserved without a thermostat, and the measure notices when it is not."""

from __future__ import annotations

import numpy as np
import openmm as mm
import pytest
import torch
from openmm_models import random_potential

from ffpt_core import FfptError
from ffpt_openmm.forces.pythonforce import PotentialFunction
from ffpt_openmm.md import conservation
from ffpt_openmm.md.conservation import EnergyDrift, energy_drift

LIMITS = {torch.float32: 1.0, torch.float64: 0.01}
"""meV/atom/ps."""


def _drift(dtype, teacher, **settings) -> EnergyDrift:
    # Weak forces on fast atoms: the kinetic energy changes by a multiple of the limit within the run.
    potential = random_potential(dtype, scale=0.1, n_features=8, n_layers=2)
    return energy_drift(
        potential, teacher.topology, teacher.atoms, length=0.6, timestep=0.25, temperature=100, **settings
    )


@pytest.mark.parametrize("dtype", LIMITS, ids=str)
def test_energy_is_conserved(teacher, dtype) -> None:
    result = _drift(dtype, teacher, backend="pythonforce")
    assert abs(result.drift) < LIMITS[dtype]
    assert np.ptp(result.kinetic) > 20 * np.abs(result.energies).max()


def test_wrong_forces_are_noticed(teacher, monkeypatch) -> None:
    class Wrong(PotentialFunction):
        def __call__(self, state):
            energy, forces = super().__call__(state)
            return energy, 1.02 * forces

    def wrong_system(potential, topology, **_):
        system = mm.System()
        for atom in topology.atoms():
            system.addParticle(atom.element.mass)
        system.addForce(mm.PythonForce(Wrong(potential, teacher.atoms.numbers)))
        return system

    monkeypatch.setattr(conservation, "create_system", wrong_system)
    assert abs(_drift(torch.float64, teacher).drift) > LIMITS[torch.float64]


def test_slope_and_scatter() -> None:
    times = np.linspace(0, 2, 101)
    noise = 0.5 * np.cos(31 * np.pi * times)
    result = EnergyDrift(times, 3.0 + 0.25 * times + noise, np.zeros(101))
    assert result.drift == pytest.approx(0.25, abs=0.02)
    assert result.fluctuation == pytest.approx(0.5 / np.sqrt(2), rel=0.05)
    assert result.to_dict()["length_ps"] == 2


def test_too_short_a_run_is_refused(teacher) -> None:
    with pytest.raises(FfptError, match="too short for a slope"):
        energy_drift(random_potential(), teacher.topology, teacher.atoms, length=0.01)
