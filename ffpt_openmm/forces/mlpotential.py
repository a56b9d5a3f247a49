"""ffpt potentials in OpenMM-ML: ``MLPotential("ffpt", modelPath="aspirin.pt")``.

OpenMM-ML finds the factory through the entry point "ffpt" of the group "openmmml.potentials".
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from openmmml.mlpotential import MLPotentialImpl, MLPotentialImplFactory

from ffpt_core.base.errors import FfptError
from ffpt_core.potentials.interface import Potential
from ffpt_core.potentials.network_potential import NetworkPotential
from ffpt_core.potentials.sources import Source, open_potential
from ffpt_openmm.forces.create import create_force

if TYPE_CHECKING:
    import openmm
    from openmm.app import Topology

_PRECISIONS = {"single": torch.float32, "double": torch.float64}

_EMBEDDING_OPTIONS = {"linkAtomDistances", "mlLongRange"}
"""What OpenMM-ML's embeddings take from createMixedSystem and hand on to the potential, which ignores it."""


class FfptPotentialFactory(MLPotentialImplFactory):
    """What OpenMM-ML calls for the name "ffpt"."""

    def createImpl(self, name: str, **args: Any) -> MLPotentialImpl:
        """The implementation. Arguments are those of FfptPotentialImpl."""
        return FfptPotentialImpl(name, **args)


class FfptPotentialImpl(MLPotentialImpl):
    """A potential of ffpt for createSystem and createMixedSystem.

    Args:
        name: "ffpt".
        modelPath: a potential, or anything that open_potential opens, such as the file of one or "tblite:GFN2-xTB".
        precision: "single" or "double", of a network; None: that of the file.
        backend: "pythonforce", "torchforce" or "auto" (see create_force). PythonForce is the default, as for
            OpenMM-ML's own potentials: Systems with it can be copied and interpolated.
        device: PyTorch device of a PythonForce; None: CUDA where there is one.

    Raises:
        FfptError: no modelPath, or one that is not a potential; an unknown precision.
    """

    def __init__(
        self,
        name: str,
        modelPath: Source | None = None,
        precision: str | None = None,
        backend: str = "pythonforce",
        device: str | None = None,
    ) -> None:
        if modelPath is None:
            raise FfptError('say which potential: MLPotential("ffpt", modelPath="aspirin.pt")')
        self.name = name
        self.precision = precision
        self.backend = backend
        self.potential = (
            copy.deepcopy(modelPath)
            if isinstance(modelPath, NetworkPotential)  # which may go on being trained
            else open_potential(modelPath, device)
        )

    def addForces(
        self,
        topology: Topology,
        system: openmm.System,
        atoms: Iterable[int] | None,
        forceGroup: int,
        precision: str | None = None,
        backend: str | None = None,
        **args: Any,
    ) -> None:
        """Add the force of the potential on some atoms, or on all, to a system.

        The box counts where the topology or the system has one.

        Args:
            topology: the particles of the system, in order.
            system: what to add the force to.
            atoms: indices of the atoms that the potential acts on; None: all.
            forceGroup: group of the force.
            precision: "single" or "double", instead of the one given to MLPotential.
            backend: instead of the one given to MLPotential.
            args: options of the embedding. Others are ignored with a warning.

        Raises:
            FfptError: as create_force; an unknown precision; interpolation with TorchForce.
        """
        unknown = sorted(set(args) - _EMBEDDING_OPTIONS)
        if unknown:
            warnings.warn(f"the potential ffpt has no option {', '.join(unknown)}: ignored", stacklevel=3)
        chosen = backend or self.backend
        periodic = topology.getPeriodicBoxVectors() is not None or system.usesPeriodicBoundaryConditions()
        force = create_force(
            self._with_precision(precision or self.precision),
            topology,
            backend=chosen,
            atoms=atoms,
            periodic=periodic,
            force_group=forceGroup,
        )
        # Interpolation collects forces in a System without particles and copies them, which goes through XML;
        # openmmtorch 1.5 crashes the process when it reads itself back with OpenMM 8.5 or newer.
        if system.getNumParticles() == 0 and type(force).__name__ == "TorchForce":
            raise FfptError('a TorchForce cannot be interpolated: use backend="pythonforce"')
        system.addForce(force)

    def getMLLongRange(self) -> bool:
        """False: the network sees neighbours within its cutoff only."""
        return False

    def _with_precision(self, precision: str | None) -> Potential:
        if precision is None:
            return self.potential
        if not isinstance(self.potential, NetworkPotential):
            raise FfptError("a precision is that of a network of ffpt, which this potential is not")
        if precision not in _PRECISIONS:
            raise FfptError(f"precision {precision!r} is neither {' nor '.join(map(repr, _PRECISIONS))}")
        return copy.deepcopy(self.potential).to(_PRECISIONS[precision])
