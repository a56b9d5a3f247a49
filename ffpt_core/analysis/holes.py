"""What a hole is: an unphysical geometry to which a potential gives a low energy.

Bonds are stretched and compressed, angles closed and opened, torsions turned, and atoms that are not bonded pressed
together, rigidly, one at a time. A scan has a hole when

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
- pressed: two atoms that are three bonds or more apart, nearer than ``pressed`` times the sum of their covalent radii,
  cost less than ``pressed_energy``, in a contact or on the way of a torsion. That is far inside any bond, of
  whichever atoms, so that nothing but repulsion is left there (GFN2-xTB: 10 eV or more for paracetamol); farther out
  atoms may truly bind;
- attracted: in a contact, the energy falls by more than ``minimum_depth`` while two atoms so near come nearer still;
- pit: a torsion gains more than ``pit`` over the start: other conformers are lower than a relaxed one by less;
- wall: a torsion costs more than ``wall`` although no two atoms come nearer than ``crowded`` times the sum of their
  covalent radii. Rigid turns bring atoms together, which excuses a high energy, and never a low one. What is left is
  the torsion itself: 4 eV for a double bond, 1.4 for the amide of paracetamol with GFN2-xTB;
- not finite: the potential gives no number anywhere on the scan.

Energies are relative to the start geometry, so an energy below that of the start falls under the first
rules. With a reference potential each bound is the lower of itself and ``fraction`` of the reference's
energy at the same geometry: a weak bond, such as that of a peroxide, is then no hole. A pit or a wall then is one
beside the reference: lower than it by ``pit``, or higher than it divided by ``fraction``, as well.
A rise followed by a fall at high energy is no hole by this definition: what counts is what a simulation can reach.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase.data import covalent_radii

from ffpt_core.analysis.scan_energies import ScanResult
from ffpt_core.analysis.scans import Scan


@dataclass(frozen=True)
class HoleRules:
    """The bounds that define a hole; see the module's text. Lengths in Angstrom, energies in eV, angles in degrees.

    ``lengths`` and ``angles`` are where the tables give energies; they decide nothing.
    """

    stretch: float = 0.8
    compression: float = 0.4
    bond_energy: float = 2.0
    compressed_energy: float = 2.0
    closed: float = 50.0
    closed_energy: float = 1.5
    opened: float = 165.0
    opened_energy: float = 0.6
    minimum_bond: float = 0.3
    minimum_angle: float = 25.0
    minimum_depth: float = 0.05
    pressed: float = 0.7
    pressed_energy: float = 2.0
    pit: float = 0.5
    wall: float = 6.0
    crowded: float = 1.5
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
        elif scan.kind == "angle":
            bound[value <= min(self.closed, 0.7 * start)] = self.closed_energy
            if start < self.opened - self.minimum_angle:
                bound[value >= self.opened] = self.opened_energy
        else:
            bound[self.is_pressed(scan)] = self.pressed_energy
        return bound

    def is_pressed(self, scan: Scan) -> np.ndarray:
        """(n,) whether two atoms that are three bonds or more apart lie far inside any bond."""
        if scan.kind != "contact":
            return np.asarray(scan.closest < self.pressed)
        radii = covalent_radii[scan.start.numbers[list(scan.atoms)]]
        # By rounding, so that the value at the very bound is one.
        return np.asarray(scan.values <= self.pressed * radii.sum() + 1e-9)

    def points(self, kind: str) -> tuple[float, ...]:
        """Where tables give energies."""
        return {"bond": self.lengths, "angle": self.angles}.get(kind, ())


@dataclass(frozen=True)
class Finding:
    """What the audit found on one scan.

    Args:
        name: such as "bond C0-H13".
        kind: "bond", "angle", "dihedral" or "contact".
        atoms: their indices, from 0.
        start_value: length or distance in Angstrom, or angle in degrees, at the start.
        energies: energy in eV at each of the rules' lengths or angles (None: outside the scan, or not finite).
        reference_energies: those of the reference, empty without one.
        lowest: lowest energy in eV where the rules set a bound (of a torsion, anywhere), None when not finite.
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


def find_hole(result: ScanResult, label: str, reference: str | None, rules: HoleRules) -> Finding:
    """Apply the rules to one scan.

    Args:
        result: with energies of the label, and of the reference where it is not None.
        label: of the potential, in the result.
        reference: of the reference there, or None.
        rules: the bounds.
    """
    scan, energies = result.scan, result.energies[label]
    trusted = None if reference is None else result.energies[reference]
    # Where the reference itself has no energy, the plain bound stands.
    excuse = np.full(len(energies), np.inf) if trusted is None else np.nan_to_num(rules.fraction * trusted, nan=np.inf)
    bounds = np.minimum(rules.bounds(scan), excuse)
    judged = np.isfinite(energies) & (np.isfinite(bounds) | (scan.kind == "dihedral"))
    lowest = int(np.argmin(np.where(judged, energies, np.inf))) if judged.any() else None
    points = rules.points(scan.kind)
    return Finding(
        name=scan.name,
        kind=scan.kind,
        atoms=scan.atoms,
        start_value=scan.start_value,
        energies={point: _number(result.at(label, point)) for point in points},
        reference_energies={} if reference is None else {x: _number(result.at(reference, x)) for x in points},
        lowest=None if lowest is None else float(energies[lowest]),
        lowest_at=None if lowest is None else float(scan.values[lowest]),
        broken=_broken_rules(scan, energies, bounds, excuse, trusted, rules),
    )


def _broken_rules(
    scan: Scan,
    energies: np.ndarray,
    bounds: np.ndarray,
    excuse: np.ndarray,
    trusted: np.ndarray | None,
    rules: HoleRules,
) -> dict[str, str]:
    """The rules that the energies break, each with its worst point in words."""
    unit = "A" if scan.unit == "Angstrom" else "degrees"
    if not np.isfinite(energies).all():
        return {"not finite": f"no energy at {scan.values[~np.isfinite(energies)][0]:.4g} {unit}"}

    def at(index: int) -> str:
        return f"{energies[index]:.2f} eV at {scan.values[index]:.4g} {unit}"

    broken = {}
    shortfall = np.where(np.isnan(bounds), -np.inf, bounds - energies)
    for name, side in _sides(scan).items():
        worst = int(np.argmax(np.where(side, shortfall, -np.inf)))
        if side[worst] and shortfall[worst] > 0:
            broken[name] = f"{at(worst)}, at least {bounds[worst]:.2f} expected"
    if scan.kind in ("bond", "angle"):
        second_minimum = _second_minimum(scan, energies, excuse, rules)
        if second_minimum is not None:
            broken["second minimum"] = at(second_minimum)
    elif scan.kind == "contact":
        fall, index = _fall_inward(scan, energies, rules)
        excused = trusted is not None and _fall_inward(scan, trusted, rules)[0] > rules.minimum_depth
        if fall > rules.minimum_depth and not excused:
            broken["attracted"] = f"{at(index)}, {fall:.2f} less than farther out"
    else:
        base = np.zeros(len(energies)) if trusted is None else np.nan_to_num(trusted)
        floor = np.minimum(0.0, base) - rules.pit
        ceiling = np.where(scan.closest < rules.crowded, np.inf, np.maximum(rules.wall, base / rules.fraction))
        low, high = int(np.argmin(energies - floor)), int(np.argmax(energies - ceiling))
        if energies[low] < floor[low]:
            broken["pit"] = f"{at(low)}, at least {floor[low]:.2f} expected"
        if energies[high] > ceiling[high]:
            broken["wall"] = f"{at(high)}, at most {ceiling[high]:.2f} expected"
    return broken


def _sides(scan: Scan) -> dict[str, np.ndarray]:
    """The rules that bound energies from below, and at which values of a scan each of them is meant."""
    if scan.kind in ("dihedral", "contact"):
        return {"pressed": np.ones(len(scan.values), dtype=bool)}
    names = ("stretched", "compressed") if scan.kind == "bond" else ("opened", "closed")
    return dict(zip(names, (scan.values > scan.start_value, scan.values < scan.start_value), strict=True))


def _second_minimum(scan: Scan, energies: np.ndarray, excuse: np.ndarray, rules: HoleRules) -> int | None:
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


def _fall_inward(scan: Scan, energies: np.ndarray, rules: HoleRules) -> tuple[float, int]:
    """By how much, at most, the energy falls while two atoms far inside any bond come nearer, and where to."""
    inside = np.flatnonzero(rules.is_pressed(scan) & np.isfinite(energies))
    inward = inside[np.argsort(-scan.values[inside])]
    if not len(inward):
        return 0.0, 0
    falls = np.maximum.accumulate(energies[inward]) - energies[inward]
    return float(falls.max()), int(inward[np.argmax(falls)])


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
