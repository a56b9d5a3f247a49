"""CONTRIBUTING.md knows every table that things can be added to. That its paths are there, test_documents sees."""

from __future__ import annotations

import re

import pytest
from documents import ROOT, SOURCES

TEXT = (ROOT / "CONTRIBUTING.md").read_text()
SOURCE = "\n".join((ROOT / path).read_text() for path in SOURCES)
REGISTRIES = re.findall(r"(?m)^([A-Z]+): Registry\[.*\] = Registry\(\s*\"(ffpt\.[a-z_]+)\"", SOURCE)


@pytest.mark.parametrize(("table", "group"), REGISTRIES)
def test_every_registry_is_explained(table: str, group: str) -> None:
    assert f"`{group}`" in TEXT
    assert f"`{table}`" in TEXT or table == "EXECUTORS"


def test_every_group_of_entry_points_is_one_of_ours() -> None:
    assert set(re.findall(r"`(ffpt\.[a-z_]+)`", TEXT)) == {group for _, group in REGISTRIES} | {"ffpt.commands"}


@pytest.mark.parametrize("thing", ["network", "potential", "PLUMED action", "analysis", "teacher", "data format"])
def test_every_checklist_is_whole(thing: str) -> None:
    """What to write, the line that registers it, the tests, the documents."""
    section = re.search(rf"(?ms)^## An? {thing}\n(.*?)(?=^## )", TEXT)
    assert section is not None
    assert "Tests: `tests/" in section[1] or "Tests: a" in section[1]
    assert "Documents: " in section[1]
    assert re.search(r"`tests/[\w/]+\.py`", section[1])
