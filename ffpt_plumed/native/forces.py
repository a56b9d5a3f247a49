"""The forces of a translated input in an OpenMM System, and what a Context must be told when they change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ffpt_plumed.native.observer import Observer, cv_force
from ffpt_plumed.native.stateful import StatefulBias, Term
from ffpt_plumed.native.translation import Translation

if TYPE_CHECKING:
    from openmm import Context, CustomCVForce, PythonForce, System

VERSION_PARAMETER = "ffpt_native_hills"
"""Global parameter that tells a Context that hills, which it does not see, have changed."""


class BiasForces:
    """Walls, restraints and biases that are expressions are one CustomCVForce; each other bias is a PythonForce.

    Args:
        translation: of the input.
    """

    def __init__(self, translation: Translation) -> None:
        self._translation = translation
        self._biases = [action for action in translation.stateful if isinstance(action, StatefulBias)]
        self._force: CustomCVForce | None = None
        self._terms: list[Term] = []
        self._version = 0

    def add_to(self, system: System) -> None:
        """Add the forces; called once."""
        translation = self._translation
        energies, definitions = [*translation.biases], []
        for k, bias in enumerate(self._biases):
            term = bias.term(f"g{k}")
            if term is None:
                system.addForce(_host_force(translation, bias))
                continue
            energy, more = term.expression()
            energies.append(energy)
            definitions += more
            self._terms.append(term)
        if not energies:
            return
        index = {atom: atom for atom in range(translation.n_atoms)}
        main = f"{translation.units.energy!r}*({'+'.join(energies)})"
        force = cv_force(*translation.expression("; ".join([main, *definitions])), index)
        for term in self._terms:
            term.add_tables(force)
        force.setName("ffpt native PLUMED")
        self._force = force
        system.addForce(force)

    def tell(self, context: Context) -> None:
        """Make a Context use the biases of now."""
        if self._force is not None and self._terms:
            for term in self._terms:
                term.update(self._force)
            self._force.updateParametersInContext(context)
        if len(self._terms) < len(self._biases):
            self._version += 1
            context.setParameter(VERSION_PARAMETER, self._version)


def _host_force(translation: Translation, bias: StatefulBias) -> PythonForce:
    """A force that sees only the atoms of the arguments of a bias."""
    from openmm import PythonForce

    observer = Observer(translation, bias.arguments)
    function = _HostFunction(observer, bias, translation.units.energy)
    force = PythonForce(function, {VERSION_PARAMETER: 0.0}, observer.atoms)
    force.setUsesPeriodicBoundaryConditions(observer.periodic)
    force.setName(f"ffpt native PLUMED {bias.label}")
    return force


class _HostFunction:
    """What the PythonForce computes."""

    def __init__(self, observer: Observer, bias: StatefulBias, energy_unit: float) -> None:
        self._observer, self._bias, self._unit = observer, bias, energy_unit

    def __call__(self, state: Any) -> tuple[float, NDArray[np.float64]]:
        """Positions of the observer's atoms to energy (kJ/mol) and forces (kJ/mol/nm)."""
        box = state.getPeriodicBoxVectors(asNumpy=True)._value if self._observer.periodic else None
        values, gradients = self._observer.gradients(state.getPositions(asNumpy=True)._value, box)
        energy, slopes = self._bias.evaluate(values)
        return energy * self._unit, np.einsum("i,ijk->jk", -self._unit * slopes, gradients)

    def __reduce__(self) -> Any:
        raise TypeError("hills without a GRID cannot be serialised: make the bias anew with restart=True")
