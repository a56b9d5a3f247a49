"""Download of the hydrogen combustion benchmark's files; see ffpt_core.datasets.records.combustion for what is in them.

Its source publishes no checksums: the SHA-256 of the first download is recorded beside each file and compared ever
after (ffpt_core.datasets.records.downloads); a file with another number of frames than published is refused.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Collection
from pathlib import Path

from ffpt_core.base.errors import FfptError
from ffpt_core.base.progress import progress_bar
from ffpt_core.datasets.formats.combustion import LEVEL
from ffpt_core.datasets.formats.format import DatasetWarning
from ffpt_core.datasets.records.combustion import REACTIONS, SOURCES
from ffpt_core.datasets.records.downloads import cache_folder, fetch
from ffpt_core.datasets.records.public import DataRecord
from ffpt_core.datasets.storage import load_arrays

ADDRESS = "https://raw.githubusercontent.com/THGLab/H2COMBUSTION_DATA/HEAD/"
PAPER = "Guan et al., Sci. Data 9, 215 (2022), doi 10.1038/s41597-022-01330-5; data: doi 10.34974/0jr1-pb24"
FOLDER = "h2combustion"

# Frames of each published file: (irc, nm, aimd); 0: there is none, None: not published.
_FRAMES = {
    "01": (58, 3248, 10_000), "02": (29, 1624, 10_000), "03": (363, None, 10_000), "04": (51, 4284, 10_000),
    "05": (53, 0, 0), "06a": (71, 0, 0), "06b": (71, 0, 0), "07": (71, 0, 0), "08": (137, 5753, 10_000),
    "09": (60, 2520, 10_000), "10": (58, 4872, 10_000), "11": (94, 7896, 10_000), "12": (100, 8400, 19_953),
    "13": (51, 6426, 10_000), "14": (71, 11_928, 10_000), "15": (105, 8820, 10_000), "16": (81, 10_206, 10_000),
    "17": (58, 7308, 10_000), "18": (55, 6930, 10_000), "19": (74, 12_432, 10_000),
}  # fmt: skip


def file_record(stem: str) -> DataRecord | None:
    """What to download as stem, such as "09_irc"; None where the benchmark has no such file."""
    reaction, _, source = stem.partition("_")
    frames = _FRAMES[reaction][SOURCES.index(source)]
    if frames == 0:
        return None
    return DataRecord(
        name=f"h2combustion {stem}",
        title=f"Hydrogen combustion, reaction {reaction}, {source}",
        filename=f"{stem}.npz",
        urls=(f"{ADDRESS}{stem}.npz",),
        checksum=None,
        frames=frames,
        level=LEVEL,
        citation=PAPER,
        licence="not stated by its source",
    )


def fetch_combustion(
    reactions: Collection[str] = REACTIONS,
    sources: Collection[str] = SOURCES,
    folder: str | os.PathLike[str] | None = None,
) -> Path:
    """The folder with the files of the benchmark, each downloaded unless it is there already.

    Args:
        reactions: names in the files.
        sources: of irc, nm, aimd.
        folder: where to keep them; h2combustion in cache_folder() when None.

    Raises:
        FfptError: no connection, a wrong checksum, a file with another number of frames than published, or a folder
            that cannot be written to.
    """
    folder = Path(folder) if folder is not None else cache_folder() / FOLDER
    records = [file_record(f"{reaction}_{source}") for reaction in reactions for source in sources]
    wanted = [record for record in records if record is not None]
    trusted = 0
    with progress_bar("fetching", len(wanted), unit="files") as advance:
        for record in wanted:
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always", DatasetWarning)
                path = fetch(record, folder)
            if any(issubclass(one.category, DatasetWarning) for one in said):
                trusted += 1
                _check_frames(record, path)
            advance(1)
    if trusted:
        message = f"no checksums are published: those of {trusted} files are taken on trust and recorded in {folder}"
        warnings.warn(message, DatasetWarning, stacklevel=2)
    return folder


def _check_frames(record: DataRecord, path: Path) -> None:
    frames = len(load_arrays(path, names=("E",)).get("E", ()))
    if record.frames is not None and frames != record.frames:
        raise FfptError(f"{path} has {frames} frames, the published file has {record.frames}: delete it to try again")
