"""Where free energies come from: run folders, HILLS and COLVAR files, grids."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from ffpt_core.base.errors import FfptError
from ffpt_core.base.files import read_json
from ffpt_core.datasets.run_folders import RunFiles


@dataclass(frozen=True)
class Source:
    """The files of one metadynamics run.

    Args:
        hills: HILLS files, several of walkers that share their bias.
        colvar: COLVAR file, or None.
        temperature: K, or None where it is unknown.
    """

    hills: tuple[Path, ...]
    colvar: Path | None = None
    temperature: float | None = None

    def joined(self, other: Source) -> Source:
        """Both as walkers of one run."""
        return replace(self, hills=self.hills + other.hills)


def find_source(path: str | os.PathLike[str]) -> Source:
    """The files of a run folder (HILLS, COLVAR, run.json with the temperature), or a HILLS file alone.

    Raises:
        FfptError: there is no such thing.
    """
    path = Path(path)
    if path.is_file():
        return Source((path,))
    if not path.is_dir():
        raise FfptError(f"there is no file or folder {path}")
    # Walkers of PLUMED write HILLS.0, HILLS.1, ...
    hills = [path / "HILLS"] if (path / "HILLS").is_file() else sorted(path.glob("HILLS.[0-9]*"))
    if not hills:
        raise FfptError(f"{path} has no file HILLS: give the path of the file itself")
    colvar = path / "COLVAR" if (path / "COLVAR").is_file() else None
    run = RunFiles(path).record
    record = read_json(run) if run.is_file() else {}
    temperature = record.get("settings", {}).get("temperature") if isinstance(record, dict) else None
    return Source(tuple(hills), colvar, None if temperature is None else float(temperature))
