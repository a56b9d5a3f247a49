"""Counting holes: unphysical geometries to which a potential gives a low energy.

Every bond of a molecule is stretched and compressed, every H-X-H angle (or every angle that can turn)
closed and opened, rigidly, one at a time. A scan has a hole when

- stretched: a bond longer than its start length by ``stretch`` or more costs less than ``bond_energy``.
  The true cost there is more than half of a bond's dissociation energy, which is 3.5 to 8 eV for the bonds
  of organic molecules; rigid scans of aspirin and ethanol with GFN2-xTB cost 2.5 eV or more, and rise from there;
- compressed: a bond shorter than its start length by ``compression`` or more costs less than ``compressed_energy``
  (GFN2-xTB: 5.4 eV or more for aspirin at 0.4 Angstrom; GAFF's springs, far too soft there, 2.0 eV or more);
- closed: an angle of ``closed`` degrees or less costs less than ``closed_energy`` (GFN2-xTB: 2.9 eV or more
  for the methyl group of aspirin at 50 degrees, GAFF 1.8);
- opened: an angle of ``opened`` degrees or more costs less than ``opened_energy``, unless the angle is
  wide at the start already (GFN2-xTB: 2.0 eV or more for H-C-H, 0.8 for the ester's C-O-C);
- second minimum: beyond ``minimum_bond`` or ``minimum_angle`` from the start the energy has a local minimum,
  deeper than ``minimum_depth``, that costs less than the bounds above;
- not finite: the potential gives no number anywhere on the scan.

Energies are relative to the start geometry, so an energy below that of the start falls under the first
rules. With a reference potential each bound is the lower of itself and ``fraction`` of the reference's
energy at the same geometry: a weak bond, such as that of a peroxide, is then no hole.
A rise followed by a fall at high energy is no hole by this definition: what counts is what a simulation can reach.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator

from ffpt_core.analysis.scan_energies import ScanResult, evaluate_scan
from ffpt_core.analysis.scans import Scan, scan_angle, scan_bond, turning_sides
from ffpt_core.base.errors import FfptError
from ffpt_core.structure.graph import MoleculeGraph

STEP = 0.05
"""Distance between two bond lengths of an audit, in Angstrom."""


@dataclass(frozen=True)
class HoleRules:
    """The bounds that define a hole; see the module's text. Lengths in Angstrom, energies in eV, angles in degrees.

    ``lengths`` and ``angles`` are where the tables give energies; they decide nothing.
    """

    stretch: float = 0.8
    compression: float = 0.4
    bond_energy: float = 2.0
    compressed_energy: float = 1.0
    closed: float = 50.0
    closed_energy: float = 1.5
    opened: float = 165.0
    opened_energy: float = 0.6
    minimum_bond: float = 0.3
    minimum_angle: float = 25.0
    minimum_depth: float = 0.05
    fraction: float = 0.5
    lengths: tuple[float, ...] = (1.8, 2.2, 3.0)
    angles: tuple[float, ...] = (45.0, 170.0)

    def bounds(self, scan: Scan) -> np.ndarray:
        """(n,) the lowest energy in eV that is allowed at each value of a scan; NaN where any is."""
        value, start = scan.values, scan.start_value
        bound = np.full(len(value), np.nan)
        if scan.kind == "bond":
            bound[value >= start + self.stretch] = self.bond_energy
            bound[value <= start - self.compression] = self.compressed_energy
        else:
            bound[value <= min(self.closed, 0.7 * start)] = self.closed_energy
            if start < self.opened - self.minimum_angle:
                bound[value >= self.opened] = self.opened_energy
        return bound


@dataclass(frozen=True)
class Finding:
    """What the audit found on one scan.

    Args:
        name: such as "bond C0-H13".
        kind: "bond" or "angle".
        atoms: their indices, from 0.
        start_value: bond length in Angstrom or angle in degrees at the start.
        energies: energy in eV at each of the rules' lengths or angles (None: outside the scan, or not finite).
        reference_energies: those of the reference, empty without one.
        lowest: lowest energy in eV where the rules set a bound, None when not finite.
        lowest_at: where that is, in Angstrom or degrees.
        broken: the rules that are broken, by name, with the worst point of each in words; empty without a hole.
    """

    name: str
    kind: str
    atoms: tuple[int, ...]
    start_value: float
    energies: dict[float, float | None]
    reference_energies: dict[float, float | None]
    lowest: float | None
    lowest_at: float | None
    broken: dict[str, str]

    @property
    def hole(self) -> str | None:
        """All broken rules in one line, or None."""
        return "; ".join(f"{rule}: {how}" for rule, how in self.broken.items()) or None


@dataclass(frozen=True, eq=False)
class Audit:
    """All bonds and angles of one molecule under one potential."""

    label: str
    reference: str | None
    rules: HoleRules
    findings: tuple[Finding, ...]

    def count(self, kind: str | None = None) -> tuple[int, int]:
        """(holes, scans), of one kind ("bond", "angle") or of all."""
        chosen = [finding for finding in self.findings if kind in (None, finding.kind)]
        return sum(bool(finding.broken) for finding in chosen), len(chosen)

    @property
    def holes(self) -> list[Finding]:
        """The scans that have a hole."""
        return [finding for finding in self.findings if finding.broken]

    def to_dict(self) -> dict[str, Any]:
        """Counts, rules and the table, for a JSON file."""
        kinds = {kind: dict(zip(("holes", "scans"), self.count(kind), strict=True)) for kind in ("bond", "angle")}
        return {
            "label": self.label,
            "reference": self.reference,
            "counts": kinds,
            "rules": asdict(self.rules),
            "rules_broken": Counter(rule for finding in self.findings for rule in finding.broken),
            "findings": [asdict(finding) for finding in self.findings],
        }


def audit(
    atoms: Atoms,
    calculator: Calculator,
    reference: Calculator | None = None,
    *,
    label: str = "potential",
    rules: HoleRules | None = None,
    angles: Literal["hydrogen", "all", "none"] = "hydrogen",
    bonds: np.ndarray | None = None,
) -> Audit:
    """Count the holes of a potential around one molecule.

    Args:
        atoms: relaxed geometry in Angstrom.
        calculator: the potential, as any ASE calculator.
        reference: a calculator to trust, which lowers bounds where the true energy is low.
        label: what the potential is called in tables.
        rules: None takes the defaults.
        angles: H-X-H angles only, all that can turn, or none.
        bonds: (n_bonds, 2) atom indices; None finds them in the geometry.
    """
    calculators = {label: calculator} | ({} if reference is None else {"reference": reference})
    results = [evaluate_scan(scan, calculators) for scan in audit_scans(atoms, angles=angles, bonds=bonds)]
    return find_holes(results, label, None if reference is None else "reference", rules)


def audit_scans(
    atoms: Atoms,
    *,
    stretch_bonds: bool = True,
    angles: Literal["hydrogen", "all", "none"] = "hydrogen",
    bonds: np.ndarray | None = None,
) -> list[Scan]:
    """The scans that an audit looks at: bonds to 3 Angstrom, angles from 30 to 180 degrees.

    Bonds are scanned from 0.5 Angstrom below their length, and to 1.5 Angstrom beyond it where that is more
    than 3. Angles that are part of
    a ring are left out: neither of their sides can turn.
    """
    graph = MoleculeGraph(atoms, bonds)
    bonds = graph.bonds
    scans = []
    for i, j in bonds if stretch_bonds else ():
        start = atoms.get_distance(i, j)
        first, last = np.ceil(max(0.2, start - 0.5) / STEP), np.ceil(max(3.0, start + 1.5) / STEP)
        lengths = np.union1d(STEP * np.arange(first, last + 1), [start])
        scans.append(scan_bond(atoms, int(i), int(j), lengths, bonds))
    for j, around in enumerate(graph.neighbours):
        for i, k in itertools.combinations(sorted(around), 2):
            wanted = angles == "all" or (angles == "hydrogen" and atoms.numbers[i] == atoms.numbers[k] == 1)
            if wanted and turning_sides(graph, i, j, k):
                scans.append(scan_angle(atoms, i, j, k, np.arange(30.0, 180.1, 2.5), bonds))
    return scans


def find_holes(
    results: Sequence[ScanResult], label: str, reference: str | None = None, rules: HoleRules | None = None
) -> Audit:
    """Apply the rules to energies that are there already.

    Args:
        results: bond and angle scans evaluated with the potential, and the reference if there is one.
        label: of the potential, in the results.
        reference: of the reference there, or None.
        rules: None takes the defaults.

    Raises:
        FfptError: a label is not in the results.
    """
    rules = rules or HoleRules()
    for result in results:
        missing = [name for name in (label, reference) if name is not None and name not in result.energies]
        if missing:
            raise FfptError(f"the scan of {result.scan.name} has no energies of {missing[0]}")
    found = tuple(_finding(result, label, reference, rules) for result in results)
    return Audit(label, reference, rules, found)


def _finding(result: ScanResult, label: str, reference: str | None, rules: HoleRules) -> Finding:
    scan, energies = result.scan, result.energies[label]
    # Where the reference itself has no energy, the plain bound stands.
    excuse = np.inf if reference is None else np.nan_to_num(rules.fraction * result.energies[reference], nan=np.inf)
    bounds = np.minimum(rules.bounds(scan), excuse)
    bounded = np.isfinite(bounds) & np.isfinite(energies)
    lowest = int(np.argmin(np.where(bounded, energies, np.inf))) if bounded.any() else None
    points = rules.lengths if scan.kind == "bond" else rules.angles
    return Finding(
        name=scan.name,
        kind=scan.kind,
        atoms=scan.atoms,
        start_value=scan.start_value,
        energies={point: _number(result.at(label, point)) for point in points},
        reference_energies={} if reference is None else {x: _number(result.at(reference, x)) for x in points},
        lowest=None if lowest is None else float(energies[lowest]),
        lowest_at=None if lowest is None else float(scan.values[lowest]),
        broken=_broken_rules(scan, energies, bounds, _second_minimum(scan, energies, excuse, rules)),
    )


def _broken_rules(scan: Scan, energies: np.ndarray, bounds: np.ndarray, second_minimum: int | None) -> dict[str, str]:
    """The rules that the energies break, each with its worst point in words."""
    unit = "A" if scan.kind == "bond" else "degrees"
    if not np.isfinite(energies).all():
        return {"not finite": f"no energy at {scan.values[~np.isfinite(energies)][0]:.4g} {unit}"}
    shortfall = np.where(np.isnan(bounds), -np.inf, bounds - energies)
    names = ("stretched", "compressed") if scan.kind == "bond" else ("opened", "closed")
    broken = {}
    for name, side in zip(names, (scan.values > scan.start_value, scan.values < scan.start_value), strict=True):
        worst = int(np.argmax(np.where(side, shortfall, -np.inf)))
        if side[worst] and shortfall[worst] > 0:
            cost = f"{energies[worst]:.2f} eV at {scan.values[worst]:.4g} {unit}"
            broken[name] = f"{cost}, at least {bounds[worst]:.2f} expected"
    if second_minimum is not None:
        broken["second minimum"] = f"{energies[second_minimum]:.2f} eV at {scan.values[second_minimum]:.4g} {unit}"
    return broken


def _second_minimum(scan: Scan, energies: np.ndarray, excuse: np.ndarray | float, rules: HoleRules) -> int | None:
    """Index of the lowest minimum away from the start, or None. On the way there the energy goes over a ridge."""
    bond = scan.kind == "bond"
    near, low = (rules.minimum_bond, rules.bond_energy) if bond else (rules.minimum_angle, rules.closed_energy)
    distance = np.abs(scan.values - scan.start_value)
    found = energies < np.minimum(low, excuse)
    for side in (scan.values >= scan.start_value, scan.values <= scan.start_value):
        outward = np.flatnonzero(side)[np.argsort(distance[side])]
        ridge = np.maximum.accumulate(energies[outward])
        found[outward] &= (ridge - energies[outward] > rules.minimum_depth) & (distance[outward] > near)
    return int(np.argmin(np.where(found, energies, np.inf))) if found.any() else None


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
