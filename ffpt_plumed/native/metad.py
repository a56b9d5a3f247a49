"""METAD: what the input says, heights of new hills, and the HILLS file."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ffpt_core.errors import FfptError
from ffpt_plumed.native.hills import Axis, HillGrid, Hills, HillSum
from ffpt_plumed.native.keywords import KERNEL_HINT, Keywords, number
from ffpt_plumed.native.output import read_format, read_restart_keyword
from ffpt_plumed.native.program import Program, Value
from ffpt_plumed.native.restart import last_step
from ffpt_plumed.tables import HILLS_FORMAT, Table, TableWriter, read_table

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class MetadSettings:
    """One METAD action, in the units of the input.

    Attributes:
        label: of the action.
        arguments: that it biases.
        sigma: widths of hills.
        pace: steps between them.
        height: of the first; None: from tau.
        tau: deposition time of well-tempered metadynamics; None: from the height.
        biasfactor: of well-tempered metadynamics; None: hills keep their height.
        thermal_energy: k_B T; None: unknown and not needed.
        axes: of the grid; None: hills are summed one by one.
        rct_stride: hills between updates of c(t); None: it is not asked for.
        file: HILLS, as given.
        format: of its numbers.
        restart: continue it.
    """

    label: str
    arguments: tuple[Value, ...]
    sigma: tuple[float, ...]
    pace: int
    height: float | None
    tau: float | None
    biasfactor: float | None
    thermal_energy: float | None
    axes: tuple[Axis, ...] | None
    rct_stride: int | None
    file: str
    format: str
    restart: bool

    @property
    def names(self) -> list[str]:
        """Of the arguments."""
        return [value.name for value in self.arguments]

    def first_height(self, timestep: float) -> float:
        """The height of a hill where there is no bias yet. With the time step in the input's unit."""
        if self.height is not None:
            return self.height
        if self.tau is None or self.thermal_energy is None or self.biasfactor is None:
            raise FfptError(f"METAD {self.label} needs HEIGHT, or TAU and BIASFACTOR")
        return self.thermal_energy * (self.biasfactor - 1.0) / self.tau * timestep * self.pace

    @property
    def file_factor(self) -> float:
        """By which heights are larger in HILLS: their sum there is minus the free energy."""
        return 1.0 if self.biasfactor is None else self.biasfactor / (self.biasfactor - 1.0)


def read_metad(keywords: Keywords, program: Program) -> None:
    """The METAD action."""
    arguments = tuple(program.arguments(keywords))
    count = len(arguments)
    if count > 3:
        raise keywords.error(f"{count} arguments; natively 3 are the most; {KERNEL_HINT}", "ARG")
    sigma = tuple(keywords.numbers("SIGMA", count))
    if min(sigma) <= 0:
        raise keywords.error("SIGMA must be above 0", "SIGMA")
    biasfactor = keywords.number("BIASFACTOR") if keywords.has("BIASFACTOR") else None
    if biasfactor is not None and biasfactor <= 1.0:
        raise keywords.error("BIASFACTOR must be above 1", "BIASFACTOR")
    energy = program.thermal_energy(keywords)
    height, tau = (keywords.number(key) if keywords.has(key) else None for key in ("HEIGHT", "TAU"))
    if (height is None) == (tau is None):
        raise keywords.error("one of HEIGHT and TAU must be given")
    if tau is not None and biasfactor is None:
        raise keywords.error("TAU makes sense with a BIASFACTOR only", "TAU")
    if tau is not None and tau <= 0:
        raise keywords.error("TAU must be above 0", "TAU")
    rct = _read_rct_stride(keywords)
    if energy is None and (biasfactor is not None or rct is not None):
        raise keywords.error("TEMP is missing, and no temperature was given")
    axes = _read_axes(keywords, arguments, sigma)
    if rct is not None and axes is None:
        raise keywords.error("CALC_RCT needs a grid", "CALC_RCT")
    label = keywords.action.label
    settings = MetadSettings(
        label=label,
        arguments=arguments,
        sigma=sigma,
        pace=keywords.positive("PACE"),
        height=height,
        tau=tau,
        biasfactor=biasfactor,
        thermal_energy=energy,
        axes=axes,
        rct_stride=rct,
        file=keywords.text("FILE", "HILLS"),
        format=read_format(keywords, HILLS_FORMAT),
        restart=read_restart_keyword(keywords, program),
    )
    if any(other.file == settings.file for other in program.metads):
        raise keywords.error(f"FILE={settings.file} belongs to another METAD", "FILE")
    program.metads.append(settings)
    for component in ("bias", *(("rbias", "rct") if rct is not None else ())):
        program.values[f"{label}.{component}"] = Value(f"{label}.{component}", None)


def _read_rct_stride(keywords: Keywords) -> int | None:
    stride = keywords.positive("RCT_USTRIDE", 1)
    return stride if keywords.flag("CALC_RCT") else None


def _read_axes(keywords: Keywords, arguments: Sequence[Value], sigma: Sequence[float]) -> tuple[Axis, ...] | None:
    """The grid that GRID_MIN, GRID_MAX and GRID_BIN or GRID_SPACING define; a fifth of SIGMA without them."""
    count = len(arguments)
    keywords.flag("GRID_SPARSE")  # how PLUMED stores it
    if not (keywords.has("GRID_MIN") and keywords.has("GRID_MAX")):
        given = [key for key in ("GRID_MIN", "GRID_MAX", "GRID_BIN", "GRID_SPACING") if keywords.has(key)]
        if given:
            raise keywords.error(f"{given[0]} needs GRID_MIN and GRID_MAX", given[0])
        return None
    lows, highs = keywords.numbers("GRID_MIN", count), keywords.numbers("GRID_MAX", count)
    bins = [1.0] * count
    spacings = [0.2 * width for width in sigma]
    if keywords.has("GRID_BIN"):
        bins, spacings = keywords.numbers("GRID_BIN", count), [math.inf] * count
    if keywords.has("GRID_SPACING"):
        spacings = keywords.numbers("GRID_SPACING", count)
    if min(spacings) <= 0 or any(b != round(b) or b < 1 for b in bins):
        raise keywords.error("GRID_BIN must be whole numbers of 1 or more, and GRID_SPACING above 0")
    axes = []
    for value, low, high, count_, spacing in zip(arguments, lows, highs, bins, spacings, strict=True):
        if high <= low:
            raise keywords.error(f"GRID_MAX of {value.name} must be above GRID_MIN", "GRID_MAX")
        period = value.period
        if period is not None and (low, high) != (period.low, number(period.high_text)):
            raise keywords.error(f"the grid of {value.name} must be from {period.low_text} to {period.high_text}")
        size = max(round(count_), math.ceil((high - low) / spacing))
        axes.append(Axis(low, (high - low) / size, size, period))
    return tuple(axes)


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
        fields = ["time", *self.settings.names, *(f"sigma_{name}" for name in self.settings.names), "height", "biasf"]
        self._writer = TableWriter(
            self.path, fields, self._constants(), self.settings.format, append=self.settings.restart
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
        names = self.settings.names
        heights = table["height"] / self.settings.file_factor
        sigmas = table.columns([f"sigma_{name}" for name in names])
        for centre, sigma, height in zip(table.columns(names), sigmas, heights, strict=True):
            self.hills.add(centre, sigma, float(height))
        self._update_rct()
        _log.info("%d hills of %s", len(heights), self.path)

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
        settings, sigma = self.settings, np.array(self.settings.sigma)
        height = settings.first_height(timestep)
        if settings.biasfactor is not None and settings.thermal_energy is not None:
            height *= math.exp(-self.bias(values) / (settings.thermal_energy * (settings.biasfactor - 1.0)))
        self.hills.add(np.array(values), sigma, height)
        if settings.rct_stride is not None and step % (settings.pace * settings.rct_stride) == 0:
            self._update_rct()
        return [time, *values, *settings.sigma, height * settings.file_factor, settings.biasfactor or -1.0]

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
        names = self.settings.names
        expected = ("time", *names, *(f"sigma_{name}" for name in names), "height", "biasf")
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


READERS = {"METAD": read_metad}
"""Actions of this module, by name."""
