"""Calculators by name: what ``ffpt label``, ``ffpt scan`` and others accept on the command line.

======================= ======================================= ==================================
name                    calculator                              level of theory
======================= ======================================= ==================================
tblite:GFN2-xTB         tblite (GFN2-xTB, GFN1-xTB, IPEA1-xTB)  GFN2-xTB
pyscf:PBE/def2-svp      pyscf: functional or HF, and basis set  PBE/def2-svp
pyscf:.../df            with density fitting                    PBE/def2-svp/df
pyscf:.../spins=1,1,-1  from a guess with unpaired electrons
                        on each atom: broken symmetry           PBE/def2-svp
teacher:FOLDER          a teacher, or a built-in one by name    GAFF-2.11
potential.pt            a potential of ours                     potential.pt
ase:emt                 any calculator ASE knows by name        emt
======================= ======================================= ==================================
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ffpt_core.base.errors import FfptError

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

TBLITE_METHODS: tuple[str, ...] = ("GFN2-xTB", "GFN1-xTB", "IPEA1-xTB")

TBLITE_ACCURACY = 0.01
"""Of tblite, whose default of 1 leaves forces uncertain by 5e-4 eV/Angstrom; this one leaves 1e-5."""

HELP = "tblite:GFN2-xTB, pyscf:PBE/def2-svp, teacher:FOLDER, a .pt file, or ase:NAME"
"""The kinds of names, for messages and help texts."""


@dataclass(frozen=True)
class Resolved:
    """A calculator name that was understood.

    Args:
        kind: "tblite", "pyscf", "teacher", "potential" or "ase".
        level: level of theory of its labels.
        identity: changes whenever the numbers would: the name, the content of files, charge, multiplicity.
        make: builds the ASE calculator.
    """

    kind: str
    level: str
    identity: str
    make: Callable[[], Calculator]


def resolve(name: str, charge: int = 0, multiplicity: int = 1) -> Resolved:
    """Understand a calculator name without building the calculator.

    Args:
        name: see the table of this module.
        charge: total charge, e; for tblite and pyscf.
        multiplicity: 2S + 1; for tblite and pyscf.

    Raises:
        FfptError: unknown name, missing package or file, or a charge where the calculator has its own.
    """
    if multiplicity < 1:
        raise FfptError(f"the multiplicity 2S + 1 is 1 or more, not {multiplicity}")
    kind, colon, rest = name.partition(":")
    makers = {"tblite": _tblite, "pyscf": _pyscf}
    if colon and kind in makers:
        return makers[kind](rest, charge, multiplicity)
    if charge != 0 or multiplicity != 1:
        raise FfptError(f"{name}: a charge or multiplicity can be given to tblite and pyscf only")
    if colon and kind == "teacher":
        return _teacher(rest)
    if colon and kind == "ase":
        return _ase(rest)
    if name.endswith(".pt"):
        return _potential(name)
    raise FfptError(f"unknown calculator {name!r}; known are {HELP}")


def get_calculator(name: str, charge: int = 0, multiplicity: int = 1) -> Calculator:
    """The ASE calculator (eV, eV/Angstrom) of a name; see resolve."""
    return resolve(name, charge, multiplicity).make()


def _tblite(method: str, charge: int, multiplicity: int) -> Resolved:
    known = {name.lower(): name for name in TBLITE_METHODS}
    if method.lower() not in known:
        raise FfptError(f"tblite has no method {method!r}; it has {', '.join(TBLITE_METHODS)}")
    method = known[method.lower()]
    try:
        from tblite.ase import TBLite
    except ImportError as error:
        raise FfptError(f'tblite is not there ({error}): pip install "ffpt[labels]"') from error

    def make() -> Calculator:
        return TBLite(method=method, charge=charge, multiplicity=multiplicity, accuracy=TBLITE_ACCURACY, verbosity=0)

    identity = f"tblite:{method} charge {charge} multiplicity {multiplicity} accuracy {TBLITE_ACCURACY}"
    return Resolved("tblite", method, identity, make)


def _pyscf(model: str, charge: int, multiplicity: int) -> Resolved:
    from ffpt_core.potentials.pyscf import PyscfCalculator, check_model

    checked = check_model(model)

    def make() -> Calculator:
        return PyscfCalculator(checked, charge=charge, multiplicity=multiplicity)

    return Resolved("pyscf", checked.level, f"pyscf:{model} charge {charge} multiplicity {multiplicity}", make)


def _teacher(name: str) -> Resolved:
    from ffpt_core.teachers import load_teacher
    from ffpt_core.teachers.teacher import import_openmm

    teacher = load_teacher(name)
    xml = import_openmm().XmlSerializer.serialize(teacher.system)
    digest = hashlib.sha256(xml.encode()).hexdigest()
    return Resolved("teacher", teacher.level, f"teacher {digest}", teacher.calculator)


def _potential(name: str) -> Resolved:
    try:
        digest = hashlib.sha256(Path(name).read_bytes()).hexdigest()
    except OSError as error:
        raise FfptError(f"cannot read {name}: {error.strerror or error}") from error

    def make() -> Calculator:
        from ffpt_core.potentials.network_potential import load

        return load(name).calculator()

    return Resolved("potential", Path(name).name, f"potential {digest}", make)


def _ase(name: str) -> Resolved:
    from ase.calculators.calculator import get_calculator_class

    try:
        found = get_calculator_class(name)
    except (ImportError, AttributeError) as error:
        raise FfptError(f"ASE has no calculator {name!r} ({error})") from error
    return Resolved("ase", name, f"ase:{name}", found)
