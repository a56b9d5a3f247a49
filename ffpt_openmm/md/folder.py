"""The folder of a molecular dynamics run."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from ffpt_core.analysis import StabilityCriterion
from ffpt_core.base.runs import locked
from ffpt_openmm.md.settings import MDSettings

if TYPE_CHECKING:
    from ase import Atoms
    from openmm.app import Topology


class RunFolder:
    """The files of a run. What replicas share is written before the first of them starts.

    Args:
        path: the folder.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.record = self.path / "run.json"
        self.potential = self.path / "potential.pt"
        self.teacher = self.path / "teacher"
        self.topology = self.path / "topology.pdb"
        self.start = self.path / "start.xyz"
        self.reference = self.path / "reference.xyz"

    def trajectory(self, replica: int) -> Path:
        """The DCD file of a replica."""
        return self.path / f"trajectory-{replica}.dcd"

    def state(self, replica: int) -> Path:
        """The table of energies and temperatures of a replica."""
        return self.path / f"state-{replica}.csv"

    def failure(self, replica: int) -> Path:
        """The unphysical frame that stopped a replica."""
        return self.path / f"failure-{replica}.xyz"

    def checkpoint(self, group: int) -> Path:
        """The checkpoint of the replicas that run together, called by the first of them."""
        return self.path / f"checkpoint-{group}.npz"

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
