"""Extended XYZ: what most programs of the field exchange. The text is parsed in extxyz_parsing."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

from ase.data import chemical_symbols

from ffpt_core.base.errors import FfptError
from ffpt_core.base.files import atomic_write
from ffpt_core.datasets.dataset import Dataset
from ffpt_core.datasets.formats.extxyz_parsing import read_extxyz
from ffpt_core.datasets.formats.format import DatasetWarning, Format
from ffpt_core.datasets.options import ReadOptions, scaled
from ffpt_core.datasets.storage import GROUP_PREFIX
from ffpt_core.datasets.validation import given_away


def read(path: Path, options: ReadOptions) -> Dataset:
    """The frames of an extended XYZ file, plain XYZ included; eV and Angstrom unless options say other units.

    Labels are ``REF_energy`` and ``REF_forces`` where there are such, else ``energy`` and ``forces``, or what options
    name. A file without one of them gives a Dataset without it, and a DatasetWarning that lists what the file has.

    Raises:
        FfptError: as read_extxyz; a key that options name is not there; an unknown unit.
    """
    arrays, level, seen = read_extxyz(path, options.energy_key, options.forces_key)
    energy, length = options.scales()
    for label, key, key_name, found in (
        ("energies", options.energy_key, "energy_key", seen["keys"]),
        ("forces", options.forces_key, "forces_key", seen["columns"]),
    ):
        if arrays[label] is None:
            listed = ", ".join(found) or "none"
            if key is not None:
                raise FfptError(f"{path}: no {key!r} for the {label}; the first frame has: {listed}")
            message = f"{path}: no {label} found; the first frame has: {listed}; {key_name}= chooses one"
            warnings.warn(message, DatasetWarning, stacklevel=3)
    return Dataset(**given_away(scaled(arrays, energy, length)), level=level)


def _quoted(text: str) -> str:
    """A text as the value of a key."""
    plain = " ".join(text.split()).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{plain}"'


def _comment(dataset: Dataset, frame: int, prefix: str) -> str:
    """The key=value line of a frame."""
    parts = []
    if dataset.cells[frame].any():
        numbers = " ".join(map(repr, dataset.cells[frame].reshape(-1).tolist()))
        parts.append(f'Lattice="{numbers}"')
    columns = "species:S:1:pos:R:3" + (f":{prefix}forces:R:3" if dataset.forces is not None else "")
    parts.append(f"Properties={columns}")
    if dataset.energies is not None:
        parts.append(f"{prefix}energy={float(dataset.energies[frame])!r}")
    if dataset.level:
        parts.append(f"level={_quoted(dataset.level)}")
    parts += [f"{GROUP_PREFIX}{name}={_quoted(labels[frame])}" for name, labels in dataset.groups.items()]
    periodic = " ".join("FT"[int(flag)] for flag in dataset.pbc[frame])
    parts.append(f'pbc="{periodic}"')
    return " ".join(parts)


def write_extxyz(dataset: Dataset, path: str | os.PathLike[str], prefix: str = "") -> None:
    """Write extended XYZ in eV and Angstrom, with all digits: reading it back gives the same numbers.

    Args:
        dataset: what to write.
        path: the file; it appears whole or not at all.
        prefix: put before "energy" and "forces".
    """
    symbols = [chemical_symbols[number] for number in dataset.numbers]
    with atomic_write(path) as stream:
        for frame in range(len(dataset)):
            atoms = slice(dataset.offsets[frame], dataset.offsets[frame + 1])
            stream.write(f"{dataset.n_atoms[frame]}\n{_comment(dataset, frame, prefix)}\n")
            rows = dataset.positions[atoms].tolist()
            if dataset.forces is not None:
                rows = [row + force for row, force in zip(rows, dataset.forces[atoms].tolist(), strict=True)]
            lines = (f"{symbol} {' '.join(map(repr, row))}\n" for symbol, row in zip(symbols[atoms], rows, strict=True))
            stream.writelines(lines)


FORMAT = Format(
    name="extxyz",
    what="extended XYZ",
    suffixes=(".xyz", ".extxyz"),
    read=read,
    sniff=Path.is_file,
    write=write_extxyz,
    takes=frozenset({"energy_unit", "length_unit", "energy_key", "forces_key"}),
)
