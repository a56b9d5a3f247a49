"""What a reader of frames is told where a file does not say it itself: units, keys, level of theory, which frames.

One record for all: ``ffpt_core.datasets.read``, the data section of a training configuration, and the options of the
``ffpt`` command.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pydantic
from pydantic import BaseModel, ConfigDict, Field

from ffpt_core.base.errors import FfptError
from ffpt_core.base.units import ENERGY_UNITS, LENGTH_UNITS

_SPELLINGS = {
    "kcal": "kcal/mol",
    "kcal mol-1": "kcal/mol",
    "kj": "kJ/mol",
    "kj mol-1": "kJ/mol",
    "ha": "hartree",
    "eh": "hartree",
    "electronvolt": "eV",
    "a": "Angstrom",
    "ang": "Angstrom",
    "\u00e5": "Angstrom",
    "angstroms": "Angstrom",
    "nanometer": "nm",
    "nanometre": "nm",
    "a0": "bohr",
}


class ReadOptions(BaseModel):
    """How a file of frames is read. Every field may be left out; what a format has no use for is refused by read.

    Raises:
        pydantic.ValidationError: an unknown field, or a value of another type. See options_from for an FfptError.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: str | None = Field(None, description="data format by name, where the suffix does not tell it")
    energy_unit: str | None = Field(None, description="unit of the energies, where the file does not say it")
    length_unit: str | None = Field(None, description="unit of the lengths, where the file does not say it")
    level: str | None = Field(None, description="level of theory of the labels, in place of what the file says")
    energy_key: str | None = Field(None, description="extended XYZ: the key of the energies")
    forces_key: str | None = Field(None, description="extended XYZ: the column of the forces")
    topology: Path | None = Field(None, description="PDB file (or other) with the atoms of a trajectory")
    first: int = Field(0, ge=0, description="frames to leave out at the start (of each replica)")
    last: int | None = Field(None, gt=0, description="read no frames behind this one, counted from 1")
    stride: int = Field(1, gt=0, description="read one frame out of so many (of each replica)")

    @property
    def frames(self) -> slice:
        """Which frames to read."""
        return slice(self.first, self.last, self.stride)

    def given(self) -> set[str]:
        """The names of the fields that differ from their defaults."""
        fields = ReadOptions.model_fields.items()
        return {name for name, field in fields if getattr(self, name) != field.default}

    def scales(self, energy: str = "eV", length: str = "Angstrom") -> tuple[float, float]:
        """The sizes in eV and Angstrom of the units asked for, or else of these.

        Raises:
            FfptError: an unknown unit; the message lists the known ones.
        """
        return (
            unit_factor(self.energy_unit or energy, ENERGY_UNITS, "energy"),
            unit_factor(self.length_unit or length, LENGTH_UNITS, "length"),
        )


def options_from(options: ReadOptions | None, changes: dict[str, Any]) -> ReadOptions:
    """Options with some of their fields changed.

    Args:
        options: to start from; those of no wishes when None.
        changes: values by field.

    Raises:
        TypeError: there is no such field.
        FfptError: a value that makes no sense, named in the message.
    """
    unknown = [name for name in changes if name not in ReadOptions.model_fields]
    if unknown:
        raise TypeError(f"read() takes {', '.join(ReadOptions.model_fields)}; not {', '.join(unknown)}")
    kept = {} if options is None else {name: getattr(options, name) for name in ReadOptions.model_fields}
    try:
        return ReadOptions(**(kept | changes))
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        message = f"{'.'.join(map(str, first['loc']))}: {first['msg'][0].lower()}{first['msg'][1:]}"
        raise FfptError(f"{message}, not {first['input']!r}") from error


def unit_factor(name: str, units: dict[str, float], what: str) -> float:
    """The size of the unit called name, which may be spelt in other common ways.

    Args:
        name: e.g. "kcal/mol", "Ang".
        units: ENERGY_UNITS or LENGTH_UNITS.
        what: "energy" or "length", for the message.

    Raises:
        FfptError: an unknown unit; the message lists the known ones.
    """
    known = {unit.lower(): factor for unit, factor in units.items()}
    plain = name.strip().lower()
    factor = known.get(plain, known.get(_SPELLINGS.get(plain, "").lower()))
    if factor is None:
        raise FfptError(f"unknown {what} unit {name!r}; known: {', '.join(units)}")
    return factor


def scaled(arrays: dict[str, Any], energy: float, length: float) -> dict[str, Any]:
    """The arrays of a Dataset with energies, forces and lengths multiplied into eV and Angstrom.

    Args:
        arrays: by field of Dataset; what is not there, or None, is left.
        energy: size of the energy unit in eV.
        length: size of the length unit in Angstrom.
    """
    factors = {"positions": length, "cells": length, "energies": energy, "forces": energy / length}
    changed = {
        name: arrays[name] * factor
        for name, factor in factors.items()
        if arrays.get(name) is not None and factor != 1.0
    }
    return arrays | changed
