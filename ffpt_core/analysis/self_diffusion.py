"""Self-diffusion from mean square displacements, with errors and the correction for the size of the box."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ffpt_core.analysis.displacements import square_displacements, unwrapped, without_drift
from ffpt_core.analysis.liquids import cells, frame_spacing, same_system
from ffpt_core.base.errors import FfptError
from ffpt_core.base.results import Cell, Result, Table, decimals
from ffpt_core.base.units import BOLTZMANN, JOULE, METRE, MILLI, NANOMETRE, SECOND

if TYPE_CHECKING:
    import mdtraj

PER_SECOND = 1e9 * SECOND / METRE**2
"""1 Angstrom^2/ps in 1e-9 m^2/s."""

YEH_HUMMER = 2.837297
"""The constant of a cubic box in the correction of Yeh and Hummer."""

_SEGMENT = 2.0
"""Segments for the error are this many times as long as the longest lag of the fit."""


@dataclass(frozen=True, eq=False)
class Diffusion:
    """Mean square displacement and self-diffusion coefficient of atoms of one system.

    Args:
        name: for tables and pictures.
        lags: (n_lags,) ps.
        msd: (n_lags,) Angstrom^2, over atoms, time origins and replicas.
        coefficient: D in Angstrom^2/ps: a sixth of the slope of a straight line through the MSD in the window.
        error: its standard error, the larger of the two that follow.
        segment_error: from the scatter of D over segments of the trajectories, each twice as long as the longest lag
            of the fit; NaN with fewer than two segments.
        atom_error: from the scatter of D over atoms and replicas, as if atoms moved independently.
        n_segments: number of segments.
        offset: of the straight line, in Angstrom^2.
        window: first and last lag of the fit, ps.
        exponent: slope of log(MSD) over log(lag) in the window: 1 for diffusion, less in cages, 2 for free flight.
        n_atoms: atoms followed in each replica.
        lengths: ps of each replica.
        edges: (3,) mean lengths of the lattice vectors in Angstrom; None without a cell.
        cubic: whether the cell is a cube, to 1 %.
        longest_step: of any atom between two frames, as a share of a lattice vector; None if nothing was unwrapped.
    """

    name: str
    lags: np.ndarray
    msd: np.ndarray
    coefficient: float
    error: float
    segment_error: float
    atom_error: float
    n_segments: int
    offset: float
    window: tuple[float, float]
    exponent: float
    n_atoms: int
    lengths: tuple[float, ...]
    edges: np.ndarray | None
    cubic: bool
    longest_step: float | None

    def to_dict(self) -> dict[str, Any]:
        """Numbers and curve for a JSON file, units in the names."""
        record = {f"{key}_angstrom2_per_ps": getattr(self, key) for key in _RATES}
        record |= {f"{key}_1e-9_m2_per_s": PER_SECOND * getattr(self, key) for key in _RATES}
        renamed = {
            "lags": "lags_ps",
            "msd": "msd_angstrom2",
            "offset": "offset_angstrom2",
            "window": "window_ps",
            "lengths": "lengths_ps",
            "edges": "edges_angstrom",
        }
        return record | {renamed.get(key, key): value for key, value in asdict(self).items() if key not in _RATES}


_RATES = ("coefficient", "error", "segment_error", "atom_error")


def diffusion(
    trajectories: mdtraj.Trajectory | Sequence[mdtraj.Trajectory],
    selection: str = "element O",
    window: tuple[float | None, float | None] = (None, None),
    *,
    remove_drift: bool = True,
    is_unwrapped: bool = False,
    name: str = "",
    advance: Callable[[float], Any] | None = None,
) -> Diffusion:
    """The self-diffusion coefficient of selected atoms (Einstein): D = 1/6 d<|r(t) - r(0)|^2>/dt.

    Args:
        trajectories: mdtraj trajectories (nm, ps), replicas of one system with frames equally far apart.
        selection: atoms to follow, in mdtraj's language.
        window: first and last lag of the fit in ps; None: from 2 ps, to 20 ps or a quarter of the shortest
            replica, whatever is less.
        remove_drift: follow atoms relative to the centre of mass of all atoms.
        is_unwrapped: take the coordinates as they are. They need no cell then, and frames may be far apart.
        name: for tables and pictures.
        advance: called after each replica with its number of frames, for a progress bar.

    Raises:
        FfptError: no cell to unwrap with, frames too far apart for that or not evenly spaced, no atom selected, a
            trajectory too short for the window.
    """
    replicas = same_system(trajectories)
    spacing = _spacing(replicas)
    atoms = _selected(replicas[0], selection)
    lengths = tuple(round(spacing * (len(one) - 1), 6) for one in replicas)
    fit = _fit_window(window, spacing, min(lengths))
    n_lags = min(2 * fit[1], min(len(one) for one in replicas) - 1) + 1
    lags = spacing * np.arange(n_lags)
    per_atom, weights, segments, longest = [], [], [], 0.0
    for one in replicas:
        positions, step = _travelled(one, is_unwrapped, remove_drift)
        longest = max(longest, step)
        positions = positions[:, atoms]
        per_atom.append(square_displacements(positions, n_lags))
        weights.append(len(one) - np.arange(n_lags))
        segments += _segment_slopes(positions, spacing, fit)
        if advance is not None:
            advance(len(one))
    msd = np.average([part.mean(axis=1) for part in per_atom], axis=0, weights=weights)
    slope, offset = _line(lags, msd, fit)
    segment_error = _standard_error(np.array(segments)) / 6.0
    atom_error = _standard_error(np.concatenate([_line(lags, part, fit)[0] for part in per_atom])) / 6.0
    inside = slice(fit[0], fit[1] + 1)
    boxes = None if replicas[0].unitcell_vectors is None else np.concatenate([cells(one) for one in replicas])
    return Diffusion(
        name=name,
        lags=lags,
        msd=msd,
        coefficient=float(slope) / 6.0,
        error=float(np.fmax(segment_error, atom_error)),
        segment_error=segment_error,
        atom_error=atom_error,
        n_segments=len(segments),
        offset=float(offset),
        window=(round(float(lags[fit[0]]), 6), round(float(lags[fit[1]]), 6)),
        exponent=float(np.polyfit(np.log(lags[inside]), np.log(np.maximum(msd[inside], 1e-30)), 1)[0]),
        n_atoms=len(atoms),
        lengths=lengths,
        edges=None if boxes is None else np.linalg.norm(boxes, axis=2).mean(axis=0),
        cubic=boxes is not None and _is_cubic(boxes.mean(axis=0)),
        longest_step=None if is_unwrapped else longest,
    )


def yeh_hummer(temperature: float, viscosity: float, edge: float) -> float:
    """What a cubic periodic box takes from D, in Angstrom^2/ps: 2.837297 k_B T / (6 pi eta L).

    Yeh and Hummer, J. Phys. Chem. B 108, 15873, 2004. Add it to D of the box for that of an infinite system.

    Args:
        temperature: K.
        viscosity: of the liquid as the same potential makes it, in mPa s (water at 298 K: 0.89).
        edge: of the box in Angstrom.

    Raises:
        FfptError: one of them is not positive.
    """
    if not (temperature > 0 and viscosity > 0 and edge > 0):
        raise FfptError("the correction of Yeh and Hummer needs a positive temperature, viscosity and box")
    # eV ps/Angstrom^3
    resistance = 6.0 * np.pi * MILLI * viscosity * JOULE * SECOND / METRE**3
    return float(YEH_HUMMER * BOLTZMANN * temperature / (resistance * edge))


def finite_size(found: Diffusion, temperature: float, viscosity: float) -> float:
    """The correction of Yeh and Hummer for the box of a trajectory, in Angstrom^2/ps.

    Raises:
        FfptError: there is no cell, or it is not a cube.
    """
    if found.edges is None or not found.cubic:
        raise FfptError("the correction of Yeh and Hummer is for cubic boxes: this system has another cell, or none")
    return yeh_hummer(temperature, viscosity, float(found.edges.mean()))


def ratio(found: Diffusion, reference: Diffusion) -> tuple[float, float]:
    """D over that of a reference, and its standard error.

    Raises:
        FfptError: the reference does not diffuse.
    """
    if not reference.coefficient > 0:
        raise FfptError("the atoms of the reference do not diffuse: there is no ratio to it")
    value = found.coefficient / reference.coefficient
    return value, float(np.hypot(found.error, value * reference.error) / reference.coefficient)


def _travelled(trajectory: mdtraj.Trajectory, is_unwrapped: bool, remove_drift: bool) -> tuple[np.ndarray, float]:
    """Unwrapped positions in Angstrom, and the longest step."""
    if not np.isfinite(trajectory.xyz).all():
        raise FfptError("diffusion needs finite positions: cut the trajectory before its failure")
    positions, longest = (NANOMETRE * trajectory.xyz.astype(float), 0.0) if is_unwrapped else unwrapped(trajectory)
    if remove_drift:
        masses = np.array([atom.element.mass for atom in trajectory.topology.atoms])
        positions = without_drift(positions, masses)
    return positions, longest


def _spacing(replicas: Sequence[mdtraj.Trajectory]) -> float:
    spacings = [frame_spacing(one) for one in replicas]
    if not np.allclose(spacings, spacings[0], rtol=1e-3):
        raise FfptError(f"the replicas have frames {min(spacings):g} to {max(spacings):g} ps apart: pool equal ones")
    return spacings[0]


def _selected(trajectory: mdtraj.Trajectory, selection: str) -> np.ndarray:
    try:
        atoms = np.asarray(trajectory.topology.select(selection))
    except Exception as error:  # mdtraj's parser raises what its grammar library raises
        reason = str(error).splitlines()[0]
        raise FfptError(f"the selection {selection!r} is not in mdtraj's language: {reason}") from error
    if not len(atoms):
        raise FfptError(f"the selection {selection!r} picks no atom")
    return atoms


def _fit_window(window: tuple[float | None, float | None], spacing: float, length: float) -> tuple[int, int]:
    """First and last lag of the fit, in frames."""
    first = 2.0 if window[0] is None else window[0]
    last = min(20.0, length / 4.0) if window[1] is None else window[1]
    start, end = max(1, round(first / spacing)), round(last / spacing + 1e-9)
    if first < 0 or end - start < 2:
        raise FfptError(
            f"a fit from {first:g} to {last:g} ps holds fewer than three lags, frames being {spacing:g} ps apart: "
            "choose another window, or use longer trajectories"
        )
    if end * spacing > length / 2.0 * (1 + 1e-6):
        raise FfptError(f"the fit ends at {last:g} ps, beyond half of the shortest trajectory ({length:g} ps)")
    return start, end


def _line(lags: np.ndarray, msd: np.ndarray, fit: tuple[int, int]) -> np.ndarray:
    """(2, ...) slope and offset of straight lines, by least squares, through the columns of msd."""
    inside = slice(fit[0], fit[1] + 1)
    return np.polyfit(lags[inside], msd[inside], 1)


def _segment_slopes(positions: np.ndarray, spacing: float, fit: tuple[int, int]) -> list[float]:
    """Slopes of the MSD in segments of one replica that know nothing of each other."""
    n_segments = len(positions) // int(_SEGMENT * fit[1])
    lags = spacing * np.arange(fit[1] + 1)
    parts = np.array_split(positions, n_segments) if n_segments else []
    return [float(_line(lags, square_displacements(part, len(lags)).mean(axis=1), fit)[0]) for part in parts]


def _standard_error(values: np.ndarray) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")


def _is_cubic(cell: np.ndarray) -> bool:
    edges = np.linalg.norm(cell, axis=1)
    cosines = (cell @ cell.T) / np.outer(edges, edges) - np.eye(3)
    return bool(np.ptp(edges) < 0.01 * edges.mean() and np.abs(cosines).max() < 0.01)


def diffusion_table(record: Mapping[str, Any], caption: str = "") -> Table:
    """Diffusion coefficients, from the diffusion.json of ``ffpt analyze diffusion``."""
    rows: list[list[Cell]] = []
    for label, one in record["diffusion"].items():
        ratio = record["ratios"].get(label)
        rows.append(
            [
                label,
                f"{one['coefficient_1e-9_m2_per_s']:.2f} ± {one['error_1e-9_m2_per_s']:.2f}",
                decimals(one.get("corrected_coefficient_1e-9_m2_per_s")),
                None if ratio is None else f"{ratio['ratio']:.2f} ± {ratio['error']:.2f}",
                f"{one['window_ps'][0]:g} to {one['window_ps'][1]:g}",
                f"{sum(one['lengths_ps']):.1f}",
            ]
        )
    columns = ["Run", "D (1e-9 m²/s)", "Infinite box", "Over the reference", "Fit (ps)", "Length of all (ps)"]
    default = "In the box; in an infinite one by the correction of Yeh and Hummer, where a viscosity was given."
    return Table(columns=columns, rows=rows, caption=caption or default)


DIFFUSION = Result(
    title="Diffusion",
    file="diffusion.json",
    table=diffusion_table,
    pictures=(("diffusion.png", "Mean square displacements and the fitted lines."),),
)
"""The analysis ``diffusion``: self-diffusion coefficients of liquids."""
