"""Whether a trajectory file ends where a frame ends.

The readers of mdtraj drop a last frame that is cut off without a word. Here the lengths of the frames are summed up
from what the files say about themselves: the header of a DCD file (CHARMM's, as OpenMM, NAMD and mdtraj write it) and
the head of each frame of XTC and TRR files (GROMACS, XDR: big-endian, in units of four bytes).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from ffpt_core.base.errors import FfptError

_XTC_MAGICS = {1995: 4, 2023: 8}
"""First number of an XTC frame, and bytes of the length of its compressed coordinates."""

_TRR_MAGIC = 1993
_RAW_ATOMS = 9
"""Up to so many atoms XTC keeps coordinates as they are."""


class _CutOff(Exception):
    """The file ends within a frame."""


def check_end(path: Path) -> None:
    """Refuse a DCD, XTC or TRR file whose last frame is cut off; other formats are left to their readers.

    Raises:
        FfptError: the file is cut off, or its frames are not what its format says; naming the frame.
    """
    count = {".dcd": _dcd_frames, ".xtc": _xdr_frames, ".trr": _xdr_frames}.get(path.suffix.lower())
    if count is None:
        return
    with open(path, "rb") as stream:
        count(stream, path)


def _cut_off(path: Path, frame: int, announced: int | None = None) -> FfptError:
    said = "" if announced is None else f" of {announced} announced"
    return FfptError(f"{path} is cut off in frame {frame}{said}: copy it again, or cut it back to its whole frames")


def _exactly(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise _CutOff
    return data


def _dcd_frames(stream: BinaryIO, path: Path) -> None:
    """Compare the length of a DCD file with what its header says: records of bytes, their length before and after."""
    head = stream.read(92)
    if len(head) >= 8 and head[4:8] != b"CORD":
        raise FfptError(f"cannot read the trajectory {path}: it is not a DCD file")
    try:
        if len(head) < 92:
            raise _CutOff
        order = "<" if struct.unpack("<i", head[:4])[0] == 84 else ">"
        control = struct.unpack(f"{order}20i", head[8:88])
        (title,) = struct.unpack(f"{order}i", _exactly(stream, 4))
        stream.seek(title + 4, os.SEEK_CUR)
        _, atoms, _ = struct.unpack(f"{order}3i", _exactly(stream, 12))
    except _CutOff:
        raise _cut_off(path, 0) from None
    announced, fixed, has_cell, has_fourth, charmm = (control[index] for index in (0, 8, 10, 11, 19))
    start = stream.tell() + (8 + 4 * (atoms - fixed) if fixed else 0)
    records = 4 if charmm and has_fourth else 3
    frame = records * (8 + 4 * (atoms - fixed)) + (56 if charmm and has_cell else 0)
    # The first frame has the atoms that are fixed as well.
    body = os.fstat(stream.fileno()).st_size - start - records * 4 * fixed
    if body % frame or body < announced * frame:
        raise _cut_off(path, max(body, 0) // frame, announced or None)


def _xdr_frames(stream: BinaryIO, path: Path) -> None:
    """Walk over the frames of an XTC or TRR file."""
    skip: Callable[[BinaryIO, int], None]
    size, frame = os.fstat(stream.fileno()).st_size, 0
    try:
        while stream.tell() < size:
            (magic,) = struct.unpack(">i", _exactly(stream, 4))
            if magic != _TRR_MAGIC and magic not in _XTC_MAGICS:
                raise FfptError(f"{path} is damaged: frame {frame} does not begin as one of its format")
            skip = _skip_trr if magic == _TRR_MAGIC else _skip_xtc
            skip(stream, magic)
            if stream.tell() > size:
                raise _CutOff
            frame += 1
    except _CutOff:
        raise _cut_off(path, frame) from None


def _skip_xtc(stream: BinaryIO, magic: int) -> None:
    """To the end of an XTC frame, from behind its first number."""
    # Atoms, step, time, nine numbers of the box, atoms again.
    atoms = struct.unpack(">i", _exactly(stream, 52)[48:])[0]
    if atoms <= _RAW_ATOMS:
        stream.seek(12 * atoms, os.SEEK_CUR)
        return
    # Precision, smallest and largest coordinates, index of the small ones.
    _exactly(stream, 32)
    width = _XTC_MAGICS[magic]
    length = int.from_bytes(_exactly(stream, width), "big")
    stream.seek(-(-length // 4) * 4, os.SEEK_CUR)


def _skip_trr(stream: BinaryIO, magic: int) -> None:
    """To the end of a TRR frame, from behind its first number."""
    _, text = struct.unpack(">2i", _exactly(stream, 8))
    _exactly(stream, -(-text // 4) * 4)
    sizes = struct.unpack(">10i", _exactly(stream, 40))
    atoms = struct.unpack(">i", _exactly(stream, 12)[:4])[0]
    # Step and number of energies were among these twelve bytes; time and lambda follow in the precision of the rest.
    box, coordinates = sizes[2], sum(sizes[7:])
    vectors = sum(value > 0 for value in sizes[7:])
    real = box // 9 if box else coordinates // (3 * atoms * vectors) if atoms * vectors else 4
    stream.seek(2 * real + sum(sizes), os.SEEK_CUR)
