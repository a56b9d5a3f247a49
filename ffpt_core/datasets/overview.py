"""What a data set holds, as a table to look at before anything is computed with it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase.data import chemical_symbols
from ase.formula import Formula

from ffpt_core.datasets.dataset import Dataset
from ffpt_core.datasets.shifts import compositions
from ffpt_core.datasets.splits import first_of_repeats
from ffpt_core.datasets.storage import UNITS


@dataclass(frozen=True)
class Summary:
    """Counts, labels, units and ranges of a data set.

    Attributes:
        frames: number of frames.
        atoms: fewest and most atoms in a frame.
        elements: symbols.
        formulas: {formula: frames}, most frequent first.
        periodic: frames with a periodic direction.
        repeats: frames with the atoms of an earlier frame in the same places.
        labels: those of "energies" and "forces" that are there.
        units: unit by field.
        level: level of theory, "" where unknown.
        groups: {name: how many different labels}.
        fingerprint: Dataset.fingerprint.
        energy_mean, energy_std, energy_range: of the total energies in eV (None without energies).
        force_rms, force_max: of the force components and of the force norms in eV/Angstrom (None without).
    """

    frames: int
    atoms: tuple[int, int]
    elements: tuple[str, ...]
    formulas: dict[str, int]
    periodic: int
    repeats: int
    labels: tuple[str, ...]
    units: dict[str, str]
    level: str
    groups: dict[str, int]
    fingerprint: str
    energy_mean: float | None = None
    energy_std: float | None = None
    energy_range: tuple[float, float] | None = None
    force_rms: float | None = None
    force_max: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """All fields as plain values, ready for JSON."""
        return dataclasses.asdict(self)

    def rows(self) -> list[tuple[str, str]]:
        """(name, text) of each line of the table."""
        low, high = self.atoms
        shown = [f"{name} ({count:,})" for name, count in list(self.formulas.items())[:5]]
        if len(self.formulas) > len(shown):
            shown.append(f"and {len(self.formulas) - len(shown):,} more")
        lines = [
            ("frames", f"{self.frames:,}"),
            ("atoms per frame", str(low) if low == high else f"{low} to {high}"),
            ("elements", " ".join(self.elements)),
            ("formulas", ", ".join(shown)),
            ("periodic frames", f"{self.periodic:,}"),
            ("repeated frames", f"{self.repeats:,}"),
            ("level of theory", self.level or "unknown"),
        ]
        if self.energy_mean is None or self.energy_range is None:
            lines.append(("energies", "none"))
        else:
            spread = f"{self.energy_range[1] - self.energy_range[0]:.3f}"
            lines.append(("energies", f"{self.energy_mean:.4f} eV +- {self.energy_std:.4f}, over {spread} eV"))
        if self.force_rms is None:
            lines.append(("forces", "none"))
        else:
            lines.append(("forces", f"{self.force_rms:.4f} eV/Angstrom rms, {self.force_max:.3f} largest"))
        if self.groups:
            lines.append(("groups", ", ".join(f"{name} ({count:,})" for name, count in self.groups.items())))
        lines.append(("fingerprint", self.fingerprint[:16]))
        return lines


def formulas(dataset: Dataset) -> dict[str, int]:
    """How many frames each Hill formula has, the most frequent first."""
    counted, frames = np.unique(compositions(dataset), axis=0, return_counts=True)
    symbols = [chemical_symbols[number] for number in dataset.elements]
    return {_formula(symbols, counted[index]): int(frames[index]) for index in np.argsort(-frames, kind="stable")}


def summary(dataset: Dataset) -> Summary:
    """Count and measure a data set.

    Args:
        dataset: any data set, labelled or not.
    """
    symbols = [chemical_symbols[number] for number in dataset.elements]
    sizes = dataset.n_atoms if len(dataset) else np.zeros(1, dtype=np.int64)
    measured: dict[str, Any] = {}
    if dataset.energies is not None and len(dataset):
        energies = dataset.energies
        measured |= {
            "energy_mean": float(energies.mean()),
            "energy_std": float(energies.std()),
            "energy_range": (float(energies.min()), float(energies.max())),
        }
    if dataset.forces is not None and len(dataset):
        measured |= {
            "force_rms": float(np.sqrt(np.mean(dataset.forces**2))),
            "force_max": float(np.linalg.norm(dataset.forces, axis=1).max()),
        }
    return Summary(
        frames=len(dataset),
        atoms=(int(sizes.min()), int(sizes.max())),
        elements=tuple(symbols),
        formulas=formulas(dataset),
        periodic=int(dataset.pbc.any(axis=1).sum()),
        repeats=int((first_of_repeats(dataset) != np.arange(len(dataset))).sum()),
        labels=tuple(name for name in ("energies", "forces") if getattr(dataset, name) is not None),
        units=dict(UNITS),
        level=dataset.level,
        groups={name: len(np.unique(labels)) for name, labels in dataset.groups.items()},
        fingerprint=dataset.fingerprint,
        **measured,
    )


def _formula(symbols: list[str], counts: np.ndarray) -> str:
    """The Hill formula of a composition."""
    present = {symbol: int(count) for symbol, count in zip(symbols, counts, strict=True) if count}
    return Formula.from_dict(present).format("hill")
