"""Rattling: frames for pre-training, and what they look like beside frames of molecular dynamics."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ffpt_core.base.errors import FfptError
from ffpt_core.base.units import BOLTZMANN
from ffpt_core.datasets import Dataset
from ffpt_core.structure.distances import distance_chunks

if TYPE_CHECKING:
    from ffpt_core.teachers import Teacher

SIGMA = 0.2
"""Standard deviation of the noise per coordinate, Angstrom (Yuan & Head-Gordon, arXiv 2509.14205)."""

MOST_GEOMETRIES = 10_000
"""Frames of the teacher's dynamics that are rattled, at most: 200 ps."""


def rattle(
    positions: np.ndarray, n_frames: int, sigma: float = SIGMA, seed: int = 0, sigma_min: float | None = None
) -> np.ndarray:
    """Gaussian noise on every coordinate, x + sigma * eps, without rescaling.

    Frame i depends on the geometries, the seed and i only: more frames with the same seed begin with the same
    frames.

    Args:
        positions: (n_atoms, 3) Angstrom, normally a relaxed geometry; or (n_geometries, n_atoms, 3), which the
            frames take in turn.
        n_frames: how many frames to draw.
        sigma: standard deviation of the noise, Angstrom.
        seed: of the noise.
        sigma_min: if given, each frame has a standard deviation of its own, uniform between this and sigma.

    Returns:
        (n_frames, n_atoms, 3) Angstrom.

    Raises:
        FfptError: positions of another shape or not finite, sigmas that are negative or in the wrong order, or
            fewer than one frame.
    """
    positions = np.asarray(positions, dtype=float)
    geometries = positions[None] if positions.ndim == 2 else positions
    if geometries.ndim != 3 or geometries.shape[2] != 3 or not geometries.size or not np.isfinite(geometries).all():
        raise FfptError(f"rattling needs finite positions of shape (n_atoms, 3), not {positions.shape}")
    if not (np.isfinite(sigma) and sigma >= 0):
        raise FfptError(f"sigma must be zero or positive, not {sigma}")
    if sigma_min is not None and not 0 <= sigma_min <= sigma:
        raise FfptError(f"the smallest sigma must lie between 0 and {sigma}, not {sigma_min}")
    if n_frames < 1:
        raise FfptError(f"at least one frame is needed, not {n_frames}")
    noise = np.random.default_rng(seed).standard_normal((n_frames, *geometries.shape[1:]))
    if sigma_min is None:
        noise *= sigma
    else:  # from a generator of their own, so that the first frames do not depend on how many there are
        (of_widths,) = np.random.default_rng(seed).spawn(1)
        noise *= of_widths.uniform(sigma_min, sigma, n_frames)[:, None, None]
    noise += geometries if len(geometries) == 1 else geometries[np.arange(n_frames) % len(geometries)]
    return noise


def rattle_and_label(
    teacher: Teacher,
    n_frames: int,
    sigma: float = SIGMA,
    seed: int = 0,
    sigma_min: float | None = None,
    temperature: float | None = None,
) -> Dataset:
    """Rattled frames of a teacher's molecule, with its energies and forces.

    The paper rattles the relaxed geometry with one sigma. Rattling frames of the teacher's own dynamics with a
    sigma of each frame's own covers the thermal region as well as the wild one, and other conformers: what is
    learnt from it carries over better (docs/training.md has the numbers).

    Args:
        teacher: the force field.
        n_frames: how many frames.
        sigma: standard deviation of the noise, Angstrom.
        seed: of the noise.
        sigma_min: see rattle.
        temperature: rattle frames of molecular dynamics of the teacher at this temperature (K), a new one every
            20 fs, at most 10,000 of them; None: its relaxed geometry.

    Raises:
        FfptError: see rattle and trajectory.teacher_frames; or a frame that the teacher cannot label.
    """
    geometries = teacher.atoms.positions
    if temperature is not None:
        from ffpt_core.sampling.trajectory import teacher_frames

        dynamics = teacher_frames(teacher, min(n_frames, MOST_GEOMETRIES), temperature, seed=seed)
        geometries = dynamics.positions.reshape(-1, *geometries.shape)
    positions = rattle(geometries, n_frames, sigma, seed, sigma_min)
    energies, forces = teacher.energies_and_forces(positions)
    return Dataset.from_arrays(teacher.numbers, positions, energies, forces, level=teacher.level)


def vibrational_degrees_of_freedom(positions: np.ndarray) -> int:
    """Number of vibrations of a molecule: 3N - 6, 3N - 5 when linear, 0 for an atom.

    Args:
        positions: (n_atoms, 3) Angstrom, the relaxed geometry.
    """
    positions = np.asarray(positions, dtype=float)
    atoms = len(positions)
    if atoms == 1:
        return 0
    spread = np.linalg.svd(positions - positions.mean(axis=0), compute_uv=False)
    linear = atoms == 2 or spread[1] < 1e-3 * spread[0]
    return 3 * atoms - (5 if linear else 6)


@dataclass(frozen=True)
class EnergyDistribution:
    """Potential energy per vibrational degree of freedom, and the temperature it amounts to.

    With e_i = (E_i - E_min) / n_vib, E_min the energy of the relaxed geometry, the effective temperature is
    that of n_vib classical harmonic oscillators with the same potential energy:

        mean:    <e> = k T / 2                           T_mean   = 2 <e> / k
        median:  median(e) = k T / (2 n_vib) m(n_vib)    T_median = 2 n_vib median(e) / (m(n_vib) k)

    where m(n) is the median of the chi-square distribution with n degrees of freedom (e of a harmonic molecule
    is distributed as k T / (2 n) chi2_n). The mean feels the few frames whose atoms clash, the median does not.
    The paper gives 45,000 K for its rattled aspirin and not how it counts; this definition gives 17,000 K. Whoever
    counts a full k per degree of freedom (kinetic and potential energy) gets half of these temperatures.

    Args:
        energies: (n_frames,) e_i, eV per degree of freedom.
        n_vib: number of vibrational degrees of freedom.
        minimum: E_min, eV.
        mean_temperature: T_mean, K.
        median_temperature: T_median, K.
    """

    energies: np.ndarray
    n_vib: int
    minimum: float
    mean_temperature: float
    median_temperature: float

    def to_dict(self) -> dict[str, Any]:
        """Summary for JSON: temperatures (K), quantiles and a histogram (eV per degree of freedom)."""
        low, high = np.quantile(self.energies, [0.0, 0.999])
        counts, edges = np.histogram(self.energies, bins=60, range=(min(0.0, low), high))
        levels = (0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999)
        return {
            "definition": "mean: 2 <E - E_min> / (n_vib k); median: that of n_vib harmonic oscillators",
            "n_vib": self.n_vib,
            "minimum_eV": self.minimum,
            "mean_temperature_K": self.mean_temperature,
            "median_temperature_K": self.median_temperature,
            "mean_eV_per_dof": float(self.energies.mean()),
            "max_eV_per_dof": float(self.energies.max()),
            "quantiles_eV_per_dof": {str(level): float(np.quantile(self.energies, level)) for level in levels},
            "histogram_eV_per_dof": {"edges": edges, "counts": counts},
        }


def energy_distribution(energies: np.ndarray, minimum: float, n_vib: int) -> EnergyDistribution:
    """See EnergyDistribution.

    Args:
        energies: (n_frames,) potential energies, eV.
        minimum: energy of the relaxed geometry at the same level, eV.
        n_vib: number of vibrational degrees of freedom, see vibrational_degrees_of_freedom.

    Raises:
        FfptError: no energies, or a molecule without vibrations.
    """
    from scipy.stats import chi2

    energies = np.asarray(energies, dtype=float)
    if energies.ndim != 1 or len(energies) == 0:
        raise FfptError(f"an energy distribution needs energies of shape (n_frames,), not {energies.shape}")
    if n_vib < 1:
        raise FfptError("a single atom has no vibrations")
    per_dof = (energies - minimum) / n_vib
    return EnergyDistribution(
        energies=per_dof,
        n_vib=n_vib,
        minimum=float(minimum),
        mean_temperature=float(2 * per_dof.mean() / BOLTZMANN),
        median_temperature=float(2 * n_vib * np.median(per_dof) / (chi2.median(n_vib) * BOLTZMANN)),
    )


@dataclass(frozen=True)
class MoleculeDistances:
    """Distances of all pairs of atoms and lengths of bonds in one set of frames of a molecule.

    Args:
        edges: (n_bins + 1,) bin edges, Angstrom.
        pairs: (n_bins,) density over all pairs of atoms, 1/Angstrom.
        bonds: (n_bins,) density over bonded pairs, 1/Angstrom.
        shortest: (3,) minimum, median and maximum over frames of the shortest distance in a frame, Angstrom.
        bond_range: (2,) shortest and longest bond of all frames, Angstrom.
    """

    edges: np.ndarray
    pairs: np.ndarray
    bonds: np.ndarray
    shortest: np.ndarray
    bond_range: np.ndarray

    def to_dict(self) -> dict[str, Any]:
        """All fields, for JSON."""
        return asdict(self)


def molecule_distances(
    positions: np.ndarray, bonds: np.ndarray, maximum: float = 10.0, bin_width: float = 0.02
) -> MoleculeDistances:
    """Distributions of all pair distances and of bond lengths.

    Args:
        positions: (n_frames, n_atoms, 3) Angstrom; isolated molecules.
        bonds: (n_bonds, 2) atom indices.
        maximum: longest distance of the histogram, Angstrom; what is longer is not in it.
        bin_width: Angstrom.

    Raises:
        FfptError: fewer than two atoms, or no frames.
    """
    positions = np.asarray(positions, dtype=float)
    if positions.ndim != 3 or positions.shape[0] < 1 or positions.shape[1] < 2:
        raise FfptError(f"distances need positions of shape (n_frames, 2 atoms or more, 3), not {positions.shape}")
    edges = np.linspace(0.0, maximum, round(maximum / bin_width) + 1)
    pair_counts, bond_counts = np.zeros(len(edges) - 1), np.zeros(len(edges) - 1)
    shortest, bond_range = [], [np.inf, -np.inf]
    for distances in distance_chunks(positions):
        pair_counts += np.histogram(distances, edges)[0]
        shortest.append(distances.min(axis=1))
    for lengths in distance_chunks(positions, bonds) if len(bonds) else ():
        bond_counts += np.histogram(lengths, edges)[0]
        bond_range = [min(bond_range[0], lengths.min()), max(bond_range[1], lengths.max())]
    closest = np.concatenate(shortest)
    return MoleculeDistances(
        edges=edges,
        pairs=_density(pair_counts, edges),
        bonds=_density(bond_counts, edges),
        shortest=np.array([closest.min(), np.median(closest), closest.max()]),
        bond_range=np.array(bond_range),
    )


def _density(counts: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Counts as a density that integrates to one (or zeros)."""
    total = counts.sum()
    return counts / (total * np.diff(edges)) if total else counts
