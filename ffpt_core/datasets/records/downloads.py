"""Downloads of public data sets into a cache folder, through pooch.

A file is downloaded under a temporary name and moved to its own once its length, its kind and its checksum
are right, so that a file that is there is whole. Where no checksum is published, the SHA-256 of the first
download is written beside the file and every later use is compared with it (trust on first use).
"""

from __future__ import annotations

import contextlib
import datetime
import logging
import os
import warnings
import zipfile
from pathlib import Path
from urllib.parse import urlsplit

from ffpt_core.base.errors import FfptError
from ffpt_core.base.files import atomic_write, read_json, write_json
from ffpt_core.base.progress import progress_bar
from ffpt_core.datasets.dataset import Dataset
from ffpt_core.datasets.files import read
from ffpt_core.datasets.formats.format import DatasetWarning
from ffpt_core.datasets.records.public import DataRecord, find_record

FOLDER_VARIABLE = "FFPT_DATA"
TIMEOUT_S = (10.0, 60.0)
_CHUNK = 1 << 18
_MEGABYTE = 1e6
_MAGICS = (b"PK\x03\x04", b"\x93NUM")
"""How files begin: zip and npz, npy."""


class _Refused(Exception):
    """What a server sent is not the file; the message says why."""


def cache_folder() -> Path:
    """Where downloads are kept: the environment variable FFPT_DATA, else the user's cache folder."""
    import pooch

    return Path(os.environ.get(FOLDER_VARIABLE) or pooch.os_cache("ffpt")).expanduser()


def _receipt(path: Path) -> Path:
    """The JSON beside a downloaded file: where it came from, and its SHA-256."""
    return path.with_name(f"{path.name}.json")


def _recorded_checksum(path: Path) -> str | None:
    """The checksum of the first download, if there was one."""
    receipt = _receipt(path)
    if not receipt.exists():
        return None
    record = read_json(receipt)
    if not isinstance(record, dict) or not isinstance(record.get("sha256"), str):
        raise FfptError(f"{receipt} is damaged: delete it to trust {path.name} as it is now")
    return f"sha256:{record['sha256']}"


def _download(url: str, output_file: str, pooch: object) -> None:
    """Fetch url into output_file; pooch's downloader interface.

    Raises:
        _Refused: fewer bytes than announced, or not a zip, npz or npy file (an error page with status 200, say).
        requests.RequestException: no connection, or an error status.
    """
    import requests

    headers = {"Accept-Encoding": "identity"}
    with requests.get(url, stream=True, timeout=TIMEOUT_S, headers=headers) as response:
        response.raise_for_status()
        encoded = "Content-Encoding" in response.headers
        announced = 0 if encoded else int(response.headers.get("Content-Length", 0))
        bar = progress_bar(f"Downloading from {urlsplit(url).hostname}", announced / _MEGABYTE, unit="MB")
        received, start = 0, b""
        with open(output_file, "wb") as stream, bar if announced else contextlib.nullcontext() as advance:
            for chunk in response.iter_content(_CHUNK):
                start = start or chunk[:4]
                received += stream.write(chunk)
                if advance is not None:
                    advance(len(chunk) / _MEGABYTE)
    if announced and received != announced:
        raise _Refused(f"{received:,} of {announced:,} bytes arrived")
    if start not in _MAGICS:
        raise _Refused("it sent something else than a data file")


def _attempt(record: DataRecord, url: str, path: Path, checksum: str | None) -> str | None:
    """Download from one address; None when the file is in place, else why not."""
    import pooch
    import requests

    try:
        pooch.retrieve(url, known_hash=checksum, fname=path.name, path=path.parent, downloader=_download)
        # pooch's temporary file is private, and the folder may be shared by a group.
        path.chmod(0o644)
    except requests.Timeout:
        return "no answer in time"
    except requests.exceptions.ChunkedEncodingError:
        return "the transfer was cut off"
    except requests.ConnectionError:
        return "no connection"
    except requests.RequestException as error:
        return str(error)
    except _Refused as error:
        return str(error)
    except OSError as error:
        raise FfptError(f"cannot write {path}: {error.strerror or error}") from error
    except ValueError as error:
        # pooch's ValueError for a wrong checksum runs over several lines.
        if "hash" not in str(error):
            return str(error)
        source = "published" if record.checksum else f"recorded in {_receipt(path)} at the first download"
        return f"its checksum is not the one {source}, {checksum}"
    return None


def _download_from_any(record: DataRecord, path: Path, checksum: str | None) -> str:
    """Download from the first address that delivers; returns it."""
    import pooch

    failures = []
    logger = pooch.get_logger()
    level = logger.level
    # pooch announces each download and suggests checksums; we say both in our own words.
    logger.setLevel(logging.WARNING)
    try:
        for url in record.urls:
            failure = _attempt(record, url, path, checksum)
            if failure is None:
                return url
            failures.append(f"{urlsplit(url).hostname}: {failure}")
    finally:
        logger.setLevel(level)
    damaged = f" ({path} is there, but its checksum is wrong)" if path.exists() else ""
    raise FfptError(
        f"cannot download {record.name}{damaged}: {'; '.join(failures)}; "
        f"without a network, fetch {record.urls[0]} elsewhere and put it at {path}"
    )


def _ensure(record: DataRecord, path: Path) -> None:
    """Make path the file of record, verified."""
    import pooch

    checksum = record.checksum or _recorded_checksum(path)
    source = "found in the folder"
    if path.exists() and checksum is not None:
        algorithm, expected = checksum.split(":")
        if pooch.file_hash(str(path), alg=algorithm) == expected:
            return
    if not path.exists() or checksum is not None:
        source = _download_from_any(record, path, checksum)
    digest = pooch.file_hash(str(path), alg="sha256")
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    write_json(_receipt(path), {"sha256": digest, "bytes": path.stat().st_size, "source": source, "recorded": now})
    if checksum is None:
        message = (
            f"no checksum is published for {record.filename}: its SHA-256 {digest} is taken on trust, and recorded "
            f"in {_receipt(path)}"
        )
        warnings.warn(message, DatasetWarning, stacklevel=4)


def _unpack(archive: Path, member: str) -> Path:
    """Take one file out of a zip archive, beside it."""
    target = archive.with_name(member)
    try:
        with zipfile.ZipFile(archive) as bundle:
            names = [n for n in bundle.namelist() if Path(n).name == member and "__MACOSX" not in n]
            if len(names) != 1:
                raise FfptError(f"{archive} holds {len(names)} files called {member}, one was expected")
            data = bundle.read(names[0])
    except (zipfile.BadZipFile, OSError) as error:
        raise FfptError(f"cannot unpack {archive}: {error}") from error
    with atomic_write(target, "wb") as stream:
        stream.write(data)
    return target


def fetch(record: DataRecord | str, folder: str | os.PathLike[str] | None = None) -> Path:
    """The verified file of a data set, downloaded unless it is there already.

    Args:
        record: a name in ffpt_core.datasets.records.public.RECORDS, or a record.
        folder: where to keep it; cache_folder() when None.

    Returns:
        The path of the file.

    Raises:
        FfptError: an unknown name; no connection; a transfer that was cut off; a wrong checksum; a folder that
            cannot be written to. The message names each server that was tried and why it failed.
    """
    record = find_record(record) if isinstance(record, str) else record
    path = (Path(folder) if folder is not None else cache_folder()).resolve() / record.filename
    _ensure(record, path)
    return path if record.member is None else _unpack(path, record.member)


def fetch_dataset(record: DataRecord | str, folder: str | os.PathLike[str] | None = None) -> Dataset:
    """A public data set by name, in eV and Angstrom; see fetch."""
    record = find_record(record) if isinstance(record, str) else record
    path = fetch(record, folder)
    if record.convert:
        raise FfptError(f"{path} is downloaded, but is never loaded as it is ({record.note}); run: {record.convert}")
    return read(path, energy_unit=record.energy_unit, length_unit=record.length_unit, level=record.level)
