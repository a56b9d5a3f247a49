"""The folder of a molecular dynamics run."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from ffpt_core.analysis import StabilityCriterion
from ffpt_core.base.runs import locked
from ffpt_core.datasets.run_folders import RunFiles
from ffpt_openmm.md.settings import MDSettings

if TYPE_CHECKING:
    from ase import Atoms
    from openmm.app import Topology


class RunFolder(RunFiles):
    """The folder of a run that is made. What replicas share is written before the first of them starts.

    Args:
        path: the folder.
    """

    def locked(self, group: int | None = None) -> contextlib.AbstractContextManager[None]:
        """Hold the run, or replicas that run together, so that no other process continues them at the same time.

        Args:
            group: the first of those replicas; None: the run.

        Raises:
            FfptError: another process holds it; the folder cannot be written to.
        """
        name, what = ("", "") if group is None else (str(group), f"replica {group} of {self.path}")
        return locked(self.path, name, what)


def criterion_of(topology: Topology, reference: Atoms, settings: MDSettings) -> StabilityCriterion:
    """What is physical in a run: the bonds of its topology, or of its reference geometry if it lists none."""
    bonds = [(bond[0].index, bond[1].index) for bond in topology.bonds()] or None
    return StabilityCriterion.from_reference(
        reference, bonds, max_stretch=settings.max_stretch, min_distance=settings.min_distance
    )
