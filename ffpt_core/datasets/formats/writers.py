"""Writing data sets: extended XYZ for other programs, npz for ourselves."""

from __future__ import annotations

import os
from pathlib import Path

from ase.data import chemical_symbols

from ffpt_core.base.errors import FfptError
from ffpt_core.base.files import atomic_write
from ffpt_core.datasets.dataset import Dataset
from ffpt_core.datasets.storage import GROUP_PREFIX


def write(dataset: Dataset, path: str | os.PathLike[str], prefix: str = "") -> None:
    """Write dataset as extended XYZ (.xyz, .extxyz) or as our npz (.npz), by the suffix of path.

    Args:
        dataset: what to write.
        path: the file; it appears whole or not at all.
        prefix: extended XYZ only: put before the names of the labels ("REF_" is what MACE reads by default).

    Raises:
        FfptError: another suffix, or the file cannot be written.
    """
    suffix = Path(path).suffix.lower()
    if suffix in (".xyz", ".extxyz"):
        write_extxyz(dataset, path, prefix)
    elif suffix == ".npz":
        dataset.save(path)
    else:
        raise FfptError(f"cannot write {path}: the suffix must be .xyz, .extxyz or .npz")


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
