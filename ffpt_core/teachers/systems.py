"""OpenMM Systems of teachers: the package, the terms of their energy, their text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ffpt_core.base.errors import FfptError

if TYPE_CHECKING:
    import openmm

TERMS: dict[str, int] = {"bonds": 0, "angles": 1, "torsions": 2, "nonbonded": 3, "couplings": 4}
"""Force group of each energy term in the System of a teacher."""

_GROUP_OF_FORCE = {
    "HarmonicBondForce": "bonds",
    "CustomBondForce": "bonds",
    "HarmonicAngleForce": "angles",
    "CustomAngleForce": "angles",
    "PeriodicTorsionForce": "torsions",
    "CustomTorsionForce": "torsions",
    "RBTorsionForce": "torsions",
    "NonbondedForce": "nonbonded",
    "CustomNonbondedForce": "nonbonded",
    "CustomCompoundBondForce": "couplings",
}


def import_openmm() -> Any:
    """The openmm package.

    Raises:
        FfptError: OpenMM is not installed.
    """
    try:
        import openmm
        import openmm.app
        import openmm.unit
    except ImportError as error:
        raise FfptError(f"a teacher needs OpenMM ({error}): pip install openmm") from error
    return openmm


def assign_force_groups(system: openmm.System) -> None:
    """Give every force of system the group of its term (see TERMS), so that terms can be read one by one.

    Raises:
        FfptError: a force that belongs to no term.
    """
    for force in system.getForces():
        kind = type(force).__name__  # its name is free: Q-Force calls a bond force "Bond"
        term = _GROUP_OF_FORCE.get(kind)
        if term is None:
            raise FfptError(f"a teacher has no term for a {kind}; known: {', '.join(_GROUP_OF_FORCE)}")
        force.setForceGroup(TERMS[term])


def to_xml(system: openmm.System) -> str:
    """A System as text, the same for the same System."""
    return import_openmm().XmlSerializer.serialize(system)
