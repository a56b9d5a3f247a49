"""Conversion factors between the units of ffpt_core (eV, Angstrom, amu, as ASE) and those of others.

OpenMM and PLUMED work in nm, kJ/mol and ps; multiply by a factor here to enter ffpt_core.
All values derive from ASE's CODATA constants.
"""

from __future__ import annotations

from ase import units as _ase

KJ_PER_MOL: float = _ase.kJ / _ase.mol
"""1 kJ/mol in eV (1 eV = 96.4853 kJ/mol)."""

KCAL_PER_MOL: float = _ase.kcal / _ase.mol
"""1 kcal/mol in eV."""

HARTREE: float = _ase.Hartree
"""1 hartree in eV."""

NANOMETRE: float = _ase.nm
"""1 nm in Angstrom."""

BOHR: float = _ase.Bohr
"""1 bohr in Angstrom."""

BOLTZMANN: float = _ase.kB
"""Boltzmann's constant in eV/K."""

KJ_PER_MOL_NM: float = KJ_PER_MOL / NANOMETRE
"""1 kJ/mol/nm in eV/Angstrom."""

ENERGY_UNITS: dict[str, float] = {
    "eV": 1.0,
    "kcal/mol": KCAL_PER_MOL,
    "kJ/mol": KJ_PER_MOL,
    "hartree": HARTREE,
}
"""Energy units that readers accept, by name, in eV."""

LENGTH_UNITS: dict[str, float] = {"Angstrom": 1.0, "nm": NANOMETRE, "bohr": BOHR}
"""Length units that readers accept, by name, in Angstrom."""
