"""Extended XYZ files, read in bulk: ASE's reader, frame by frame, takes five times as long.

A frame is its number of atoms, a line of ``key=value`` pairs, and one line per atom whose columns the
key ``Properties`` names. We use ``Lattice``, ``pbc``, ``Properties`` (species or Z, pos, forces), ``energy``,
``level`` and ``group_NAME`` (Dataset.groups); everything else is skipped.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from ase.data import atomic_numbers, chemical_symbols

from ffpt_core.base.errors import FfptError
from ffpt_core.datasets.conversion import labels_differ
from ffpt_core.datasets.storage import GROUP_PREFIX

PLAIN_PROPERTIES = "species:S:1:pos:R:3"

# Numbers are read in blocks: a block's text lives beside its arrays, so its size bounds the memory.
_BLOCK_LINES = 200_000

# A quoted text that stands alone comes first, so that no "key=value" inside it is taken for one.
_PAIR = re.compile(
    r"""(?P<text>"(?:\\.|[^"\\])*"|'[^']*')
      | (?P<key>[^\s="'{}\[\]]+)\s*=\s*
        (?P<value>"(?:\\.|[^"\\])*"|'[^']*'|\{[^}]*\}|\[[^\]]*\]|[^\s"']+)""",
    re.VERBOSE,
)
_COLUMN_TYPES = {"S": "S8", "R": "f8", "I": "i8", "L": "S8"}
_TRUTH = {"T": True, "TRUE": True, "1": True, "F": False, "FALSE": False, "0": False}


@dataclass
class _Block:
    """Frames with the same columns, whose lines are not parsed yet."""

    properties: str
    first_frame: int
    counts: list[int] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)


def parse_comment(line: str) -> dict[str, str]:
    """The key=value pairs of a comment line, without their quotes or brackets."""
    pairs = {}
    for match in _PAIR.finditer(line):
        if match["key"] is None:
            continue
        value = match["value"]
        if value[0] in "\"'{[":
            value = value[1:-1].replace('\\"', '"').replace("\\\\", "\\")
        pairs[match["key"]] = value
    return pairs


def _frames(stream: IO[str], path: Path) -> Iterator[tuple[dict[str, str], list[str]]]:
    """(key-value pairs, atom lines) of each frame."""
    for frame in itertools.count():
        head = stream.readline()
        while head and not head.strip():
            head = stream.readline()
        if not head:
            return
        try:
            count = int(head)
        except ValueError:
            raise FfptError(f"{path}: frame {frame}: expected a number of atoms, found {head.strip()[:40]!r}") from None
        comment = stream.readline()
        lines = list(itertools.islice(stream, max(count, 0)))
        if len(lines) < count or count < 1:
            raise FfptError(f"{path}: frame {frame} is cut off: {count} atoms announced, {len(lines)} found")
        yield parse_comment(comment), lines


def _columns(properties: str, path: Path, frame: int) -> list[tuple[str, str, int]]:
    """(name, numpy type, width) of each column group of a Properties value."""
    parts = properties.split(":")
    try:
        if len(parts) % 3:
            raise ValueError
        return [(n, _COLUMN_TYPES[t], int(w)) for n, t, w in zip(parts[::3], parts[1::3], parts[2::3], strict=True)]
    except (KeyError, ValueError):
        raise FfptError(f"{path}: frame {frame}: cannot read Properties={properties}") from None


def _frame_of_row(block: _Block, row: int) -> int:
    return block.first_frame + int(np.searchsorted(np.cumsum(block.counts), row, side="right"))


def _table(lines: list[str], kinds: list[tuple[str, str, tuple[int]]]) -> np.ndarray:
    """Atom lines as a structured array; ValueError where one does not fit."""
    if any(map(str.isspace, lines)):
        raise ValueError("an empty line, which numpy would skip")
    return np.loadtxt(lines, dtype=kinds, comments=None, ndmin=1, encoding="utf-8")


def _first_unreadable(lines: list[str], kinds: list[tuple[str, str, tuple[int]]]) -> int:
    """The row of the first line that makes _table fail, by bisection: numpy's messages count rows in two ways."""
    low, high = 0, len(lines)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            _table(lines[low:middle], kinds)
            low = middle
        except ValueError:
            high = middle
    return low


@dataclass
class _Parsed:
    """The atoms of a block."""

    first_frame: int
    numbers: np.ndarray
    positions: np.ndarray
    forces: np.ndarray | None


def _parse(block: _Block, forces_keys: tuple[str, ...], path: Path) -> _Parsed:
    columns = _columns(block.properties, path, block.first_frame)
    names = [name for name, _, _ in columns]
    species = next((name for name in ("species", "Z", "numbers") if name in names), None)
    forces = next((name for name in forces_keys if name in names), None)
    if species is None or "pos" not in names:
        raise FfptError(f"{path}: frame {block.first_frame}: Properties={block.properties} lacks species or pos")
    # As many fields as columns, each under a name of its own: a file may name a column twice.
    kinds = [(f"{index}", kind, (width,)) for index, (_, kind, width) in enumerate(columns)]
    for name in ("pos", forces):
        if name is not None and columns[names.index(name)][1:] != ("f8", 3):
            raise FfptError(f"{path}: frame {block.first_frame}: {name} must be three real numbers per atom")
    try:
        table = _table(block.lines, kinds)
    except ValueError as error:
        frame = _frame_of_row(block, _first_unreadable(block.lines, kinds))
        raise FfptError(f"{path}: frame {frame}: the atom lines do not fit Properties={block.properties}") from error

    def column(name: str) -> np.ndarray:
        return np.ascontiguousarray(table[f"{names.index(name)}"])

    return _Parsed(
        block.first_frame,
        _numbers(column(species)[:, 0], block, path),
        column("pos"),
        None if forces is None else column(forces),
    )


def _numbers(species: np.ndarray, block: _Block, path: Path) -> np.ndarray:
    """Atomic numbers from a column of symbols or numbers."""
    if species.dtype.kind == "i":
        return species.astype(np.int64)
    # Eight bytes sort fast as one integer; as text they do not.
    codes, inverse = np.unique(np.ascontiguousarray(species).view(np.int64), return_inverse=True)
    known = []
    for code, name in zip(codes, codes.view("S8"), strict=True):
        symbol = name.decode("utf-8", "replace")
        number = int(symbol) if symbol.isdecimal() else atomic_numbers.get(symbol.capitalize(), 0)
        if not 0 < number < len(chemical_symbols):
            frame = _frame_of_row(block, int(np.flatnonzero(species.view(np.int64) == code)[0]))
            raise FfptError(f"{path}: frame {frame}: unknown element {symbol!r}")
        known.append(number)
    return np.array(known, dtype=np.int64)[inverse.reshape(-1)]


def _cell(pairs: dict[str, str], path: Path, frame: int) -> tuple[np.ndarray, np.ndarray]:
    """Cell vectors (3, 3) as rows and periodicity (3,) from a comment; a lattice without pbc is periodic."""
    cell, pbc = np.zeros((3, 3)), np.zeros(3, dtype=bool)
    try:
        if "Lattice" in pairs:
            cell = np.array([float(x) for x in pairs["Lattice"].replace(",", " ").split()]).reshape(3, 3)
            pbc[:] = True
        if "pbc" in pairs:
            pbc = np.array([_TRUTH[word.upper()] for word in pairs["pbc"].replace(",", " ").split()]).reshape(3)
    except (ValueError, KeyError):
        found = f"Lattice={pairs.get('Lattice', '')!r} pbc={pairs.get('pbc', '')!r}"
        raise FfptError(f"{path}: frame {frame}: a lattice is nine numbers and pbc three of T or F; {found}") from None
    return cell, pbc


def read_extxyz(
    path: str | os.PathLike[str], energy_key: str | None = None, forces_key: str | None = None
) -> tuple[dict[str, Any], str, dict[str, list[str]]]:
    """The frames of an extended XYZ file, in the units of the file.

    Args:
        path: the file.
        energy_key: key of the energies; without it, REF_energy where there is one, else energy.
        forces_key: column of the forces; without it, REF_forces where there is one, else forces.

    Returns:
        The arrays of a Dataset, the level of theory it names ("" = none), and, for labels that were not
        found, the names in the first frame under "keys" and "columns".

    Raises:
        FfptError: no such file, a line that cannot be read, or labels on some frames only (naming the frame).
    """
    path = Path(path)
    energy_keys = ("REF_energy", "energy") if energy_key is None else (energy_key,)
    forces_keys = ("REF_forces", "forces") if forces_key is None else (forces_key,)
    blocks: list[_Parsed] = []
    counts: list[int] = []
    energies: list[float | None] = []
    cells, pbcs, levels = [], [], set()
    groups: dict[str, dict[int, str]] = {}
    seen: dict[str, list[str]] = {}
    block = _Block(PLAIN_PROPERTIES, 0)
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            for frame, (pairs, lines) in enumerate(_frames(stream, path)):
                properties = pairs.pop("Properties", PLAIN_PROPERTIES)
                if frame == 0:
                    seen = {"keys": list(pairs), "columns": properties.split(":")[::3]}
                if block.lines and (properties != block.properties or len(block.lines) > _BLOCK_LINES):
                    blocks.append(_parse(block, forces_keys, path))
                    block = _Block(properties, frame)
                block.properties = properties
                block.counts.append(len(lines))
                block.lines += lines
                counts.append(len(lines))
                energies.append(_energy(pairs, energy_keys, path, frame))
                cell, pbc = _cell(pairs, path, frame)
                cells.append(cell)
                pbcs.append(pbc)
                levels.add(pairs.get("level", ""))
                for key in pairs:
                    if key.startswith(GROUP_PREFIX):
                        groups.setdefault(key.removeprefix(GROUP_PREFIX), {})[frame] = pairs[key]
    except OSError as error:
        raise FfptError(f"cannot read {path}: {error.strerror or error}") from error
    if not counts:
        raise FfptError(f"{path} holds no frames")
    blocks.append(_parse(block, forces_keys, path))
    arrays = _join(blocks, counts, energies, path)
    arrays |= {"cells": np.array(cells), "pbc": np.array(pbcs)}
    every = range(len(counts))
    arrays["groups"] = {name: [labels.get(frame, "") for frame in every] for name, labels in groups.items()}
    return arrays, levels.pop() if len(levels) == 1 else "", seen


def _energy(pairs: dict[str, str], keys: tuple[str, ...], path: Path, frame: int) -> float | None:
    text = next((pairs[key] for key in keys if key in pairs), None)
    try:
        return None if text is None else float(text)
    except ValueError:
        raise FfptError(f"{path}: frame {frame}: the energy is not a number: {text!r}") from None


def _join(blocks: list[_Parsed], counts: list[int], energies: list[float | None], path: Path) -> dict[str, Any]:
    """One set of arrays; labels must stand on all frames or on none."""
    for index, energy in enumerate(energies):
        if (energy is None) != (energies[0] is None):
            raise FfptError(f"{path}: {labels_differ('energy', index, energy is not None, 'frame')}")
    forces: list[Any] = [block.forces for block in blocks]
    for block in blocks:
        if (block.forces is None) != (forces[0] is None):
            raise FfptError(f"{path}: {labels_differ('forces', block.first_frame, block.forces is not None, 'frame')}")
    return {
        "numbers": np.concatenate([block.numbers for block in blocks]),
        "offsets": np.concatenate([[0], np.cumsum(counts)]),
        "positions": np.concatenate([block.positions for block in blocks]),
        "energies": None if energies[0] is None else np.array(energies, dtype=float),
        "forces": None if forces[0] is None else np.concatenate(forces),
    }
