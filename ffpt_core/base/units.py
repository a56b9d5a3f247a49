"""Conversion factors between the units of ffpt_core (eV, Angstrom, amu, as ASE) and those of others.

OpenMM and PLUMED work in nm, kJ/mol and ps; multiply by a factor here to enter ffpt_core.
All values derive from ASE's constants (CODATA 2014, its default), but BOLTZMANN_KJ_PER_MOL, which is OpenMM's and
PLUMED's own. Times are counted in fs where a user gives a time step, in ps where one gives a length; ASE's own unit of
time only where ASE integrates.
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

BOLTZMANN_KJ_PER_MOL: float = 8.31446261815324e-3
"""Boltzmann's constant in kJ/mol/K, times Avogadro's: the exact value of the SI of 2019, with which OpenMM and PLUMED
work. ASE's (CODATA 2014) is 3e-7 smaller, which would give velocities and biases that are not theirs."""

CALORIE: float = 4.184
"""1 thermochemical calorie in J (1 kcal/mol in kJ/mol), by definition."""

PICOSECOND: float = 1000.0
"""1 ps in fs."""

NANOSECOND: float = 1000.0
"""1 ns in ps."""

DAY: float = 86400.0
"""1 day in s."""

AKMA: float = 0.04888821
"""CHARMM's unit of time, in which DCD files count, in ps: with the digits that OpenMM writes with."""

ASE_FEMTOSECOND: float = _ase.fs
"""1 fs in ASE's own unit of time, Angstrom sqrt(amu/eV)."""

MILLI: float = 1e-3
"""1 meV in eV, 1 mPa s in Pa s."""

GRAM_PER_CUBIC_CENTIMETRE: float = 1e-27 / _ase._amu
"""1 g/cm^3 in amu/Angstrom^3."""

METRE: float = _ase.m
"""1 m in Angstrom."""

SECOND: float = 1e12
"""1 s in ps."""

JOULE: float = _ase.J
"""1 J in eV."""

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
