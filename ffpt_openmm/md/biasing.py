"""What biases the replicas of a run: nothing here; what other packages add is a subclass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ase import Atoms

from ffpt_core.analysis import Criterion
from ffpt_core.potentials.interface import Potential
from ffpt_openmm.md.folder import RunFolder, criterion_of
from ffpt_openmm.md.replicas import Ensemble, Replicas
from ffpt_openmm.md.settings import MDSettings

if TYPE_CHECKING:
    from openmm.app import Topology


class Biasing:
    """No bias: dynamics on the potential alone. A run holds on to one of these from its start to its end."""

    title = "MD"
    """What the progress bar says."""

    def record(self) -> dict[str, Any]:
        """What run.json keeps besides: entries with a fingerprint must be the same where a run is continued."""
        return {}

    def files(self) -> dict[str, str]:
        """A word about each file that it adds to the folder."""
        return {}

    def prepare(self, folder: RunFolder, start: Atoms) -> None:
        """Write what it needs into the folder of a new run; start is the geometry in Angstrom.

        Raises:
            FfptError: it cannot start there.
        """

    def criterion(self, topology: Topology, reference: Atoms, settings: MDSettings) -> Criterion:
        """What is physical."""
        return criterion_of(topology, reference, settings)

    def ensemble(
        self,
        folder: RunFolder,
        potential: Potential,
        topology: Topology,
        settings: MDSettings,
        starts: Sequence[Atoms],
        replicas: Sequence[int],
        state: bytes,
    ) -> Replicas:
        """Replicas at their start, or where a state was saved.

        Args:
            folder: of the run.
            potential, topology, settings, starts, replicas: as in Replicas.
            state: from Replicas.save; empty: the start.

        Raises:
            FfptError: as create_system.
            openmm.OpenMMException: the state is of another platform or OpenMM, or damaged.
        """
        ensemble = Ensemble(potential, topology, settings, starts, replicas)
        if state:
            ensemble.load(state)
        else:
            ensemble.begin()
        return ensemble


UNBIASED = Biasing()
"""What ``ffpt md`` does."""
