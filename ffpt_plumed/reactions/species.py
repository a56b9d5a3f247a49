"""Which molecules a frame consists of, and whether a reaction can have made them.

    found = species_of(reaction.symbols, positions)                 # ["HO2", "HO2", "H + O2", ...]
    allowed = allowed_species(reaction)                             # {"HO2", "H + O2"}

A potential that is wrong far from its training data lets metadynamics push a reaction into molecules that it cannot
make (the paper's Figure 4b). They are told by the graph of bonds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ffpt_core.analysis.criterion import Failure
from ffpt_core.base.errors import FfptError
from ffpt_core.structure.graph import molecules
from ffpt_plumed.reactions.records import Reaction, State

BOND_LENGTHS: Mapping[frozenset[str], float] = {
    frozenset("H"): 1.0,
    frozenset("HO"): 1.25,
    frozenset("O"): 1.65,
}
"""Angstrom below which a pair counts as bonded: 1.34, 1.30 and 1.15 times the bonds of H2, H2O and H2O2."""


def species_of(symbols: Sequence[str], positions: np.ndarray) -> np.ndarray:
    """The molecules of every frame, as text: formulas in alphabetical order, joined by " + ".

    Args:
        symbols: of n_atoms atoms, H or O.
        positions: (n_frames, n_atoms, 3) Angstrom, without periodic images.

    Returns:
        (n_frames,) text.

    Raises:
        FfptError: another element, or positions of another number of atoms.
    """
    graphs, which = np.unique(_bonded(symbols, positions), axis=0, return_inverse=True)
    names = np.array([_name(symbols, graph) for graph in graphs])
    return names[which.ravel()]


def _bonded(symbols: Sequence[str], positions: np.ndarray) -> np.ndarray:
    """(n_frames, n_pairs) whether each pair i < j is bonded."""
    unknown = set(symbols) - {"H", "O"}
    if unknown:
        raise FfptError(f"species are told for H and O only, not for {', '.join(sorted(unknown))}")
    positions = np.asarray(positions, dtype=float)
    if positions.ndim != 3 or positions.shape[1:] != (len(symbols), 3):
        raise FfptError(f"positions have the shape {positions.shape}, not (n_frames, {len(symbols)}, 3)")
    first, second = np.triu_indices(len(symbols), 1)
    longest = [
        BOND_LENGTHS[frozenset((symbols[i], symbols[j]))] for i, j in zip(first.tolist(), second.tolist(), strict=True)
    ]
    # Not finite coordinates are no bonds.
    with np.errstate(invalid="ignore"):
        return np.asarray(np.linalg.norm(positions[:, first] - positions[:, second], axis=-1) < longest)


def _name(symbols: Sequence[str], graph: np.ndarray) -> str:
    labels = molecules(len(symbols), np.transpose(np.triu_indices(len(symbols), 1))[graph])
    parts: dict[int, Counter[str]] = {}
    for symbol, label in zip(symbols, labels.tolist(), strict=True):
        parts.setdefault(label, Counter())[symbol] += 1
    return _joined(parts.values())


def _joined(parts: Any) -> str:
    return " + ".join(sorted(_formula(part) for part in parts))


def _formula(counts: Mapping[str, int]) -> str:
    """H2O, HO2, OH: as chemists write them."""
    text = "".join(
        element + (str(counts[element]) if counts[element] > 1 else "") for element in "HO" if counts[element]
    )
    return "OH" if text == "HO" else text


def allowed_species(reaction: Reaction) -> frozenset[str]:
    """Reactants, products, and all of either side in contact, which the graph of bonds sees as one molecule.

    Every atom may take the place of another of its element.
    """
    together = _joined([Counter(reaction.symbols)])
    return frozenset({together, *(_side(reaction, state) for state in (reaction.reactants, reaction.products))})


def _side(reaction: Reaction, state: State) -> str:
    return _joined(Counter(reaction.symbols[atom] for atom in molecule.atoms) for molecule in state)


@dataclass(frozen=True, eq=False)
class SpeciesCount:
    """What a trajectory consists of.

    Args:
        species: (n_frames,) text, as species_of gives it.
        allowed: the species that the reaction can make.
        times: (n_frames,) ps, not decreasing.
    """

    species: np.ndarray
    allowed: frozenset[str]
    times: np.ndarray

    @property
    def unphysical(self) -> np.ndarray:
        """(n_frames,) whether a frame holds anything else."""
        return ~np.isin(self.species, sorted(self.allowed))

    @property
    def unphysical_until(self) -> np.ndarray:
        """(n_frames,) the fraction of unphysical frames among those up to the time of each."""
        n_frames = np.searchsorted(self.times, self.times, side="right")
        return np.asarray(np.cumsum(self.unphysical)[n_frames - 1] / n_frames)

    @property
    def first_unphysical(self) -> float | None:
        """ps, of the first such frame."""
        frames = np.flatnonzero(self.unphysical)
        return float(self.times[frames[0]]) if len(frames) else None

    def to_dict(self) -> dict[str, Any]:
        """Fractions of frames, the first unphysical time and the species that are allowed (plain JSON values)."""
        names, counts = np.unique(self.species, return_counts=True)
        fractions = {str(names[k]): counts[k] / len(self.species) for k in np.argsort(-counts, kind="stable")}
        return {
            "n_frames": len(self.species),
            "fractions": fractions,
            "allowed": sorted(self.allowed),
            "unphysical_fraction": float(self.unphysical.mean()),
            "first_unphysical_ps": self.first_unphysical,
        }


def count_species(reaction: Reaction, positions: np.ndarray, times: np.ndarray) -> SpeciesCount:
    """Classify every frame of a trajectory of a reaction.

    Args:
        reaction: which.
        positions: (n_frames, n_atoms, 3) Angstrom.
        times: (n_frames,) ps.

    Raises:
        FfptError: no frames, or positions of another system.
    """
    if not len(positions):
        raise FfptError("there are no frames to classify")
    return SpeciesCount(species_of(reaction.symbols, positions), allowed_species(reaction), np.asarray(times, float))


@dataclass(frozen=True)
class SpeciesCriterion:
    """A guard for a reaction: fails at the first frame with molecules that it cannot make.

    It takes the place of a StabilityCriterion where bonds are meant to break.
    """

    symbols: tuple[str, ...]
    allowed: frozenset[str]

    @classmethod
    def from_reaction(cls, reaction: Reaction) -> SpeciesCriterion:
        """The criterion of a reaction's allowed species."""
        return cls(reaction.symbols, allowed_species(reaction))

    def failures(self, positions: np.ndarray, cells: np.ndarray | None = None) -> list[Failure]:
        """Every frame that is not allowed, in order.

        Args:
            positions: (n_frames, n_atoms, 3) or (n_atoms, 3) Angstrom.
            cells: must be None: reactions run without periodic images.

        Raises:
            FfptError: a cell is given, or positions are those of another system.
        """
        if cells is not None:
            raise FfptError("species of a reaction are told without periodic images")
        positions = np.asarray(positions, dtype=float)
        positions = positions[None] if positions.ndim == 2 else positions
        found = []
        finite = np.isfinite(positions).all(axis=(1, 2))
        for frame, name in enumerate(species_of(self.symbols, positions)):
            if not finite[frame]:
                found.append(Failure(frame, "coordinates are not finite"))
            elif name not in self.allowed:
                found.append(Failure(frame, f"species {name}, none of {', '.join(sorted(self.allowed))}"))
        return found

    def check(self, positions: np.ndarray, cells: np.ndarray | None = None) -> Failure | None:
        """The first frame that is not allowed, or None. Takes and raises what failures does."""
        return next(iter(self.failures(positions, cells)), None)

    def to_dict(self) -> dict[str, Any]:
        """What a run records about the rule that guarded it."""
        return {"rule": "molecules that the reaction cannot make, or not finite", "allowed": sorted(self.allowed)}
