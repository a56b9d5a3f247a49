"""What a data format is, and the table of those there are.

To add one: a module with a Format, and a line in FORMATS (or, in another package, an entry point of the group
``ffpt.data_formats`` that names the Format).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ffpt_core.base.errors import FfptWarning
from ffpt_core.base.registry import Registry
from ffpt_core.datasets.dataset import Dataset
from ffpt_core.datasets.options import ReadOptions

FOLDER = "/"
"""Stands for folders among suffixes."""

ANYTHING_ELSE = "*"
"""Stands among suffixes for all files whose suffix no format names."""

SELECTION = frozenset({"first", "last", "stride"})
"""Options that say which frames are read; they are for every format."""


class DatasetWarning(FfptWarning):
    """Something about a data set file that its reader should know and that is no error."""


@dataclass(frozen=True)
class Format:
    """How files of one kind are told from others, read and written.

    Attributes:
        name: what users call it.
        what: what its files are, or the keys that they hold, for messages.
        suffixes: of its files, in lower case with their dot; FOLDER and ANYTHING_ELSE have meanings of their own.
        read: the frames of a file in eV and Angstrom, by the options that it takes. It raises FfptError, and gives
            DatasetWarning with a stacklevel that points to the caller of ``ffpt_core.datasets.read``.
        sniff: whether a file with one of the suffixes is of this format; asked where several formats have the suffix.
            It raises FfptError where a file is of no format with that suffix at all (a damaged archive).
        write: write a data set to a file, whole or not at all, with a prefix before the names of the labels ("" where
            a format has none); None where the format is only read.
        takes: fields of ReadOptions that have a meaning here. The level of theory, the name of the format and, unless
            they are listed, the selection of frames are seen to by ``read`` itself.
    """

    name: str
    what: str
    suffixes: tuple[str, ...]
    read: Callable[[Path, ReadOptions], Dataset]
    sniff: Callable[[Path], bool]
    write: Callable[[Dataset, Path, str], None] | None = None
    takes: frozenset[str] = frozenset()


FORMATS: Registry[Format] = Registry(
    "ffpt.data_formats",
    "data format",
    {
        name: f"ffpt_core.datasets.formats.{module}:FORMAT"
        for name, module in {
            "extxyz": "extxyz",
            "npz": "npz",
            "sgdml": "sgdml",
            "combustion": "combustion",
            "fu-water": "fu_water",
            "run": "run_folder",
            "trajectory": "trajectories",
            "ase": "ase_files",
        }.items()
    },
)
"""The data formats by name."""
