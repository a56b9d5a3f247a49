"""Values of expressions and their derivatives, from the positions of the atoms that they depend on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ffpt_core.base.errors import FfptError
from ffpt_plumed.native.translation import Translation
from ffpt_plumed.native.values import Colvar, Value

Array = NDArray[np.float64]

_GROUPS = 32
"""Force groups that OpenMM has."""


class Observer:
    """Evaluates values in Contexts of its own, which hold only the atoms that they depend on.

    On the Reference platform: in double precision, whatever the simulation runs on.

    Args:
        translation: that defines the values.
        values: to evaluate, which come from collective variables.

    Attributes:
        atoms: that the values depend on.
        periodic: whether they depend on the box.
    """

    def __init__(self, translation: Translation, values: Sequence[Value]) -> None:
        self._expressions = [translation.expression(str(value.variable)) for value in values]
        colvars = {colvar.variable: colvar for _, needed in self._expressions for colvar in needed}
        self.atoms = sorted({atom for colvar in colvars.values() for atom in colvar.atoms})
        self.periodic = any(colvar.periodic for colvar in colvars.values())
        self._index = {atom: k for k, atom in enumerate(self.atoms)}
        chunks = range(0, len(self._expressions), _GROUPS)
        self._contexts = [self._context(self._expressions[k : k + _GROUPS]) for k in chunks]

    def values(self, positions: Array, box: Array | None = None) -> Array:
        """(n_values,) in the units of the input.

        Args:
            positions: (len(atoms), 3) nm.
            box: (3, 3) nm, of a periodic system.
        """
        found = []
        for context, count in self._placed(positions, box):
            for group in range(count):
                state = context.getState(energy=True, groups=1 << group)
                found.append(state.getPotentialEnergy()._value)
        return np.array(found)

    def gradients(self, positions: Array, box: Array | None = None) -> tuple[Array, Array]:
        """(n_values,) as values returns, and their (n_values, len(atoms), 3) derivatives per nm."""
        found, gradients = [], []
        for context, count in self._placed(positions, box):
            for group in range(count):
                state = context.getState(energy=True, forces=True, groups=1 << group)
                found.append(state.getPotentialEnergy()._value)
                gradients.append(-state.getForces(asNumpy=True)._value)
        return np.array(found), np.array(gradients).reshape(len(found), len(self.atoms), 3)

    def _placed(self, positions: Array, box: Array | None) -> list[tuple]:
        """Contexts at these positions, and how many values each has."""
        for context, _ in self._contexts:
            if box is not None:
                context.setPeriodicBoxVectors(*box)
            context.setPositions(positions)
        return self._contexts

    def _context(self, expressions: Sequence[tuple[str, list[Colvar]]]) -> tuple:
        import openmm

        system = openmm.System()
        for _ in self.atoms:
            system.addParticle(1.0)
        for group, (expression, colvars) in enumerate(expressions):
            force = cv_force(expression, colvars, self._index)
            force.setForceGroup(group)
            system.addForce(force)
        platform = openmm.Platform.getPlatform("Reference")
        return openmm.Context(system, openmm.VerletIntegrator(0.001), platform), len(expressions)


def cv_force(expression: str, colvars: Sequence[Colvar], index: dict[int, int]):  # noqa: ANN201 (openmm.Force)
    """An OpenMM force whose energy is a Lepton expression of collective variables.

    Args:
        expression: with its definitions.
        colvars: that it holds.
        index: of each atom in the system of the force.

    Raises:
        FfptError: more collective variables than OpenMM takes in one force.
    """
    from openmm import CustomCVForce

    if len(colvars) > _GROUPS:
        raise FfptError(f"{len(colvars)} collective variables in one force; OpenMM takes {_GROUPS}")
    if len(colvars) == 1 and expression == colvars[0].variable:
        return colvars[0].build(index)
    force = CustomCVForce(expression)
    for colvar in colvars:
        force.addCollectiveVariable(colvar.variable, colvar.build(index))
    return force
