"""When a geometry stops being physical: a bond out of range, two atoms colliding, coordinates not finite.

The bond rule is that of Fu et al., "Forces are not enough", TMLR 2023: a molecule has fallen apart when
any bond differs by more than 0.5 Angstrom from its equilibrium length. It cannot see two atoms that are
not bonded run into each other, which potentials with holes allow, so pairs have a lower bound as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, covalent_radii

from ffpt_core.base.errors import FfptError
from ffpt_core.structure.graph import as_pairs, find_bonds, molecules
from ffpt_core.structure.periodic import nearest_image

_CHUNK = 2_000_000
"""Pair distances held in memory at once (about 50 MB with their vectors)."""


@dataclass(frozen=True)
class Failure:
    """The first frame that is not physical, and why.

    Args:
        frame: its index.
        reason: one line, such as "bond C3-H14 is 2.31 A, reference 1.09 A". Atoms are called by their
            symbol and their index counted from 0.
    """

    frame: int
    reason: str


class Criterion(Protocol):
    """What a guard asks of the rule that it follows. StabilityCriterion is one; other packages have others."""

    @property
    def symbols(self) -> tuple[str, ...]:
        """Chemical symbols, n_atoms of them."""

    def check(self, positions: np.ndarray, cells: np.ndarray | None = None) -> Failure | None:
        """The first frame that breaks the rule, or None when all are physical. Takes and raises what failures does."""

    def failures(self, positions: np.ndarray, cells: np.ndarray | None = None) -> list[Failure]:
        """Every frame that breaks the rule, in order; coordinates that are not finite always do.

        Args:
            positions: (n_frames, n_atoms, 3) or, for one frame, (n_atoms, 3) in Angstrom.
            cells: (n_frames, 3, 3) or (3, 3) lattice vectors in Angstrom; None: without periodic images.

        Raises:
            FfptError: positions are those of another system.
        """

    def to_dict(self) -> dict[str, Any]:
        """What a run records about the rule that guarded it (plain JSON values)."""


@dataclass(frozen=True, eq=False)
class StabilityCriterion:
    """Bounds on the bonds and the contacts of one system. Build it with from_reference or from_topology.

    Args:
        symbols: chemical symbols, n_atoms of them.
        bonds: (n_bonds, 2) atom indices.
        lengths: (n_bonds,) equilibrium lengths in Angstrom.
        contacts: (n_contacts, 2) atom indices of pairs that are not bonded.
        bounds: (n_contacts,) shortest distances allowed for them in Angstrom.
        max_stretch: largest deviation of a bond from its equilibrium length in Angstrom.
    """

    symbols: tuple[str, ...]
    bonds: np.ndarray
    lengths: np.ndarray
    contacts: np.ndarray
    bounds: np.ndarray
    max_stretch: float = 0.5

    @classmethod
    def from_reference(
        cls,
        reference: Atoms,
        bonds: Iterable[tuple[int, int]] | None = None,
        *,
        max_stretch: float = 0.5,
        contact_factor: float = 0.5,
        min_distance: float | None = None,
    ) -> Self:
        """The criterion for a molecule or a box, from an equilibrium geometry.

        Args:
            reference: relaxed geometry in Angstrom; its cell is used where it is periodic.
            bonds: pairs of atom indices; None finds them in the reference (see find_bonds). An empty
                list leaves contacts and finiteness only, which is what a reactive system needs.
            max_stretch: largest deviation of a bond from its reference length, in Angstrom (Fu et al.: 0.5).
            contact_factor: pairs that are not bonded must stay farther apart than this times the sum of
                their covalent radii: with 0.5, H-H 0.31, C-H 0.54, C-C 0.76, O-H 0.49 and O-O 0.66
                Angstrom, all deep inside any bond length, so no healthy trajectory comes near.
            min_distance: bound in Angstrom for pairs in different molecules; None: as within a molecule.
                Fu et al. use 1.2 for liquid water.

        Raises:
            FfptError: a bond names an atom that is not there, or a reference coordinate is not finite.
        """
        numbers = reference.numbers
        if not np.all(np.isfinite(reference.positions)):
            raise FfptError("the reference geometry has coordinates that are not finite")
        bonds = find_bonds(reference) if bonds is None else as_pairs(bonds)
        unknown = bonds[(bonds < 0) | (bonds >= len(reference))]
        if len(unknown):
            raise FfptError(f"a bond names atom {unknown[0]}, but the reference has atoms 0 to {len(reference) - 1}")
        contacts = _pairs_without(len(reference), bonds)
        radii = covalent_radii[numbers]
        bounds = contact_factor * (radii[contacts[:, 0]] + radii[contacts[:, 1]])
        if min_distance is not None:
            molecule = molecules(len(reference), bonds)
            bounds = np.where(molecule[contacts[:, 0]] == molecule[contacts[:, 1]], bounds, min_distance)
        cell = np.asarray(reference.cell.array)[None] if reference.pbc.all() else None
        lengths = _distances(reference.positions[None], bonds, cell)[0]
        return cls(tuple(reference.get_chemical_symbols()), bonds, lengths, contacts, bounds, float(max_stretch))

    @classmethod
    def from_topology(
        cls, topology: Any, positions: np.ndarray, cell: np.ndarray | None = None, **settings: Any
    ) -> Self:
        """The criterion for the bonds that a topology lists.

        Args:
            topology: an openmm.app.Topology or an mdtraj.Topology with elements and bonds.
            positions: (n_atoms, 3) reference positions in Angstrom.
            cell: (3, 3) lattice vectors in Angstrom of a periodic box.
            settings: max_stretch, contact_factor, min_distance as in from_reference.

        Raises:
            FfptError: the topology has no bonds, or not as many atoms as positions.
        """
        atoms = topology.atoms() if callable(topology.atoms) else topology.atoms
        bonds = topology.bonds() if callable(topology.bonds) else topology.bonds
        symbols = [atom.element.symbol for atom in atoms]
        if len(symbols) != len(positions):
            raise FfptError(f"the topology has {len(symbols)} atoms and the reference geometry {len(positions)}")
        pairs = [(bond[0].index, bond[1].index) for bond in bonds]
        if not pairs and len(symbols) > 1:
            raise FfptError("the topology lists no bonds: give the reference geometry without it to find them")
        # mdtraj's virtual sites have the symbol "VS", which no table of elements knows.
        numbers = [atomic_numbers.get(symbol, 0) for symbol in symbols]
        reference = Atoms(numbers, positions=positions, cell=cell, pbc=cell is not None)
        return cls.from_reference(reference, pairs, **settings)

    def check(self, positions: np.ndarray, cells: np.ndarray | None = None) -> Failure | None:
        """The first frame that breaks a rule, or None when all are physical. Takes and raises what failures does."""
        return next(self._failures(positions, cells), None)

    def failures(self, positions: np.ndarray, cells: np.ndarray | None = None) -> list[Failure]:
        """Every frame that breaks a rule, in order.

        Args:
            positions: (n_frames, n_atoms, 3) or, for one frame, (n_atoms, 3) in Angstrom.
            cells: (n_frames, 3, 3) or (3, 3) lattice vectors in Angstrom; distances are then those of
                nearest images.

        Raises:
            FfptError: positions are those of another system.
        """
        return list(self._failures(positions, cells))

    def _failures(self, positions: np.ndarray, cells: np.ndarray | None) -> Iterator[Failure]:
        positions = np.asarray(positions, dtype=float)
        positions = positions[None] if positions.ndim == 2 else positions
        if positions.ndim != 3 or positions.shape[1:] != (len(self.symbols), 3):
            expected = f"(n_frames, {len(self.symbols)}, 3)"
            raise FfptError(f"positions have the shape {positions.shape}, the criterion is for {expected}")
        if cells is not None:
            cells = np.broadcast_to(np.asarray(cells, dtype=float), (len(positions), 3, 3))
        step = max(1, _CHUNK // max(1, len(self.contacts) + len(self.bonds)))
        for start in range(0, len(positions), step):
            chunk = slice(start, start + step)
            for frame, reason in self._reasons(positions[chunk], None if cells is None else cells[chunk]):
                yield Failure(start + frame, reason)

    def _reasons(self, positions: np.ndarray, cells: np.ndarray | None) -> Iterator[tuple[int, str]]:
        """Frames that break a rule, with the reason."""
        broken = ~np.isfinite(positions).all(axis=(1, 2))
        if broken.any():
            positions = np.where(broken[:, None, None], 0.0, positions)  # numpy would warn of them
        distances = _distances(positions, self.bonds, cells)
        excess = np.abs(distances - self.lengths) - self.max_stretch
        separations = _distances(positions, self.contacts, cells)
        shortfall = self.bounds - separations
        for frame in np.flatnonzero(broken | (excess > 0).any(axis=1) | (shortfall > 0).any(axis=1)).tolist():
            if broken[frame]:
                yield frame, "coordinates are not finite"
            elif (excess[frame] > 0).any():
                worst = int(np.argmax(excess[frame]))
                first, second = self._names(self.bonds[worst])
                length, reference = distances[frame, worst], self.lengths[worst]
                yield frame, f"bond {first}-{second} is {length:.2f} A, reference {reference:.2f} A"
            else:
                worst = int(np.argmax(shortfall[frame]))
                first, second = self._names(self.contacts[worst])
                distance, bound = separations[frame, worst], self.bounds[worst]
                yield frame, f"atoms {first} and {second} are {distance:.2f} A apart, bound {bound:.2f} A"

    def _names(self, pair: np.ndarray) -> tuple[str, str]:
        return f"{self.symbols[pair[0]]}{pair[0]}", f"{self.symbols[pair[1]]}{pair[1]}"

    def to_dict(self) -> dict[str, Any]:
        """What a run records about the rule that guarded it (plain JSON values, Angstrom)."""
        return {
            "rule": "bond length off its reference by more than max_stretch, pair closer than its bound, not finite",
            "max_stretch_angstrom": self.max_stretch,
            "n_bonds": len(self.bonds),
            "n_contacts": len(self.contacts),
            "shortest_bound_angstrom": float(self.bounds.min()) if len(self.bounds) else None,
            "longest_bound_angstrom": float(self.bounds.max()) if len(self.bounds) else None,
        }


def _pairs_without(n_atoms: int, bonds: np.ndarray) -> np.ndarray:
    """(n_pairs, 2) all pairs of atoms but the bonds."""
    free = np.triu(np.ones((n_atoms, n_atoms), dtype=bool), k=1)
    free[bonds[:, 0], bonds[:, 1]] = False
    return np.argwhere(free)


def _distances(positions: np.ndarray, pairs: np.ndarray, cells: np.ndarray | None) -> np.ndarray:
    """(n_frames, n_pairs) distances in Angstrom, of nearest images where cells are given."""
    vectors = positions[:, pairs[:, 0]] - positions[:, pairs[:, 1]]
    if cells is not None:
        vectors = nearest_image(vectors, cells)
    return np.sqrt(np.einsum("fpx,fpx->fp", vectors, vectors))
