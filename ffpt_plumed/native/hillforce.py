"""The force of METAD without a grid: the sum of all hills, on the host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ffpt_plumed.native.hills import Hills
from ffpt_plumed.native.metad_state import Metad
from ffpt_plumed.native.observer import Observer
from ffpt_plumed.native.translation import Program

if TYPE_CHECKING:
    from openmm import PythonForce

VERSION_PARAMETER = "ffpt_native_hills"
"""Global parameter that tells a Context that hills, which it does not see, have changed."""


def hill_force(program: Program, metad: Metad) -> PythonForce:
    """A force that sees only the atoms of the collective variables of a METAD."""
    from openmm import PythonForce

    observer = Observer(program, metad.settings.arguments)
    function = _HillForce(observer, metad.hills, program.units.energy)
    force = PythonForce(function, {VERSION_PARAMETER: 0.0}, observer.atoms)
    force.setUsesPeriodicBoundaryConditions(observer.periodic)
    force.setName(f"ffpt native PLUMED {metad.settings.label}")
    return force


class _HillForce:
    """What the PythonForce computes."""

    def __init__(self, observer: Observer, hills: Hills, energy_unit: float) -> None:
        self._observer, self._hills, self._unit = observer, hills, energy_unit

    def __call__(self, state: Any) -> tuple[float, NDArray[np.float64]]:
        """Positions of the observer's atoms to energy (kJ/mol) and forces (kJ/mol/nm)."""
        box = state.getPeriodicBoxVectors(asNumpy=True)._value if self._observer.periodic else None
        values, gradients = self._observer.gradients(state.getPositions(asNumpy=True)._value, box)
        energy, slopes = self._hills.evaluate(values)
        return energy * self._unit, np.einsum("i,ijk->jk", -self._unit * slopes, gradients)

    def __reduce__(self) -> Any:
        raise TypeError("hills without a GRID cannot be serialised: make the bias anew with restart=True")
