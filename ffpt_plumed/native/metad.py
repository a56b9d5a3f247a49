"""METAD: its hills, the heights of new ones, and the HILLS file."""

from __future__ import annotations

import logging
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ffpt_core.base.errors import FfptError
from ffpt_plumed.native.hills import HillBias, HillGrid, HillSum
from ffpt_plumed.native.keywords import Keywords
from ffpt_plumed.native.metad_settings import MetadSettings, read_settings
from ffpt_plumed.native.restart import cut_after, last_step
from ffpt_plumed.native.splines import GridFunction
from ffpt_plumed.native.stateful import Moment, StatefulBias
from ffpt_plumed.native.translation import Translation
from ffpt_plumed.text.tables import Table, read_table
from ffpt_plumed.text.writing import HILLS_FORMAT, TableWriter

_log = logging.getLogger(__name__)


def read_metad(keywords: Keywords, translation: Translation) -> None:
    """METAD: well-tempered and plain metadynamics of one to three arguments, with a grid or without."""
    settings = read_settings(keywords, translation)
    if any(isinstance(other, Metad) and other.settings.file == settings.file for other in translation.stateful):
        raise keywords.error(f"FILE={settings.file} belongs to another METAD", "FILE")
    components = ("bias",) if settings.rct_stride is None else ("bias", "rbias", "rct")
    translation.add_stateful(Metad(settings, translation.folder), components)


class Metad(StatefulBias):
    """One METAD action: its hills, and the file that they are written to.

    Args:
        settings: of the input.
        folder: that FILE is relative to.
    """

    def __init__(self, settings: MetadSettings, folder: Path) -> None:
        super().__init__(settings.label, settings.arguments, settings.pace)
        self.settings = settings
        self.path = folder / settings.file
        self._hills: HillBias = (
            HillSum([value.period for value in settings.arguments])
            if settings.axes is None
            else HillGrid(settings.axes)
        )
        self._rct = 0.0
        self._row: list[float] = []
        self._writer: TableWriter | None = None

    def evaluate(self, point: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """See StatefulBias."""
        return self._hills.evaluate(point)

    def term(self, prefix: str) -> GridFunction | None:
        """See StatefulBias: a grid is an expression, hills without one are summed on the host."""
        if not isinstance(self._hills, HillGrid):
            return None
        return GridFunction(prefix, self._hills, [str(value.variable) for value in self.arguments])

    def components(self, values: dict[str, float]) -> dict[str, float]:
        """See StatefulAction: label.bias, label.rct and label.rbias."""
        found = super().components(values)
        return found | {f"{self.label}.rct": self._rct, f"{self.label}.rbias": found[f"{self.label}.bias"] - self._rct}

    def resume(self) -> None:
        """See StatefulAction: HILLS is read."""
        if self.settings.restart:
            self._read()

    def begin(self, step: int, timestep: float) -> bool:
        """See StatefulAction: the first step has a hill only where a run was stopped between checkpoint and hill."""
        if not (self.settings.restart and step > 0):
            return False
        if cut_after(self.path, step, timestep):
            self._read()
        return self._misses_hill(step, timestep)

    def open(self) -> None:
        """See StatefulAction; a HILLS that is not continued is backed up as PLUMED does."""
        settings = self.settings
        self._writer = TableWriter(
            self.path, settings.fields, self._constants(), settings.format, append=settings.restart
        )

    def act(self, moment: Moment) -> None:
        """See StatefulAction: a hill is added, and with it c(t) changes."""
        settings = self.settings
        point = [moment.values[name] for name in settings.names]
        height = settings.first_height(moment.timestep)
        if settings.biasfactor is not None and settings.thermal_energy is not None:
            bias, _ = self._hills.evaluate(np.array(point))
            height *= math.exp(-bias / (settings.thermal_energy * (settings.biasfactor - 1.0)))
        row = [moment.time, *point, *settings.sigma, height * settings.file_factor, settings.biasfactor or -1.0]
        if settings.format == HILLS_FORMAT:
            # The hill is what its row says, so that a restarted run goes on as an unbroken one, to the last bit.
            row = [float(HILLS_FORMAT % number) for number in row]
        self._add(np.array(row))
        self._row = row
        if settings.rct_stride is not None and moment.step % (settings.pace * settings.rct_stride) == 0:
            self._update_rct()
        # As in PLUMED, c(t) is printed with the hill of this step, and the bias without.
        moment.values[f"{self.label}.rct"] = self._rct

    def save(self, moment: Moment) -> None:
        """See StatefulAction: the row of the hill."""
        if self._writer is None:
            raise ValueError(f"{self.path} is not open")
        self._writer.write(self._row)

    def close(self) -> None:
        """See StatefulAction."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _read(self) -> None:
        """Take the hills of HILLS for those that there are.

        Raises:
            FfptError: no such file, or it is of other variables or of kernels that are not known.
        """
        if not self.path.is_file():
            raise FfptError(f"cannot restart: there is no {self.path}")
        table = read_table(self.path)
        self._check(table)
        self._hills.clear()
        for row in table.values:
            self._add(row)
        self._update_rct()
        _log.info("%d hills of %s", len(table), self.path)

    def _misses_hill(self, step: int, timestep: float) -> bool:
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

    def _add(self, row: NDArray[np.float64]) -> None:
        """Add the hill of a row of HILLS: time, centres, sigmas, height in the file, bias factor."""
        count = self._hills.dimension
        height = float(row[1 + 2 * count]) / self.settings.file_factor
        self._hills.add(row[1 : 1 + count], row[1 + count : 1 + 2 * count], height)

    def _update_rct(self) -> None:
        """c(t) of Tiwary and Parrinello, J. Phys. Chem. B 119, 736 (2015), over the points of the grid."""
        settings = self.settings
        if settings.rct_stride is None or settings.thermal_energy is None or not isinstance(self._hills, HillGrid):
            return
        # -F and -(F + V) in k_B T, of V: without tempering F is -V.
        factors = (1.0, 0.0)
        if settings.biasfactor is not None:
            factors = (settings.file_factor, 1.0 / (settings.biasfactor - 1.0))
        highest = float(self._hills.values.max())
        shifted: NDArray[np.float64] = (self._hills.values - highest) / settings.thermal_energy
        free, biased = (float(np.exp(factor * shifted).sum()) for factor in factors)
        self._rct = settings.thermal_energy * math.log(free / biased) + highest

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
