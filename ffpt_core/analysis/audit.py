"""Counting holes: unphysical geometries to which a potential gives a low energy.

    found = audit_potential(potential, "CC(=O)Nc1ccc(O)cc1", reference)
    found.count("angle")                                           # (holes, scans)

ffpt_core.analysis.audit_scans says which geometries are looked at, ffpt_core.analysis.holes what a hole is.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from ase import Atoms

from ffpt_core.analysis.audit_scans import KINDS, audit_scans
from ffpt_core.analysis.audit_table import holes_table
from ffpt_core.analysis.holes import Finding, HoleRules, find_hole
from ffpt_core.analysis.molecule import molecule_of
from ffpt_core.analysis.scan_energies import Evaluated, ScanResult, evaluate_scans
from ffpt_core.base import figures
from ffpt_core.base.errors import FfptError
from ffpt_core.base.results import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ffpt_core.teachers import Teacher

_TITLES = {
    "bond": "Bonds, stretched or compressed",
    "angle": "Angles, closed or opened",
    "dihedral": "Torsions",
    "contact": "Atoms that are not bonded, pressed together",
}

_LEAST_HEIGHT = 2.0
"""Inches of a panel, title, axis and its share of the legend included: small molecules have a row or two."""


@dataclass(frozen=True, eq=False)
class Audit:
    """All scans of one molecule under one potential.

    Args:
        label: of the potential.
        reference: label of the reference, or None.
        rules: what counts as a hole.
        findings: one a scan.
        results: the scans with their energies.
    """

    label: str
    reference: str | None
    rules: HoleRules
    findings: tuple[Finding, ...]
    results: tuple[ScanResult, ...] = ()

    def count(self, kind: str | None = None) -> tuple[int, int]:
        """(holes, scans), of one kind ("bond", "angle", "dihedral", "contact") or of all."""
        chosen = [finding for finding in self.findings if kind in (None, finding.kind)]
        return sum(bool(finding.broken) for finding in chosen), len(chosen)

    @property
    def holes(self) -> list[Finding]:
        """The scans that have a hole."""
        return [finding for finding in self.findings if finding.broken]

    def to_dict(self) -> dict[str, Any]:
        """Counts, rules and findings, for a JSON file; the energies of all geometries are in ``results``."""
        kinds = {kind: dict(zip(("holes", "scans"), self.count(kind), strict=True)) for kind in KINDS}
        return {
            "label": self.label,
            "reference": self.reference,
            "counts": kinds,
            "rules": asdict(self.rules),
            "rules_broken": Counter(rule for finding in self.findings for rule in finding.broken),
            "findings": [asdict(finding) for finding in self.findings],
        }

    def table(self) -> Table:
        """The counts of each kind."""
        return holes_table([self.to_dict()])

    def plot(self) -> Figure:
        """One row a scan: its lowest energy where it is unphysical; a cross is a hole."""
        return plot_audits([self])


def audit_potential(
    potential: Evaluated,
    molecule: Atoms | Teacher | str | os.PathLike[str],
    reference: Evaluated | None = None,
    kinds: Sequence[str] = KINDS,
    *,
    label: str = "potential",
    rules: HoleRules | None = None,
    angles: Literal["all", "hydrogen"] = "all",
    bonds: np.ndarray | None = None,
    advance: Callable[[int], None] | None = None,
) -> Audit:
    """Count the holes of a potential around one molecule.

    Args:
        potential: what open_potential opens: a potential, its name or file, or any ASE calculator.
        molecule: relaxed geometry in Angstrom; or what ffpt_core.analysis.molecule.molecule_of takes: a SMILES, a
            file, a teacher, its folder or its name.
        reference: a potential to trust, which excuses what is truly weak.
        kinds: of scans, some of "bond", "angle", "dihedral" and "contact".
        label: what the potential is called in tables.
        rules: None takes the defaults.
        angles: all that can turn, or those between two hydrogens of one atom.
        bonds: (n_bonds, 2) atom indices; None: those that the source of the molecule knows, or else those that its
            geometry shows.
        advance: called with numbers of geometries as they are evaluated.

    Raises:
        FfptError: the molecule cannot be read, or has nothing to scan; the potential cannot evaluate its start
            geometry.
    """
    (found,) = audit_potentials(
        {label: potential} | ({} if reference is None else {"reference": reference}),
        molecule,
        None if reference is None else "reference",
        kinds,
        rules=rules,
        angles=angles,
        bonds=bonds,
        advance=advance,
    )
    return found


def audit_potentials(
    potentials: Mapping[str, Evaluated],
    molecule: Atoms | Teacher | str | os.PathLike[str],
    reference: str | None = None,
    kinds: Sequence[str] = KINDS,
    *,
    rules: HoleRules | None = None,
    angles: Literal["all", "hydrogen"] = "all",
    bonds: np.ndarray | None = None,
    advance: Callable[[int], None] | None = None,
) -> list[Audit]:
    """Count the holes of several potentials at the same geometries.

    Args:
        potentials: by label.
        reference: the label among them of the one to trust, which is not audited itself.
        molecule, kinds, rules, angles, bonds, advance: as of audit_potential.

    Raises:
        FfptError: as audit_potential.
    """
    atoms, known = molecule_of(molecule)
    scans = audit_scans(atoms, kinds, angles=angles, bonds=known if bonds is None else bonds)
    if not scans:
        raise FfptError(f"{atoms.symbols} has no {' or '.join(kinds)} to scan")
    results = evaluate_scans(scans, potentials, advance)
    return [find_holes(results, label, reference, rules) for label in potentials if label != reference]


def find_holes(
    results: Sequence[ScanResult], label: str, reference: str | None = None, rules: HoleRules | None = None
) -> Audit:
    """Apply the rules to energies that are there already.

    Args:
        results: scans evaluated with the potential, and the reference if there is one.
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
    found = tuple(find_hole(result, label, reference, rules) for result in results)
    return Audit(label, reference, rules, found, tuple(results))


@figures.styled
def plot_audits(audits: Sequence[Audit], ceiling: float = 8.0) -> Figure:
    """One row a bond or angle, one dot a potential: its lowest energy where the rules set a bound.

    A cross marks a hole. Energies above ceiling (eV) are drawn at its edge, as arrows.

    Args:
        audits: of several potentials, over the same scans.
        ceiling: largest energy of the axis in eV.
    """
    kinds = [kind for kind in _TITLES if any(audit.count(kind)[1] for audit in audits)]
    if not kinds:
        raise FfptError("there is no audit to draw")
    sizes = [audits[0].count(kind)[1] for kind in kinds]
    # As much room a row in each panel, and as much again for the title and the axis of each.
    shares = [size + 1.0 for size in sizes]
    figure, axes = figures.new_figure(
        len(kinds),
        1,
        width=5.4,
        height=max(_LEAST_HEIGHT, (0.19 * sum(shares) + 0.75 * len(kinds)) / len(kinds)),
        gridspec_kw={"height_ratios": shares},
    )
    colours = figures.colours([audit.label for audit in audits], audits[0].reference)
    for kind, panel in zip(kinds, axes, strict=True):
        for audit in audits:
            findings = [finding for finding in audit.findings if finding.kind == kind]
            _dots(panel, findings, colours[audit.label], audit.label, ceiling)
        names = [finding.name.split(" ")[1] for finding in audits[0].findings if finding.kind == kind]
        rules = audits[0].rules
        bounds = {"bond": rules.bond_energy, "angle": rules.closed_energy, "contact": rules.pressed_energy}
        _dress(panel, names, bounds.get(kind, 0.0), _TITLES[kind], ceiling)
    handles, labels = axes[0].get_legend_handles_labels()
    cross = axes[0].scatter([], [], s=34, color="#5b646d", marker="X", linewidths=0)
    figures.legend_above(figure, [*handles, cross], [*labels, "hole"])
    return figure


def _dots(axes: Axes, findings: Sequence[Finding], colour: str, label: str, ceiling: float) -> None:
    lowest = np.array([np.nan if finding.lowest is None else finding.lowest for finding in findings])
    row = np.arange(len(findings), dtype=float)
    hole = np.array([finding.hole is not None for finding in findings], dtype=bool)
    high = lowest > ceiling
    axes.scatter(lowest[~hole & ~high], row[~hole & ~high], s=22, color=colour, label=label, zorder=3, linewidths=0)
    axes.scatter(
        np.full(high.sum(), 0.985 * ceiling), row[high], s=26, color=colour, marker=">", zorder=3, linewidths=0
    )
    inside = np.clip(np.nan_to_num(lowest, nan=0.0), -0.04 * ceiling, ceiling)
    axes.scatter(inside[hole], row[hole], s=34, color=colour, marker="X", zorder=4, linewidths=0)


def _dress(axes: Axes, names: Sequence[str], bound: float, title: str, ceiling: float) -> None:
    axes.axvspan(-0.06 * ceiling, bound, color="#d55e00", alpha=0.08, linewidth=0, zorder=0)
    axes.set_xlim(-0.06 * ceiling, 1.02 * ceiling)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_yticks(range(len(names)), [name.replace("-", "–") for name in names])
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("Lowest energy of a turn (eV)" if title == _TITLES["dihedral"] else "Lowest unphysical energy (eV)")
    axes.set_title(title)
