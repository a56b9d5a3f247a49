"""The state of METAD: its hills, the heights of new ones, and the HILLS file."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ffpt_core.base.errors import FfptError
from ffpt_plumed.native.hills import HillGrid, Hills, HillSum
from ffpt_plumed.native.metad import MetadSettings
from ffpt_plumed.native.restart import last_step
from ffpt_plumed.text.tables import Table, read_table
from ffpt_plumed.text.writing import HILLS_FORMAT, TableWriter

_log = logging.getLogger(__name__)


class Metad:
    """The state of one METAD action: its hills, and the file that they are written to.

    Args:
        settings: of the input.
        folder: that FILE is relative to.

    Raises:
        FfptError: HILLS cannot be read, or is of other variables.
    """

    def __init__(self, settings: MetadSettings, folder: Path) -> None:
        self.settings = settings
        self.path = folder / settings.file
        self.hills: Hills = (
            HillSum([value.period for value in settings.arguments])
            if settings.axes is None
            else HillGrid(settings.axes, settings.names)
        )
        self.rct = 0.0
        self._writer: TableWriter | None = None
        if settings.restart:
            self.read()

    def bias(self, values: Sequence[float]) -> float:
        """The bias at values of the arguments."""
        return self.hills.evaluate(np.array(values))[0]

    def open(self) -> None:
        """Open HILLS for writing; a file that is not continued is backed up as PLUMED does."""
        settings = self.settings
        self._writer = TableWriter(
            self.path, settings.fields, self._constants(), settings.format, append=settings.restart
        )

    def close(self) -> None:
        """Close HILLS."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def read(self) -> None:
        """Take the hills of HILLS for those that there are.

        Raises:
            FfptError: no such file, or it is of other variables or of kernels that are not known.
        """
        if not self.path.is_file():
            raise FfptError(f"cannot restart: there is no {self.path}")
        table = read_table(self.path)
        self._check(table)
        self.hills.clear()
        for row in table.values:
            self._add(row)
        self._update_rct()
        _log.info("%d hills of %s", len(table), self.path)

    def missing(self, step: int, timestep: float) -> bool:
        """Whether the hill of a step that a run goes on from was never written.

        Raises:
            FfptError: hills before it are missing too.
        """
        pace = self.settings.pace
        last, expected = last_step(self.path, timestep), step - step % pace
        if last >= expected or expected == 0:
            return False
        if step == expected and last >= expected - pace:
            return True
        raise FfptError(f"cannot restart at step {step}: the last hill of {self.path} is of step {last}")

    def add_hill(self, step: int, time: float, timestep: float, values: Sequence[float]) -> list[float]:
        """Add a hill at values of the arguments. Time and time step in the input's unit.

        Returns:
            its row of HILLS, for write.
        """
        settings = self.settings
        height = settings.first_height(timestep)
        if settings.biasfactor is not None and settings.thermal_energy is not None:
            height *= math.exp(-self.bias(values) / (settings.thermal_energy * (settings.biasfactor - 1.0)))
        row = [time, *values, *settings.sigma, height * settings.file_factor, settings.biasfactor or -1.0]
        if settings.format == HILLS_FORMAT:
            # The hill is what its row says, so that a restarted run goes on as an unbroken one, to the last bit.
            row = [float(HILLS_FORMAT % number) for number in row]
        self._add(np.array(row))
        if settings.rct_stride is not None and step % (settings.pace * settings.rct_stride) == 0:
            self._update_rct()
        return row

    def _add(self, row: NDArray[np.float64]) -> None:
        """Add the hill of a row of HILLS: time, centres, sigmas, height in the file, bias factor."""
        count = self.hills.dimension
        height = float(row[1 + 2 * count]) / self.settings.file_factor
        self.hills.add(row[1 : 1 + count], row[1 + count : 1 + 2 * count], height)

    def write(self, row: Sequence[float]) -> None:
        """Append a row to HILLS."""
        if self._writer is None:
            raise ValueError(f"{self.path} is not open")
        self._writer.write(row)

    def _update_rct(self) -> None:
        """c(t) of Tiwary and Parrinello, J. Phys. Chem. B 119, 736 (2015), over the points of the grid."""
        settings = self.settings
        if settings.rct_stride is None or settings.thermal_energy is None or not isinstance(self.hills, HillGrid):
            return
        # -F and -(F + V) in k_B T, of V: without tempering F is -V.
        factors = (1.0, 0.0)
        if settings.biasfactor is not None:
            factors = (settings.file_factor, 1.0 / (settings.biasfactor - 1.0))
        highest = float(self.hills.values.max())
        shifted: NDArray[np.float64] = (self.hills.values - highest) / settings.thermal_energy
        free, biased = (float(np.exp(factor * shifted).sum()) for factor in factors)
        self.rct = settings.thermal_energy * math.log(free / biased) + highest

    def _constants(self) -> dict[str, str]:
        constants = {"multivariate": "false", "kerneltype": "stretched-gaussian"}
        for value in self.settings.arguments:
            if value.period is not None:
                constants[f"min_{value.name}"] = value.period.low_text
                constants[f"max_{value.name}"] = value.period.high_text
        return constants

    def _check(self, table: Table) -> None:
        """Refuse hills of another kind."""
        expected = self.settings.fields
        if table.fields != expected:
            raise FfptError(
                f"{self.path} has the columns {' '.join(table.fields)}; METAD {self.settings.label} needs "
                f"{' '.join(expected)}"
            )
        for key, text in self._constants().items():
            found = table.constants.get(key)
            if found != text:
                raise FfptError(f"{self.path} says {key} {found or '(nothing)'}; native PLUMED needs {text}")
        extra = {key for key in table.constants if key.startswith(("min_", "max_"))} - set(self._constants())
        if extra:
            raise FfptError(f"{self.path} has the periodic variable {min(extra)[4:]}, which is not periodic here")
