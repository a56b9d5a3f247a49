"""Temperature and total energy along MD runs: is the thermostat obeyed, is energy conserved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ffpt_core.analysis.blocks import block_error
from ffpt_core.base import figures, units
from ffpt_core.base.errors import FfptError
from ffpt_core.base.results import Cell, Result, Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TIME = "Time (ps)"
TOTAL = "Total Energy (kJ/mole)"
TEMPERATURE = "Temperature (K)"


@dataclass(frozen=True, eq=False)
class Thermodynamics:
    """Temperature and energy of one replica.

    Args:
        name: of the replica.
        times: (n,) ps.
        temperatures: (n,) K.
        energies: (n,) total energy per atom in meV, relative to where a straight line through it begins.
        temperature: mean over the run in K.
        temperature_error: its standard error from blocks, in K.
        target: temperature of the thermostat in K, or None.
        drift: slope of a straight line through the total energy, meV/atom/ps. In a run without thermostat it
            measures the integration; with one it only says whether the energy has settled.
        drift_error: standard error of the slope, from slopes of blocks where there are enough rows.
        fluctuation: standard deviation of the total energy about that line, meV/atom.
    """

    name: str
    times: np.ndarray
    temperatures: np.ndarray
    energies: np.ndarray
    temperature: float
    temperature_error: float
    target: float | None
    drift: float
    drift_error: float
    fluctuation: float

    def to_dict(self) -> dict[str, Any]:
        """The numbers without the series, for a JSON file; units in the names."""
        renamed = {
            "temperature": "temperature_k",
            "temperature_error": "temperature_error_k",
            "target": "target_k",
            "drift": "drift_mev_per_atom_per_ps",
            "drift_error": "drift_error_mev_per_atom_per_ps",
            "fluctuation": "fluctuation_mev_per_atom",
        }
        series = ("times", "temperatures", "energies")
        record = {renamed.get(key, key): value for key, value in asdict(self).items() if key not in series}
        return record | {"length_ps": float(self.times[-1] - self.times[0]), "n_rows": len(self.times)}


def thermodynamics(
    table: Mapping[str, np.ndarray], n_atoms: int, target: float | None = None, skip: float = 0.0, name: str = ""
) -> Thermodynamics:
    """Temperature and energy drift from a table of OpenMM's StateDataReporter.

    Args:
        table: columns by name, from trajectories.read_state: times in ps, total energy in kJ/mol, temperature in K.
        n_atoms: number of atoms.
        target: temperature of the thermostat in K.
        skip: ps at the start to leave out.
        name: of the run, for tables.

    Raises:
        FfptError: a column is missing, or fewer than three rows are left.
    """
    missing = [column for column in (TIME, TOTAL, TEMPERATURE) if column not in table]
    if missing:
        raise FfptError(f"the state table{' of ' + name if name else ''} has no column {missing[0]!r}")
    kept = (table[TIME] >= skip) & np.isfinite(table[TOTAL]) & np.isfinite(table[TEMPERATURE])
    if kept.sum() < 3:
        raise FfptError(f"{name or 'the state table'} has {kept.sum()} rows after {skip:g} ps: three are needed")
    times, temperatures = table[TIME][kept], table[TEMPERATURE][kept]
    energies = units.KJ_PER_MOL * table[TOTAL][kept] / n_atoms / units.MILLI
    slope, offset = np.polyfit(times - times[0], energies - energies[0], 1)
    energies = energies - energies[0] - offset
    residual = energies - slope * (times - times[0])
    return Thermodynamics(
        name=name,
        times=times,
        temperatures=temperatures,
        energies=energies,
        temperature=float(temperatures.mean()),
        temperature_error=block_error(temperatures),
        target=target,
        drift=float(slope),
        drift_error=_slope_error(times, residual),
        fluctuation=float(residual.std()),
    )


def _slope_error(times: np.ndarray, residual: np.ndarray) -> float:
    """Standard error of a fitted slope whose residuals are correlated.

    The error for independent residuals is scaled by the square root of their statistical inefficiency,
    found from the scatter of block means against that of single values.
    """
    n_rows = len(times)
    spread = np.sum((times - times.mean()) ** 2)
    independent = np.sqrt(np.sum(residual**2) / max(n_rows - 2, 1) / spread)
    single = residual.std(ddof=1) / np.sqrt(n_rows)
    if n_rows < 40 or single == 0.0:
        return float(independent)
    return float(independent * max(1.0, block_error(residual) / single))


@figures.styled
def plot_thermodynamics(runs: Mapping[str, Sequence[Thermodynamics]]) -> Figure:
    """Temperature and total energy over time, one line a replica, one colour a label."""
    if not any(runs.values()):
        raise FfptError("there is no run to draw")
    figure, (left, right) = figures.new_figure(1, 2, width=3.8, height=2.8)
    colours = figures.colours(runs)
    for label, replicas in runs.items():
        alpha = 1.0 if len(replicas) == 1 else max(0.25, 0.9 / len(replicas) ** 0.5)
        for index, run in enumerate(replicas):
            # Matplotlib keeps labels that begin with an underscore out of legends.
            name = label if index == 0 else "_replica"
            times, temperatures = _averaged(run.times, run.temperatures)
            left.plot(times, temperatures, color=colours[label], alpha=alpha, linewidth=1.0, label=name)
            times, energies = _averaged(run.times, run.energies)
            right.plot(times, energies, color=colours[label], alpha=alpha, linewidth=1.0)
    targets = {run.target for replicas in runs.values() for run in replicas if run.target is not None}
    for target in targets:
        left.axhline(target, color="#000000", linestyle=":", linewidth=1.0)
    left.set_ylabel("Temperature (K)")
    right.set_ylabel("Total energy change (meV/atom)")
    for axes in (left, right):
        axes.set_xlabel("Time (ps)")
    figures.legend_above(figure, *left.get_legend_handles_labels())
    return figure


def _averaged(times: np.ndarray, values: np.ndarray, points: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Means over windows, so that a line has no more points than a picture can show."""
    width = max(1, len(times) // points)
    kept = len(times) // width * width
    return times[:kept].reshape(-1, width).mean(axis=1), values[:kept].reshape(-1, width).mean(axis=1)


def temperatures_table(record: Mapping[str, Any], caption: str = "") -> Table:
    """Temperature and energy drift of each replica, from the energy.json of ``ffpt analyze energy``."""
    rows: list[list[Cell]] = [
        [
            label,
            run["name"],
            f"{run['temperature_k']:.1f} ± {run['temperature_error_k']:.1f}",
            None if run["target_k"] is None else f"{run['target_k']:g}",
            f"{run['drift_mev_per_atom_per_ps']:.3f} ± {run['drift_error_mev_per_atom_per_ps']:.3f}".replace("-", "−"),
        ]
        for label, group in record.items()
        for run in group
    ]
    columns = ["Potential", "Replica", "Temperature (K)", "Thermostat (K)", "Energy drift (meV/atom/ps)"]
    return Table(columns=columns, rows=rows, caption=caption or "Temperature, and slope of the total energy.")


ENERGY = Result(
    title="Temperature and energy",
    file="energy.json",
    table=temperatures_table,
    pictures=(("energy.png", "Temperature and energy."),),
)
"""The analysis ``energy``: mean temperature, and drift of the total energy."""
