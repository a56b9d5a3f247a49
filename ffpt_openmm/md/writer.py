"""What a replica writes while it runs: its trajectory and its table of energies."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

import numpy as np

from ffpt_core.base.runs import cut_back
from ffpt_core.base.units import PICOSECOND
from ffpt_core.structure.periodic import wrap_molecules
from ffpt_openmm.md.dcd import DCDTrajectory, truncate
from ffpt_openmm.md.folder import RunFolder
from ffpt_openmm.md.settings import MDSettings

if TYPE_CHECKING:
    from openmm.app import Topology

_HEADER = (
    '#"Step","Time (ps)","Potential Energy (kJ/mole)","Kinetic Energy (kJ/mole)",'
    '"Total Energy (kJ/mole)","Temperature (K)"\n'
)
"""That of OpenMM's StateDataReporter for these columns."""


class ReplicaWriter:
    """The trajectory and the table of one replica, open.

    Args:
        folder: of the run.
        replica: its index.
        topology: its atoms.
        settings: of the run.
        step: where it goes on; 0: new files.
        sizes: bytes of trajectory and table at that step, as sync returned them. What was written later is cut off.
        molecules: (n_atoms,) the molecule of each atom, for settings.wrap.

    Raises:
        FfptError: a file is shorter than that.
        OSError: a file cannot be written.
    """

    def __init__(
        self,
        folder: RunFolder,
        replica: int,
        topology: Topology,
        settings: MDSettings,
        step: int = 0,
        sizes: tuple[int, int] = (0, 0),
        molecules: np.ndarray | None = None,
    ) -> None:
        trajectory, table = folder.trajectory(replica), folder.state(replica)
        frames = step // settings.frame_steps
        if step:
            truncate(trajectory, sizes[0], frames)
            cut_back(table, sizes[1])
        self._open = contextlib.ExitStack()
        self._trajectory = DCDTrajectory(
            trajectory, topology, settings.timestep / PICOSECOND, settings.frame_steps, frames
        )
        self._open.callback(self._trajectory.close)
        self._table = self._open.enter_context(open(table, "a" if step else "w"))  # noqa: SIM115
        self._timestep = settings.timestep
        self._molecules = molecules if settings.wrap else None
        if not step:
            self._table.write(_HEADER)

    def frame(self, positions: np.ndarray, box: np.ndarray | None) -> None:
        """Append positions (n_atoms, 3), with the box vectors (3, 3), nm."""
        if self._molecules is not None and box is not None:
            positions = wrap_molecules(positions, box, self._molecules)
        self._trajectory.append(positions, box)

    def row(self, step: int, potential: float, kinetic: float, temperature: float) -> None:
        """Append energies (kJ/mol) and the temperature (K)."""
        time = round(step * self._timestep / PICOSECOND, 9)
        self._table.write(f"{step},{time},{potential},{kinetic},{potential + kinetic},{temperature}\n")

    def sync(self) -> tuple[int, int]:
        """Force what was written to disk; returns the bytes of trajectory and table."""
        self._table.flush()
        os.fsync(self._table.fileno())
        return self._trajectory.sync(), os.fstat(self._table.fileno()).st_size

    def close(self) -> None:
        """Close the files."""
        self._open.close()
