"""Energies and forces of one or more potentials along a scan, and their picture."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from ase import Atoms

from ffpt_core.analysis.scans import Scan
from ffpt_core.base import figures
from ffpt_core.base.errors import FfptError
from ffpt_core.potentials.interface import Potential
from ffpt_core.potentials.sources import open_potential

if TYPE_CHECKING:
    from ase.calculators.calculator import BaseCalculator
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Evaluated: TypeAlias = "Potential | BaseCalculator | str | os.PathLike[str]"
"""What open_potential opens: a potential, its name or file, or any ASE calculator."""

COPIES = 64
"""Geometries that a potential which gains from it evaluates in one call."""

CEILING = 12.0
"""Energies above this many eV are cut off in pictures: a rigid scan's walls would hide all else."""


@dataclass(frozen=True, eq=False)
class ScanResult:
    """Energies and forces along a scan.

    Args:
        scan: where they were evaluated.
        energies: for each label, (n,) energies in eV relative to the start geometry; NaN where a
            calculator failed (an electronic structure that did not converge, for example).
        forces: for each label, (n, n_atoms, 3) forces in eV/Angstrom; NaN likewise.
    """

    scan: Scan
    energies: dict[str, np.ndarray]
    forces: dict[str, np.ndarray]

    @property
    def values(self) -> np.ndarray:
        """(n,) values of the scanned coordinate, in Angstrom or degrees."""
        return self.scan.values

    def at(self, label: str, value: float) -> float:
        """Energy in eV at a value of the coordinate, by linear interpolation; NaN outside the scan."""
        order = np.argsort(self.values)
        return float(np.interp(value, self.values[order], self.energies[label][order], left=np.nan, right=np.nan))

    def to_dict(self) -> dict[str, Any]:
        """The scan and its energies for a JSON file; None where a calculator failed."""
        energies = {label: [_plain(energy) for energy in curve] for label, curve in self.energies.items()}
        largest = {label: [_plain(np.abs(frame).max()) for frame in forces] for label, forces in self.forces.items()}
        return self.scan.to_dict() | {"energies_ev": energies, "largest_force_ev_per_angstrom": largest}


def evaluate_scan(scan: Scan, potentials: Mapping[str, Evaluated]) -> ScanResult:
    """Energies and forces of each potential along a scan. Takes and raises what evaluate_scans does."""
    return evaluate_scans([scan], potentials)[0]


def evaluate_scans(
    scans: Sequence[Scan], potentials: Mapping[str, Evaluated], advance: Callable[[int], None] | None = None
) -> list[ScanResult]:
    """Energies and forces of each potential along scans of one system, many geometries at once.

    Args:
        scans: from scan_bond, scan_angle, scan_dihedral or scan_contact.
        potentials: what open_potential opens, by the label that pictures and files give them.
        advance: called with numbers of geometries as they are evaluated.

    Raises:
        FfptError: scans of different systems; a potential fails at a start geometry, which all energies are relative
            to.
    """
    if not scans:
        return []
    numbers = scans[0].start.numbers
    if any(not np.array_equal(scan.start.numbers, numbers) for scan in scans):
        raise FfptError("the scans are of different systems: their atoms differ")
    starts = list({scan.start.positions.tobytes(): scan.start for scan in scans}.values())
    frames = np.array([atoms.positions for atoms in (*starts, *(g for scan in scans for g in scan.geometries))])
    energies: list[dict[str, np.ndarray]] = [{} for _ in scans]
    forces: list[dict[str, np.ndarray]] = [{} for _ in scans]
    for label, potential in potentials.items():
        found, found_forces = _evaluate(open_potential(potential), scans[0].start, frames, advance)
        zeros = {atoms.positions.tobytes(): energy for atoms, energy in zip(starts, found, strict=False)}
        first = len(starts)
        for index, scan in enumerate(scans):
            zero = zeros[scan.start.positions.tobytes()]
            if not np.isfinite(zero):
                raise FfptError(f"{label} has no energy at the start geometry of the scan of {scan.name}")
            here = slice(first, first + len(scan.values))
            energies[index][label], forces[index][label] = found[here] - zero, found_forces[here]
            first = here.stop
    return [ScanResult(*parts) for parts in zip(scans, energies, forces, strict=True)]


def _evaluate(
    potential: Potential, system: Atoms, frames: np.ndarray, advance: Callable[[int], None] | None
) -> tuple[np.ndarray, np.ndarray]:
    """Energies (n,), eV, and forces (n, n_atoms, 3), eV/Angstrom, at positions (n, n_atoms, 3); NaN where it fails."""
    energies, forces = np.full(len(frames), np.nan), np.full(frames.shape, np.nan)
    size = min(COPIES, len(frames)) if potential.batches else 1
    evaluator = potential.evaluator(system.numbers, system.pbc, size)
    cell = np.array(system.cell) if system.pbc.any() else None
    for start in range(0, len(frames), size):
        chunk = frames[start : start + size]
        # The last chunk is filled with its own first frame.
        filled = np.concatenate([chunk, np.repeat(chunk[:1], size - len(chunk), axis=0)])
        try:
            predicted = evaluator(filled.reshape(-1, 3), cell)
        except FfptError:
            if size > 1:  # which of the geometries it is, nobody knows
                raise
        else:
            here = slice(start, start + len(chunk))
            energies[here] = predicted.energies[: len(chunk)]
            forces[here] = predicted.forces.reshape(filled.shape)[: len(chunk)]
        if advance is not None:
            advance(len(chunk))
    return energies, forces


def _plain(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


@figures.styled
def plot_scans(
    results: Sequence[ScanResult], reference: str | None = None, ceiling: float = CEILING, columns: int | None = None
) -> Figure:
    """One panel a scan, one curve a label, in eV relative to the start geometry (dotted line).

    Args:
        results: scans of one molecule with the same labels.
        reference: the label that is drawn in black.
        ceiling: energies above it (eV) are cut off.
        columns: panels in a row; None chooses.
    """
    if not results:
        raise FfptError("there is no scan to draw")
    labels = list(dict.fromkeys(label for result in results for label in result.energies))
    columns = columns or min(len(results), 3 if len(results) <= 6 else 4)
    rows = -(-len(results) // columns)
    figure, axes = figures.new_figure(rows, columns, width=2.6 if columns > 3 else 3.3, height=2.2)
    colours = figures.colours(labels, reference)
    for result, panel in zip(results, axes, strict=False):
        _draw(panel, result, colours, reference, ceiling)
    for panel in axes[len(results) :]:
        panel.set_visible(False)
    for row in range(rows):
        axes[row * columns].set_ylabel("Energy (eV)")
    figures.legend_above(figure, *axes[0].get_legend_handles_labels())
    return figure


def _draw(axes: Axes, result: ScanResult, colours: Mapping[str, str], reference: str | None, ceiling: float) -> None:
    for label, energies in result.energies.items():
        dashes, order = ((0, (4, 1.5)), 3.0) if label == reference else ("solid", 2.0)
        axes.plot(result.values, energies, color=colours[label], label=label, linestyle=dashes, zorder=order)
    axes.axvline(result.scan.start_value, color="#9a9a9a", linestyle=":", linewidth=1.0, zorder=1)
    finite = np.concatenate([curve[np.isfinite(curve)] for curve in result.energies.values()])
    top = min(ceiling, 1.05 * max(finite.max(), 0.2))
    axes.set_ylim(max(min(-0.04 * top, 1.05 * finite.min()), -0.5 * ceiling), top)
    axes.set_xlim(result.values.min(), result.values.max())
    kind, atoms = result.scan.name.split(" ")
    axes.set_title(f"{kind.capitalize()} {_subscripted(atoms)}")
    quantity = {"bond": "Bond length (Å)", "contact": "Distance (Å)"}
    axes.set_xlabel(quantity.get(result.scan.kind, f"{kind.capitalize()} (degrees)"))


def _subscripted(name: str) -> str:
    """The name C0-H13 as C and H with their indices set small (mathtext)."""
    parts = []
    for part in name.split("-"):
        symbol = part.rstrip("0123456789")
        parts.append(rf"{symbol}$_{{{part[len(symbol) :]}}}$")
    return "–".join(parts)
