"""Every registered analysis: a verb that writes its file, a table that a page can show, a section in the documents."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
import typer

from ffpt_core.analysis.registry import ANALYSES
from ffpt_core.base.results import Stage
from ffpt_core.cli.main import make_app

DOCUMENT = (Path(__file__).parents[2] / "docs" / "analysis.md").read_text()


@pytest.mark.parametrize("name", ANALYSES.names())
def test_an_analysis_is_whole(name: str) -> None:
    analysis = ANALYSES.get(name)
    verbs = typer.main.get_command(make_app()).commands
    assert name in verbs["analyze"].commands or name in verbs
    assert analysis.file == f"{name}.json"
    assert analysis.stage in get_args(Stage)
    assert analysis.pictures
    assert all(picture.endswith(".png") and caption for picture, caption in analysis.pictures)


@pytest.mark.parametrize("name", ANALYSES.names())
def test_an_analysis_refuses_what_it_did_not_write(name: str) -> None:
    """As a page relies on: one of the errors that it takes for another content, and no other."""
    for content in ({"something": "else"}, [1, 2]):
        with pytest.raises((KeyError, TypeError, IndexError, AttributeError)):
            ANALYSES.get(name).table(content)
