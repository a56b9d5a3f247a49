"""One function that reads any data set file, into eV and Angstrom."""

from __future__ import annotations

import dataclasses
import os
import warnings
from pathlib import Path
from typing import Any

from ffpt_core.base.errors import FfptError, FfptWarning
from ffpt_core.base.units import ENERGY_UNITS, LENGTH_UNITS
from ffpt_core.datasets.dataset import Dataset
from ffpt_core.datasets.formats import fu_water, sgdml
from ffpt_core.datasets.formats.extxyz import read_extxyz
from ffpt_core.datasets.options import ReadOptions, options_from, scaled, unit_factor
from ffpt_core.datasets.records import combustion
from ffpt_core.datasets.storage import is_ours, load_arrays
from ffpt_core.datasets.validation import given_away

SUFFIXES = {".xyz": "extxyz", ".extxyz": "extxyz", ".npz": "npz", ".traj": "traj"}
FORMATS = tuple(dict.fromkeys(SUFFIXES.values()))

_UNIT_EXAMPLES = {"energy_unit": "kcal/mol", "length_unit": "Angstrom"}


class DatasetWarning(FfptWarning):
    """Something about a data set file that its reader should know and that is no error."""


def _read_extxyz(
    path: Path, energy_unit: str | None, length_unit: str | None, energy_key: str | None, forces_key: str | None
) -> Dataset:
    arrays, level, seen = read_extxyz(path, energy_key, forces_key)
    energy = unit_factor(energy_unit or "eV", ENERGY_UNITS, "energy")
    length = unit_factor(length_unit or "Angstrom", LENGTH_UNITS, "length")
    for label, key, key_name, found in (
        ("energies", energy_key, "energy_key", seen["keys"]),
        ("forces", forces_key, "forces_key", seen["columns"]),
    ):
        if arrays[label] is None:
            listed = ", ".join(found) or "none"
            if key is not None:
                raise FfptError(f"{path}: no {key!r} for the {label}; the first frame has: {listed}")
            message = f"{path}: no {label} found; the first frame has: {listed}; {key_name}= chooses one"
            warnings.warn(message, DatasetWarning, stacklevel=3)
    return Dataset(**given_away(scaled(arrays, energy, length)), level=level)


def _npz_units(arrays: dict[str, Any], path: Path, energy: str | None, length: str | None) -> tuple[float, float]:
    """Sizes of the units of a file that is not ours: what was asked for, else what the file is known to have."""
    named_energy, named_length, source = sgdml.units_of(arrays)
    units = {"energy_unit": energy or named_energy, "length_unit": length or named_length}
    labelled = any(name in arrays for name in (*sgdml.ENERGIES, *sgdml.FORCES))
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


def _read_npz(path: Path, energy_unit: str | None, length_unit: str | None) -> Dataset:
    if is_ours(path):
        if energy_unit or length_unit:
            raise FfptError(f"{path} carries its units (eV, Angstrom): give none")
        return Dataset.load(path)
    arrays = load_arrays(path, names={*sgdml.KEYS, *combustion.KEYS, *fu_water.KEYS, *fu_water.MARKS})
    if combustion.is_combustion(arrays):
        if energy_unit or length_unit:
            raise FfptError(f"{path} is of the combustion benchmark, in kcal/mol and Angstrom: give no units")
        return combustion.from_arrays(arrays, path)
    if fu_water.is_fu_water(arrays):
        energy = unit_factor(energy_unit or "kcal/mol", ENERGY_UNITS, "energy")
        length = unit_factor(length_unit or "Angstrom", LENGTH_UNITS, "length")
        return Dataset(**given_away(scaled(fu_water.box_arrays(arrays, path), energy, length)), level=fu_water.LEVEL)
    if not sgdml.is_sgdml(arrays):
        raise FfptError(
            f"{path} is no data set known here: neither ours nor one with the keys R, z, E, F (MD17, sGDML), "
            "R, Z, N, E, F, RXN (combustion), coords, nuclear_charges, energies, forces (rMD17) or "
            "wrapped_coords, atom_types, energy, forces, lengths (Fu et al.'s water)"
        )
    energy, length = _npz_units(arrays, path, energy_unit, length_unit)
    molecule = scaled(sgdml.molecule_arrays(arrays, path), energy, length)
    return Dataset.from_arrays(**given_away(molecule), level=sgdml.level_of(arrays))


def _read_traj(path: Path) -> Dataset:
    from ase import Atoms
    from ase.io import read as ase_read
    from ase.io.formats import UnknownFileTypeError

    try:
        frames = ase_read(path, index=":", format="traj")
        return Dataset.from_atoms([frames] if isinstance(frames, Atoms) else frames)
    except (OSError, UnknownFileTypeError, ValueError, KeyError) as error:
        raise FfptError(f"cannot read {path} as an ASE trajectory: {error}") from error


def read(path: str | os.PathLike[str], options: ReadOptions | None = None, **changes: Any) -> Dataset:
    """Read labelled frames into eV, Angstrom and eV/Angstrom.

    ============ ======================== ====================================================================
    format       suffix                   units
    ============ ======================== ====================================================================
    "extxyz"     .xyz .extxyz             eV and Angstrom unless given
    "npz"        .npz                     ours: in the file; sGDML: e_unit, r_unit in the file; MD17 and rMD17:
                                          kcal/mol and Angstrom, with a DatasetWarning; a file of the combustion
                                          benchmark (labels corrected), Fu et al.'s water: kcal/mol and Angstrom;
                                          others: must be given
    "traj"       .traj (ASE)              eV and Angstrom, ASE's own
    ============ ======================== ====================================================================

    Labels of extended XYZ are ``REF_energy`` and ``REF_forces`` where there are such, else ``energy`` and
    ``forces``. A file without one of them gives a Dataset without it, and a DatasetWarning that lists what
    the file has.

    Args:
        path: the file.
        options: units, keys and level where the file does not say them, and which frames; see ReadOptions.
        changes: single fields of the options, such as ``energy_unit="kcal/mol"``.

    Raises:
        FfptError: no such file, an unknown format or unit, no unit where one is needed, a truncated or pickled
            file, labels on some frames only, NaN or infinite numbers; messages name the file and the frame.
    """
    path, options = Path(path), options_from(options, changes)
    format, energy_unit, length_unit = options.format, options.energy_unit, options.length_unit
    energy_key, forces_key, level = options.energy_key, options.forces_key, options.level
    if format is None and path.suffix.lower() == ".npy":
        raise fu_water.refuse_npy(path)
    format = format or SUFFIXES.get(path.suffix.lower())
    if format not in FORMATS:
        known = ", ".join(SUFFIXES)
        raise FfptError(f"{path}: unknown format {format or path.suffix!r}; known: {', '.join(FORMATS)} ({known})")
    if format != "extxyz" and (energy_key or forces_key):
        raise FfptError(f"{path}: energy_key and forces_key are for extended XYZ only")
    try:
        if format == "extxyz":
            dataset = _read_extxyz(path, energy_unit, length_unit, energy_key, forces_key)
        elif format == "npz":
            dataset = _read_npz(path, energy_unit, length_unit)
        else:
            dataset = _read_traj(path)
    except FfptError as error:
        if str(path) in str(error):
            raise
        raise FfptError(f"{path}: {error}") from error
    dataset = dataset if options.frames == slice(0, None, 1) else dataset[options.frames]
    return dataset if level is None else dataclasses.replace(dataset, level=level)
