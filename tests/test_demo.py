"""The demonstration end to end, a minute's worth of it: every command of the method, and the page."""

from __future__ import annotations

from pathlib import Path

import pytest

from ffpt_core.cli.main import main
from ffpt_core.demos.study import RUNS
from ffpt_core.files import read_json


def test_quick_demo_writes_its_page_and_continues(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tblite")
    assert main(["demo", "aspirin", "--quick", "--output", str(tmp_path)]) == 0, capsys.readouterr().err
    page = (tmp_path / "report.html").read_text()
    for name in RUNS:
        assert name in page
    assert page.count("data:image/png;base64,") >= 6
    assert 'src="http' not in page
    report = read_json(tmp_path / "report.json")
    assert len(report["headline"]) == 4
    assert report["commands"][0] == "ffpt teacher aspirin -o teacher"
    for run in RUNS.values():
        assert read_json(tmp_path / run / "result.json")["epochs"] > 0

    before = (tmp_path / "finetuned" / "potential.pt").stat().st_mtime_ns
    (tmp_path / "report.html").unlink()
    assert main(["demo", "aspirin", "--quick", "--output", str(tmp_path)]) == 0
    assert (tmp_path / "report.html").exists()
    assert (tmp_path / "finetuned" / "potential.pt").stat().st_mtime_ns == before

    assert main(["demo", "aspirin", "--quick", "--seed", "1", "--output", str(tmp_path)]) == 2
    assert "other settings" in capsys.readouterr().err
