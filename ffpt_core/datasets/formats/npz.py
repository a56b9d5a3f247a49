"""Our own data set file; see ffpt_core.datasets.storage for its keys."""

from __future__ import annotations

from pathlib import Path

from ffpt_core.base.errors import FfptError
from ffpt_core.datasets.dataset import Dataset
from ffpt_core.datasets.formats.format import Format
from ffpt_core.datasets.options import ReadOptions
from ffpt_core.datasets.storage import is_ours


def read(path: Path, options: ReadOptions) -> Dataset:
    """The data set in a file that Dataset.save wrote.

    Raises:
        FfptError: as Dataset.load; units are asked for, which the file carries.
    """
    if options.energy_unit or options.length_unit:
        raise FfptError(f"{path} carries its units (eV, Angstrom): give none")
    return Dataset.load(path)


def write(dataset: Dataset, path: Path, prefix: str = "") -> None:
    """Write what Dataset.save writes.

    Raises:
        FfptError: a prefix, which its labels do not have; the file cannot be written.
    """
    if prefix:
        raise FfptError(f"{path}: a prefix of labels is for extended XYZ only")
    dataset.save(path)


FORMAT = Format(
    name="npz",
    what="ours",
    suffixes=(".npz",),
    read=read,
    sniff=is_ours,
    write=write,
    takes=frozenset({"energy_unit", "length_unit"}),
)
