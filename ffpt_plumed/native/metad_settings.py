"""What an input says about METAD."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ffpt_core.base.errors import FfptError
from ffpt_plumed.grids.axis import Axis
from ffpt_plumed.native.keywords import KERNEL_HINT, Keywords
from ffpt_plumed.native.translation import Translation
from ffpt_plumed.native.values import Value
from ffpt_plumed.text.writing import HILLS_FORMAT


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

    @property
    def fields(self) -> tuple[str, ...]:
        """Columns of HILLS."""
        return ("time", *self.names, *(f"sigma_{name}" for name in self.names), "height", "biasf")

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


def read_settings(keywords: Keywords, translation: Translation) -> MetadSettings:
    """The keywords of one METAD.

    Raises:
        FfptError: they are wrong, or do not go together.
    """
    arguments = tuple(translation.arguments(keywords))
    count = len(arguments)
    if count > 3:
        raise keywords.error(f"{count} arguments; natively 3 are the most; {KERNEL_HINT}", "ARG")
    sigma = tuple(keywords.numbers("SIGMA", count))
    if min(sigma) <= 0:
        raise keywords.error("SIGMA must be above 0", "SIGMA")
    biasfactor = keywords.number("BIASFACTOR") if keywords.has("BIASFACTOR") else None
    if biasfactor is not None and biasfactor <= 1.0:
        raise keywords.error("BIASFACTOR must be above 1", "BIASFACTOR")
    energy = translation.thermal_energy(keywords)
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
    return MetadSettings(
        label=keywords.action.label,
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
        format=keywords.format("FMT", HILLS_FORMAT),
        restart=translation.continues(keywords),
    )


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
        if period is not None and (low, high) != (period.low, period.high):
            raise keywords.error(f"the grid of {value.name} must be from {period}")
        axes.append(Axis(value.name, low, high, max(round(count_), math.ceil((high - low) / spacing)), period))
    return tuple(axes)
