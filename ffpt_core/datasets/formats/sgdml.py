"""The npz files of MD17, rMD17 and sGDML: one molecule, arrays over frames.

=============================== ===================== ====================================
keys                            shape                 meaning
=============================== ===================== ====================================
R, coords                       (n_frames, n_atoms, 3) positions
z, nuclear_charges              (n_atoms,)            atomic numbers
E, energies                     (n_frames,) or (.., 1) energies
F, forces                       (n_frames, n_atoms, 3) forces
e_unit, r_unit                  ()                    units by name (sGDML)
theory                          ()                    level of theory (MD17, sGDML)
md5, old_indices                                      marks of MD17 and of rMD17
=============================== ===================== ====================================

MD17 (Chmiela et al., Sci. Adv. 3, e1603015, 2017) and rMD17 (Christensen and von Lilienfeld, Mach. Learn.:
Sci. Technol. 1, 045018, 2020) name no units; both are distributed in kcal/mol and Angstrom.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from ffpt_core.base.errors import FfptError
from ffpt_core.base.units import ENERGY_UNITS, LENGTH_UNITS
from ffpt_core.datasets.dataset import Dataset
from ffpt_core.datasets.formats.format import DatasetWarning, Format
from ffpt_core.datasets.options import ReadOptions, scaled, unit_factor
from ffpt_core.datasets.storage import array_names, load_arrays
from ffpt_core.datasets.validation import given_away

POSITIONS = ("R", "coords")
NUMBERS = ("z", "nuclear_charges")
ENERGIES = ("E", "energies")
FORCES = ("F", "forces")
UNITS = ("e_unit", "r_unit")
_UNIT_EXAMPLES = {"energy_unit": "kcal/mol", "length_unit": "Angstrom"}
MARKS = ("theory", "md5", "old_indices", "lattice")
KEYS = (*POSITIONS, *NUMBERS, *ENERGIES, *FORCES, *UNITS, *MARKS)


def _first(arrays: dict[str, np.ndarray], names: tuple[str, ...]) -> np.ndarray | None:
    return next((arrays[name] for name in names if name in arrays), None)


def _text(arrays: dict[str, np.ndarray], name: str) -> str | None:
    """A text that files hold as str or bytes, of no or one dimension."""
    value = arrays.get(name)
    if value is None or value.size != 1 or value.dtype.kind not in "US":
        return None
    text = value.reshape(-1)[0]
    return text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)


def sniff(path: Path) -> bool:
    """Whether an npz file looks like one of these."""
    names = array_names(path)
    return not names.isdisjoint(POSITIONS) and not names.isdisjoint(NUMBERS)


def units_of(arrays: dict[str, np.ndarray]) -> tuple[str | None, str | None, str]:
    """The energy and length unit that a file names or is known to have, and how they are known.

    Returns:
        (energy unit or None, length unit or None, "file", "MD17", "rMD17" or "unknown").
    """
    energy, length = (_text(arrays, name) for name in UNITS)
    if energy or length:
        return energy or None, length or None, "file"
    if "md5" in arrays or "old_indices" in arrays:
        return "kcal/mol", "Angstrom", "MD17" if "md5" in arrays else "rMD17"
    return None, None, "unknown"


def level_of(arrays: dict[str, np.ndarray]) -> str:
    """The level of theory that a file names, or ""."""
    level = _text(arrays, "theory") or ""
    return "" if level == "unknown" else level


def molecule_arrays(arrays: dict[str, np.ndarray], path: Path) -> dict[str, Any]:
    """numbers, positions, energies and forces as Dataset.from_arrays takes them, in the units of the file.

    Raises:
        FfptError: numbers that change from frame to frame, energies of another shape, or a lattice.
    """
    if "lattice" in arrays:
        # The sGDML tools write ASE's rows and read columns: which of the two a file has cannot be told.
        raise FfptError(f"{path} has a lattice, whose axes sGDML files do not fix: convert it to extended XYZ")
    numbers, positions = _first(arrays, NUMBERS), _first(arrays, POSITIONS)
    energies, forces = _first(arrays, ENERGIES), _first(arrays, FORCES)
    if numbers is None or positions is None:
        raise FfptError(f"{path} lacks atomic numbers or positions")
    if numbers.ndim != 1:
        raise FfptError(f"{path}: atomic numbers of shape {numbers.shape}; one list for all frames is needed")
    if energies is not None:
        if energies.size != len(positions):
            raise FfptError(f"{path}: energies of shape {energies.shape} for {len(positions)} frames")
        energies = energies.reshape(-1)
    return {"numbers": numbers, "positions": positions, "energies": energies, "forces": forces}


def _scales(arrays: dict[str, Any], path: Path, options: ReadOptions) -> tuple[float, float]:
    """Sizes of the units of a file that is not ours: what was asked for, else what the file is known to have."""
    energy, length = options.energy_unit, options.length_unit
    named_energy, named_length, source = units_of(arrays)
    units = {"energy_unit": energy or named_energy, "length_unit": length or named_length}
    labelled = any(name in arrays for name in (*ENERGIES, *FORCES))
    if not labelled:
        units["energy_unit"] = units["energy_unit"] or "eV"
    missing = [f"{name}={example}" for name, example in _UNIT_EXAMPLES.items() if units[name] is None]
    if missing:
        raise FfptError(f"{path} names no units: say which, for example {' and '.join(missing)}")
    factors = (
        unit_factor(str(units["energy_unit"]), ENERGY_UNITS, "energy"),
        unit_factor(str(units["length_unit"]), LENGTH_UNITS, "length"),
    )
    if source != "file" and not (energy and length):
        message = f"{path} names no units: read as {source} in {units['energy_unit']} and {units['length_unit']}"
        warnings.warn(message, DatasetWarning, stacklevel=4)
    for asked, named in ((energy, named_energy), (length, named_length)):
        if source == "file" and asked and named and asked != named:
            warnings.warn(f"{path} says {named}; read in {asked} as asked", DatasetWarning, stacklevel=4)
    return factors


def read(path: Path, options: ReadOptions) -> Dataset:
    """The frames of one of these files, in the units that it names, that it is known to have, or that options name.

    Raises:
        FfptError: no unit where one is needed; as load_arrays and molecule_arrays.
    """
    arrays = load_arrays(path, names=KEYS)
    energy, length = _scales(arrays, path, options)
    molecule = scaled(molecule_arrays(arrays, path), energy, length)
    return Dataset.from_arrays(**given_away(molecule), level=level_of(arrays))


FORMAT = Format(
    name="sgdml",
    what="R, z, E, F (MD17, sGDML), or coords, nuclear_charges, energies, forces (rMD17)",
    suffixes=(".npz",),
    read=read,
    sniff=sniff,
    takes=frozenset({"energy_unit", "length_unit"}),
)
