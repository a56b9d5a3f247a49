"""One function that reads any file of frames into eV and Angstrom, and one that writes them. The formats: formats/."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

from ffpt_core.base.errors import FfptError
from ffpt_core.datasets.dataset import Dataset
from ffpt_core.datasets.formats.format import ANYTHING_ELSE, FOLDER, FORMATS, SELECTION, Format
from ffpt_core.datasets.options import ReadOptions, options_from

_ALWAYS = SELECTION | {"format", "level"}


def format_of(path: str | os.PathLike[str], name: str | None = None) -> Format:
    """The format of a file, by its suffix and, where several have that, by what is in it.

    Args:
        path: the file, or a folder.
        name: a format, or a suffix without its dot, to choose from instead of the suffix of the file.

    Raises:
        FfptError: no format known here; the file cannot be opened, where that is needed.
    """
    path = Path(path)
    suffix = FOLDER if path.is_dir() else path.suffix.lower()
    formats = FORMATS.all().values()
    if name is None:
        chosen = [one for one in formats if suffix in one.suffixes]
    else:
        chosen = [one for one in formats if name == one.name or f".{name}" in one.suffixes]
    if len(chosen) == 1:
        return chosen[0]
    for one in chosen:
        if one.sniff(path):
            return one
    if chosen:
        raise FfptError(f"{path} is no data set known here: neither {'; nor '.join(one.what for one in chosen)}")
    others = [one for one in formats if ANYTHING_ELSE in one.suffixes]
    found = next((one for one in others if name is None and one.sniff(path)), None)
    if found is None:
        names = [one.name for one in formats]
        suffixes = dict.fromkeys(one for each in formats for one in each.suffixes if one not in (FOLDER, ANYTHING_ELSE))
        raise FfptError(f"{path}: unknown format {name or suffix!r}; known: {', '.join(names)} ({', '.join(suffixes)})")
    return found


def _check_options(path: Path, found: Format, options: ReadOptions) -> None:
    """Refuse options that have no meaning for a format."""
    unused = sorted(options.given() - _ALWAYS - found.takes)
    if unused:
        users = [one.name for one in FORMATS.all().values() if set(unused) <= one.takes]
        whose = f"for {', '.join(users)} only" if users else "not for one format together"
        raise FfptError(f"{path}: {' and '.join(unused)} {'is' if len(unused) == 1 else 'are'} {whose}")


def read(path: str | os.PathLike[str], options: ReadOptions | None = None, **changes: Any) -> Dataset:
    """Read frames into eV, Angstrom and eV/Angstrom, with the labels that they have.

    ============= ========================= ==================================================================
    format        suffix                    units
    ============= ========================= ==================================================================
    "extxyz"      .xyz .extxyz              eV and Angstrom unless given
    "npz"         .npz                      ours: in the file
    "sgdml"       .npz                      sGDML: e_unit, r_unit in the file; MD17 and rMD17: kcal/mol and
                                            Angstrom, with a DatasetWarning; others: must be given
    "combustion"  .npz                      kcal/mol and Angstrom; wrong labels are corrected
    "fu-water"    .npz                      kcal/mol and Angstrom unless given
    "run"         folder of md or metad     no labels; groups["replica"] says where a frame comes from
    "trajectory"  .dcd .xtc .trr .h5 .pdb   no labels; topology= names the atoms where the file does not
                  and others of mdtraj
    "ase"         .traj, whatever ASE reads eV and Angstrom, ASE's own
    ============= ========================= ==================================================================

    Labels of extended XYZ are ``REF_energy`` and ``REF_forces`` where there are such, else ``energy`` and
    ``forces``. A file without one of them gives a Dataset without it, and a DatasetWarning that lists what
    the file has. Other packages add formats; ``ffpt_core.datasets.FORMATS`` has them all.

    Args:
        path: the file, or a run folder.
        options: units, keys and level where the file does not say them, and which frames; see ReadOptions.
        changes: single fields of the options, such as ``energy_unit="kcal/mol"``.

    Raises:
        FfptError: no such file, an unknown format or unit, no unit where one is needed, an option that the format
            has no use for, a truncated or pickled file, labels on some frames only, NaN or infinite numbers;
            messages name the file and the frame.
    """
    path, options = Path(path), options_from(options, changes)
    found = format_of(path, options.format)
    _check_options(path, found, options)
    try:
        dataset = found.read(path, options)
    except FfptError as error:
        if str(path) in str(error):
            raise
        raise FfptError(f"{path}: {error}") from error
    if options.given() & SELECTION - found.takes:
        dataset = dataset[options.frames]
    if not len(dataset) and options.given() & SELECTION:
        raise FfptError(f"{path} has no frames from {options.first} on")
    return dataset if options.level is None else dataclasses.replace(dataset, level=options.level)


def write(dataset: Dataset, path: str | os.PathLike[str], prefix: str = "") -> None:
    """Write dataset by the suffix of path: as extended XYZ (.xyz, .extxyz), as our npz (.npz), or as others have added.

    Args:
        dataset: what to write.
        path: the file; it appears whole or not at all.
        prefix: extended XYZ only: put before the names of the labels ("REF_" is what MACE reads by default).

    Raises:
        FfptError: another suffix, a prefix that the format has no use for, or the file cannot be written.
    """
    path = Path(path)
    writers = [one for one in FORMATS.all().values() if one.write is not None]
    for one in writers:
        if one.write is not None and path.suffix.lower() in one.suffixes:
            one.write(dataset, path, prefix)
            return
    known = [suffix for one in writers for suffix in one.suffixes if suffix not in (FOLDER, ANYTHING_ELSE)]
    raise FfptError(f"cannot write {path}: the suffix must be {', '.join(known[:-1])} or {known[-1]}")
