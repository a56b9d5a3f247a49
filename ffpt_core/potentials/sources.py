"""Potentials by name: the one way to name a potential, for every verb and every function that takes one.

================================== ==================================================== =======================
name                               potential                                            level of theory
================================== ==================================================== =======================
potential.pt                       a file of ours                                       that of its training
FOLDER                             of a teacher, or of a training                       GAFF-2.11
aspirin                            a built-in teacher, or a potential that is shipped   GAFF-2.11
tblite:GFN2-xTB                    tblite (GFN2-xTB, GFN1-xTB, IPEA1-xTB)               GFN2-xTB
tblite:GFN2-xTB?charge=1           with arguments; multiplicity is the other one
pyscf:PBE/def2-svp                 pyscf: functional or HF, and basis set               PBE/def2-svp
pyscf:.../df                       with density fitting                                 PBE/def2-svp/df
pyscf:.../spins=1,1,-1             from a guess with unpaired electrons on each atom:
                                   broken symmetry                                      PBE/def2-svp
ase:emt                            any calculator that ASE knows by name                emt
ase:module.Class?key=value         any other calculator, with its arguments             module.Class?key=value
openmm-ml:ani2x                    any potential of OpenMM-ML                           ani2x
openmm:FOLDER                      an OpenMM System: system.xml, topology.pdb           that of system.json
teacher:FOLDER                     a teacher, where it must be one                      GAFF-2.11
================================== ==================================================== =======================
"""

from __future__ import annotations

import importlib
import inspect
import os
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlencode

import torch
import yaml
from ase.calculators.calculator import BaseCalculator, Calculator, get_calculator_class

from ffpt_core.base.errors import FfptError
from ffpt_core.base.files import read_json
from ffpt_core.base.registry import Registry
from ffpt_core.potentials import calculator_potential, network_potential
from ffpt_core.potentials.calculator_potential import CalculatorPotential
from ffpt_core.potentials.interface import Potential
from ffpt_core.potentials.shipped import SHIPPED, fetch_shipped

Device = str | torch.device | None
"""Where a potential computes; None: on a GPU where it can and there is one."""


Source = Potential | BaseCalculator | str | os.PathLike[str]
"""What open_potential opens."""


class Opener(Protocol):
    """Opens one kind of name."""

    def __call__(self, name: str, arguments: dict[str, Any], device: Device) -> Potential:
        """Open a potential.

        Args:
            name: what follows the colon, without arguments.
            arguments: by name.
            device: where it computes, for potentials that have a choice.

        Raises:
            FfptError: there is no such potential, or its package is not installed.
        """


OPENERS: Registry[Opener] = Registry(
    "ffpt.potentials",
    "kind of potential",
    {
        "tblite": "ffpt_core.potentials.sources:open_tblite",
        "pyscf": "ffpt_core.potentials.sources:open_pyscf",
        "ase": "ffpt_core.potentials.sources:open_ase",
        "teacher": "ffpt_core.teachers.builtin:open_teacher",
        "openmm-ml": "ffpt_openmm.forces.system_potential:open_openmm_ml",
        "openmm": "ffpt_openmm.forces.system_potential:open_system",
    },
)
"""What stands before the colon of a name. Other packages add theirs by entry points."""

TBLITE_METHODS: tuple[str, ...] = ("GFN2-xTB", "GFN1-xTB", "IPEA1-xTB")

TBLITE_ACCURACY = 0.01
"""Of tblite, whose default of 1 leaves forces uncertain by 5e-4 eV/Angstrom; this one leaves 1e-5."""


def open_potential(source: Source, device: Device = None, **arguments: Any) -> Potential:
    """Open a potential by its name.

    Args:
        source: a name as in the table of this module; a potential, which is returned as it is; or an ASE calculator.
        device: where it computes; None: on a GPU where it can and there is one.
        arguments: added to those of the name, such as ``charge`` and ``multiplicity`` for tblite and pyscf.

    Raises:
        FfptError: no such potential, in one line that says what there is; a damaged file; a missing package; arguments
            that it does not take.
    """
    if isinstance(source, Potential):
        return source
    if isinstance(source, BaseCalculator):
        return CalculatorPotential(typing.cast(Calculator, source), level=type(source).__name__)
    name = os.fspath(source)
    kind, colon, rest = name.partition(":")
    if colon and kind in OPENERS.names() and not Path(name).exists():
        text, _, query = rest.partition("?")
        return OPENERS.get(kind)(text, _arguments(query) | arguments, device)
    if arguments:
        raise FfptError(f"{name} takes no {' or '.join(arguments)}: that is for {', '.join(OPENERS.names())}")
    path = Path(name)
    if path.is_dir():
        return _in_folder(path, device)
    if path.is_file() or path.suffix == ".pt":
        return network_potential.load(path, device)
    if name in SHIPPED.names():
        return network_potential.load(fetch_shipped(name), device)
    try:
        return OPENERS.get("teacher")(name, {}, device)
    except FfptError as error:
        known = ", ".join(f"{one}:..." for one in OPENERS.names())
        raise FfptError(f"there is no potential {name!r}: it is no file, {error}, and no {known}") from error


def open_charged(
    source: Potential | str | os.PathLike[str], charge: int = 0, multiplicity: int = 1, device: Device = None
) -> Potential:
    """open_potential for a charge (e) and a multiplicity (2S + 1), as verbs have them beside the name.

    Raises:
        FfptError: as open_potential; a charge or multiplicity for what does not know of them.
    """
    given = _without_defaults(charge, multiplicity)
    potential = open_potential(source, device, **given)
    # A calculator of ASE may take any argument, and do nothing with it.
    if given and not (isinstance(potential, CalculatorPotential) and potential.electrons):
        raise FfptError(
            f"{source}: a charge or multiplicity can be given to tblite and pyscf only; what other calculators take "
            "are arguments of their own, ase:NAME?key=value"
        )
    return potential


def saved_potential(folder: str | os.PathLike[str], device: Device = None) -> Potential:
    """The potential that ``save_into`` wrote into the folder of a run.

    Raises:
        FfptError: the folder holds none, or one that cannot be opened any more.
    """
    folder = Path(folder)
    if (folder / network_potential.FILE).is_file():
        return network_potential.load(folder / network_potential.FILE, device)
    if (folder / "teacher").is_dir():
        return OPENERS.get("teacher")(os.fspath(folder / "teacher"), {}, device)
    if (folder / "system").is_dir():
        return OPENERS.get("openmm")(os.fspath(folder / "system"), {}, device)
    path = folder / calculator_potential.FILE
    record = read_json(path) if path.is_file() else None
    if not isinstance(record, dict) or record.get("format") != calculator_potential.FORMAT:
        raise FfptError(f"{folder} holds no potential")
    return open_potential(record["source"], device)


def _in_folder(folder: Path, device: Device) -> Potential:
    """That of a teacher, or of a run."""
    if (folder / "teacher.json").is_file():
        return OPENERS.get("teacher")(os.fspath(folder), {}, device)
    if (folder / network_potential.FILE).is_file():
        return network_potential.load(folder / network_potential.FILE, device)
    raise FfptError(
        f"{folder} is not the folder of a teacher (it has no teacher.json) nor of a training (no potential.pt)"
    )


def _arguments(query: str) -> dict[str, Any]:
    """The values of a=1&b=x: numbers, truth values, lists and texts, as YAML reads them."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True) if query else []
        return {key: yaml.safe_load(value) for key, value in pairs}
    except (ValueError, yaml.YAMLError) as error:
        raise FfptError(f"cannot read the arguments {query!r}: write key=value&other=value") from error


def name_of(kind: str, name: str, arguments: Mapping[str, Any]) -> str:
    """The name that opens the same potential again."""
    query = urlencode({key: yaml_text(value) for key, value in arguments.items()}, safe="/,[]: ")
    return f"{kind}:{name}" + (f"?{query}" if query else "")


def yaml_text(value: Any) -> str:
    """A value in the notation of an argument."""
    return yaml.safe_dump(value, default_flow_style=True, width=10**6).removesuffix("...\n").strip()


def _electrons(kind: str, name: str, arguments: dict[str, Any]) -> tuple[int, int]:
    """Charge and multiplicity among the arguments; others are refused."""
    charge, multiplicity = arguments.pop("charge", 0), arguments.pop("multiplicity", 1)
    if arguments:
        raise FfptError(f"{kind}:{name} takes charge and multiplicity, not {', '.join(arguments)}")
    if not isinstance(charge, int) or not isinstance(multiplicity, int):
        raise FfptError(f"charge and multiplicity are whole numbers, not {charge} and {multiplicity}")
    if multiplicity < 1:
        raise FfptError(f"the multiplicity 2S + 1 is 1 or more, not {multiplicity}")
    return charge, multiplicity


def _without_defaults(charge: int, multiplicity: int) -> dict[str, int]:
    values = {"charge": (charge, 0), "multiplicity": (multiplicity, 1)}
    return {key: value for key, (value, default) in values.items() if value != default}


def open_tblite(name: str, arguments: dict[str, Any], device: Device = None) -> CalculatorPotential:
    """A method of tblite. Raises FfptError where there is none, or no tblite."""
    known = {method.lower(): method for method in TBLITE_METHODS}
    if name.lower() not in known:
        raise FfptError(f"tblite has no method {name!r}; it has {', '.join(TBLITE_METHODS)}")
    method = known[name.lower()]
    charge, multiplicity = _electrons("tblite", name, dict(arguments))
    try:
        from tblite.ase import TBLite
    except ImportError as error:
        raise FfptError(f'tblite is not there ({error}): pip install "ffpt[labels]"') from error

    def make() -> Calculator:
        return TBLite(method=method, charge=charge, multiplicity=multiplicity, accuracy=TBLITE_ACCURACY, verbosity=0)

    return CalculatorPotential(
        make,
        method,
        name_of("tblite", method, _without_defaults(charge, multiplicity)),
        frames_at_once=16,
        elements=range(1, 87),
        remembers=True,
        electrons=(charge, multiplicity),
    )


def open_pyscf(name: str, arguments: dict[str, Any], device: Device = None) -> CalculatorPotential:
    """A level of theory of pyscf. Raises FfptError where there is none, or no pyscf."""
    from ffpt_core.potentials.pyscf import PyscfCalculator, check_model

    charge, multiplicity = _electrons("pyscf", name, dict(arguments))
    model = check_model(name)
    return CalculatorPotential(
        lambda: PyscfCalculator(model, charge=charge, multiplicity=multiplicity),
        model.level,
        name_of("pyscf", name, _without_defaults(charge, multiplicity)),
        frames_at_once=1,
        remembers=True,
        isolated_only=True,
        electrons=(charge, multiplicity),
    )


def open_ase(name: str, arguments: dict[str, Any], device: Device = None) -> CalculatorPotential:
    """A calculator by ASE's name for it, or by its module and class.

    Raises:
        FfptError: there is none; it is not a calculator; it does not take the arguments.
    """
    maker = _by_path(name) if "." in name else _by_ase_name(name)
    given = dict(arguments)
    if device is not None and "device" not in given and "device" in inspect.signature(maker).parameters:
        given["device"] = str(device)
    try:
        inspect.signature(maker).bind(**given)
    except TypeError as error:
        raise FfptError(f"ase:{name}: {error}") from error
    source = name_of("ase", name, arguments)
    return CalculatorPotential(
        lambda: maker(**given), source.removeprefix("ase:"), source, on_gpu="cuda" in str(given.get("device", ""))
    )


def _by_ase_name(name: str) -> Callable[..., Calculator]:
    try:
        return get_calculator_class(name)
    except (ImportError, AttributeError) as error:
        raise FfptError(f"ASE has no calculator {name!r} ({error})") from error


def _by_path(path: str) -> Callable[..., Calculator]:
    """A class of calculators, or a function that says that it returns one: nothing else is called."""
    module, _, attribute = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except ImportError as error:
        raise FfptError(f"ase:{path}: {error}; install the package that has it") from error
    except AttributeError as error:
        raise FfptError(f"ase:{path}: {module} has no {attribute}") from error
    made = found
    if inspect.isfunction(found):
        try:
            made = typing.get_type_hints(found).get("return")
        except (NameError, TypeError):
            made = None
    if not (inspect.isclass(made) and issubclass(made, BaseCalculator)):
        raise FfptError(f"ase:{path} is not a calculator of ASE, nor a function that is declared to return one")
    return found
