"""GAFF-2.11 parameters: those of gaff-2.11.xml (openmmforcefields), gaps filled from a frcmod file.

What gaff-2.11.xml has always wins. parmchk2 of AmberTools 22 and newer also lists impropers that GAFF's
general terms cover already, some with another value (for an ester or acid carbon it proposes 1.1
kcal/mol "same as X-o-c-o" where X-X-c-o of GAFF says 10.5), so a frcmod may only fill gaps.

Source: J. Wang et al., J. Comput. Chem. 25, 1157 (2004); GAFF 2.11 of May 2016.
"""

from __future__ import annotations

import importlib.util
import math
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ffpt_core.base.errors import FfptError
from ffpt_core.base.units import CALORIE, NANOMETRE

LEVEL = "GAFF-2.11"

_SECTIONS = {
    "MASS": "mass",
    "BOND": "bond",
    "ANGLE": "angle",
    "DIHE": "proper",
    "IMPROPER": "improper",
    "NONBON": "nonbonded",
}
_ATOMS = {"bond": 2, "angle": 3, "proper": 4, "improper": 4}


def _gaff_folder() -> Path:
    spec = importlib.util.find_spec("openmmforcefields")
    if spec is None or spec.origin is None:
        raise FfptError('GAFF-2.11 parameters come with openmmforcefields: pip install "ffpt[gaff]"')
    return Path(spec.origin).parent / "ffxml" / "amber" / "gaff"


def gaff_xml() -> Path:
    """gaff-2.11.xml of openmmforcefields.

    Raises:
        FfptError: openmmforcefields is not installed or does not carry it.
    """
    path = _gaff_folder() / "ffxml" / "gaff-2.11.xml"
    if not path.is_file():
        raise FfptError(f"this openmmforcefields has no {path.name}")
    return path


def gaff_dat() -> Path:
    """The Amber parameter file that gaff-2.11.xml was made from, for parmchk2. Raises as gaff_xml."""
    path = _gaff_folder() / "dat" / "gaff-2.11.dat"
    if not path.is_file():
        raise FfptError(f"this openmmforcefields has no {path.name}")
    return path


@dataclass(frozen=True)
class Entry:
    """One line of a frcmod file.

    Args:
        kind: "bond", "angle", "proper" or "improper" (its third class is the central atom).
        classes: GAFF atom types; "X" matches any.
        values: as in the file: k, r0 (kcal/mol/A^2, A); k, theta0 (kcal/mol/rad^2, degree);
            divider, k, phase, n; or k, phase, n (kcal/mol, degree).
        comment: what parmchk2 says about its origin.
    """

    kind: str
    classes: tuple[str, ...]
    values: tuple[float, ...]
    comment: str


def read_entry(kind: str, line: str) -> Entry:
    """One line of a parameter or frcmod file.

    Raises:
        FfptError: the line does not have the form of its kind.
    """
    width = 3 * _ATOMS[kind] - 1  # two characters a type, a dash between two
    classes = tuple(name.strip() for name in line[:width].split("-"))
    count = {"bond": 2, "angle": 2, "proper": 4, "improper": 3}[kind]
    words = line[width:].split(None, count)
    try:
        values = tuple(float(word) for word in words[:count])
    except ValueError:
        values = ()
    if len(classes) != _ATOMS[kind] or len(values) != count:
        raise FfptError(f"no {kind} line of an Amber parameter file: {line.rstrip()!r}")
    return Entry(kind, classes, values, words[count].strip() if len(words) > count else "")


def read_frcmod(text: str) -> list[Entry]:
    """The bonded parameters of a frcmod file (masses and van der Waals terms are left aside).

    Raises:
        FfptError: a line that cannot be read, or a parameter that parmchk2 could not estimate.
    """
    entries: list[Entry] = []
    kind = ""
    for line in text.splitlines()[1:]:
        if not line.strip():
            continue
        word = line.strip()
        if word in _SECTIONS:
            kind = _SECTIONS[word]
        elif kind in _ATOMS:
            entry = read_entry(kind, line)
            if "ATTN" in entry.comment:
                raise FfptError(f"GAFF-2.11 has no parameter for the {kind} {'-'.join(entry.classes)} and none like it")
            entries.append(entry)
        elif kind == "nonbonded" and "ATTN" in line:
            raise FfptError(f"GAFF-2.11 has no van der Waals parameters for atom type {word.split()[0]}")
    return entries


@lru_cache(maxsize=1)
def _root() -> ElementTree.Element:
    """gaff-2.11.xml without its improper torsions, whose order of atoms is not Amber's; see impropers.py."""
    root = ElementTree.parse(gaff_xml()).getroot()
    for torsions in root.iterfind("PeriodicTorsionForce"):
        for item in torsions.findall("Improper"):
            torsions.remove(item)
    return root


@lru_cache(maxsize=1)
def gaff_ffxml() -> str:
    """gaff-2.11.xml without improper torsions, as text for OpenMM's ForceField."""
    return ElementTree.tostring(_root(), encoding="unicode")


@lru_cache(maxsize=1)
def atom_types() -> frozenset[str]:
    """Names of the atom types of GAFF-2.11."""
    return frozenset(item.get("name", "") for item in _root().iterfind("AtomTypes/Type"))


@lru_cache(maxsize=1)
def _known() -> dict[str, set[tuple[str, ...]]]:
    """Per kind the class tuples of gaff-2.11.xml ('' matches any type)."""
    known: dict[str, set[tuple[str, ...]]] = {}
    for tag, kind in {"Bond": "bond", "Angle": "angle", "Proper": "proper"}.items():
        numbers = range(1, _ATOMS[kind] + 1)
        found = [[item.get(f"class{number}") for number in numbers] for item in _root().iter(tag)]
        known[kind] = {tuple(str(name) for name in names) for names in found if None not in names}
    return known


def _matches(pattern: Sequence[str], classes: Sequence[str]) -> bool:
    return all(name in ("", actual) for name, actual in zip(pattern, classes, strict=True))


def covered(kind: str, classes: Sequence[str]) -> bool:
    """Whether gaff-2.11.xml itself has a term, specific or general, for atom types classes.

    Args:
        kind: "bond", "angle" or "proper".
        classes: atom types.
    """
    orders = [tuple(classes), tuple(reversed(classes))]
    return any(_matches(pattern, order) for order in orders for pattern in _known()[kind])


def _attributes(entry: Entry) -> str:
    """Attributes of a bond or angle in OpenMM's units (E = k/2 x^2: twice Amber's k)."""
    k, centre = entry.values
    names = " ".join(f'class{number}="{name}"' for number, name in enumerate(entry.classes, 1))
    if entry.kind == "bond":
        return f'{names} length="{centre / NANOMETRE!r}" k="{2 * k * CALORIE * NANOMETRE**2!r}"'
    return f'{names} angle="{math.radians(centre)!r}" k="{2 * k * CALORIE!r}"'


def _propers(entries: list[Entry]) -> str:
    """Proper elements; lines for the same atoms are terms of one torsion."""
    groups: dict[tuple[str, ...], list[tuple[float, float, int]]] = {}
    for entry in entries:
        divider, k, phase, periodicity = entry.values
        # A negative periodicity only says that another line follows.
        term = (k / divider * CALORIE, math.radians(phase), abs(round(periodicity)))
        groups.setdefault(entry.classes, []).append(term)
    lines = []
    for classes, terms in groups.items():
        words = [f'class{number}="{re.sub("^X$", "", name)}"' for number, name in enumerate(classes, 1)]
        for number, (k, phase, periodicity) in enumerate(terms, 1):
            words.append(f'periodicity{number}="{periodicity}" phase{number}="{phase!r}" k{number}="{k!r}"')
        lines.append(f"<Proper {' '.join(words)}/>")
    return "".join(lines)


def to_ffxml(entries: Iterable[Entry]) -> str:
    """Bonds, angles and proper torsions of entries as an OpenMM force field file to load after gaff_ffxml."""
    entries = list(entries)
    bonds = "".join(f"<Bond {_attributes(entry)}/>" for entry in entries if entry.kind == "bond")
    angles = "".join(f"<Angle {_attributes(entry)}/>" for entry in entries if entry.kind == "angle")
    torsions = _propers([entry for entry in entries if entry.kind == "proper"])
    return (
        f"<ForceField><HarmonicBondForce>{bonds}</HarmonicBondForce><HarmonicAngleForce>{angles}</HarmonicAngleForce>"
        f'<PeriodicTorsionForce ordering="amber">{torsions}</PeriodicTorsionForce></ForceField>'
    )
