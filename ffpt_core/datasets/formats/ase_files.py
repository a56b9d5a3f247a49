"""What ASE reads: its own trajectories, and the files of other programs, with the labels that their frames carry."""

from __future__ import annotations

from pathlib import Path

from ase import Atoms
from ase.io import read as ase_read
from ase.io.formats import UnknownFileTypeError, filetype

from ffpt_core.base.errors import FfptError
from ffpt_core.datasets.dataset import Dataset
from ffpt_core.datasets.formats.format import ANYTHING_ELSE, Format
from ffpt_core.datasets.options import ReadOptions


def sniff(path: Path) -> bool:
    """Whether ASE knows what the file is."""
    try:
        return path.is_file() and bool(filetype(str(path), guess=False))
    except (UnknownFileTypeError, OSError):
        return False


def read(path: Path, options: ReadOptions) -> Dataset:
    """All frames that ASE finds, in its units (eV, Angstrom).

    Raises:
        FfptError: ASE cannot read the file; labels on some frames only.
    """
    kind = "traj"
    try:
        if path.suffix.lower() != ".traj":
            kind = filetype(str(path), guess=False)
        frames = ase_read(path, index=":", format=kind)
    # The readers of ASE raise whatever their parsing meets, AttributeError and AssertionError included.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise FfptError(f"cannot read {path} as what ASE calls {kind}: {reason}") from error
    if not frames:
        raise FfptError(f"{path} holds no frames")
    return Dataset.from_atoms([frames] if isinstance(frames, Atoms) else frames)


FORMAT = Format(
    name="ase",
    what="what ASE reads",
    suffixes=(".traj", ANYTHING_ELSE),
    read=read,
    sniff=sniff,
)
