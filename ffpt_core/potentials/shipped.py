"""Potentials that come with ffpt, or with a package that adds to it: by name, fetched once, checked by their hash."""

from __future__ import annotations

from pathlib import Path

import pooch
from pydantic import BaseModel, ConfigDict, Field

from ffpt_core.base.errors import FfptError
from ffpt_core.base.registry import Registry


class ShippedPotential(BaseModel):
    """What is known of a potential before it is there."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    description: str = Field(description="one line for people: molecules, what it is good for")
    level: str = Field(description="level of theory of its labels")
    elements: tuple[int, ...] = Field(description="atomic numbers")
    licence: str
    source: str = Field(description="address of the file: https://, or a path of the package that ships it")
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


SHIPPED: Registry[ShippedPotential] = Registry("ffpt.shipped_potentials", "potential", {})
"""The records by name. ffpt ships none yet; its built-in teachers are in ffpt_core.teachers."""


def fetch_shipped(name: str) -> Path:
    """The file of a potential, downloaded into the cache folder if it is not there yet.

    Raises:
        FfptError: no such potential; no network; a file that is not the one of the record.
    """
    record = SHIPPED.get(name)
    if not record.source.startswith(("http://", "https://")):
        path = Path(record.source)
        if not path.is_file() or pooch.file_hash(str(path)) != record.sha256:
            raise FfptError(f"the potential {name} should be {path}, which is missing or another file")
        return path
    try:
        return Path(pooch.retrieve(record.source, record.sha256, f"{name}.pt", pooch.os_cache("ffpt") / "potentials"))
    except (OSError, ValueError) as error:
        raise FfptError(f"cannot fetch the potential {name} from {record.source}: {error}") from error
