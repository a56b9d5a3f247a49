"""Demonstrations end to end, a minute's worth of each: every command of the method, and the page."""

from __future__ import annotations

import importlib.resources
from pathlib import Path

import pytest

from ffpt_core.base.files import read_json, write_json
from ffpt_core.cli.main import main
from ffpt_core.studies.page import write_page
from ffpt_core.studies.study import FINETUNED, FOLDERS, SCRATCH, read_study
from ffpt_core.training import read_configuration


def test_quick_demo_writes_its_page_and_continues(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tblite")
    assert main(["demo", "aspirin", "--quick", "--output", str(tmp_path)]) == 0, capsys.readouterr().err
    page = (tmp_path / "report.html").read_text()
    for name in FOLDERS:
        assert name in page
    assert page.count("data:image/png;base64,") >= 6
    assert 'src="http' not in page
    report = read_json(tmp_path / "report.json")
    assert len(report["headline"]) == 4
    assert report["commands"][0] == "ffpt teacher aspirin -o teacher"
    for run in FOLDERS.values():
        assert read_json(tmp_path / run / "result.json")["epochs"] > 0

    before = (tmp_path / "finetuned" / "potential.pt").stat().st_mtime_ns
    (tmp_path / "report.html").unlink()
    assert main(["demo", "aspirin", "--quick", "--output", str(tmp_path)]) == 0
    assert (tmp_path / "report.html").exists()
    assert (tmp_path / "finetuned" / "potential.pt").stat().st_mtime_ns == before

    assert main(["demo", "aspirin", "--quick", "--seed", "1", "--output", str(tmp_path)]) == 2
    assert "other settings" in capsys.readouterr().err


def test_quick_water_writes_its_page_whatever_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "water", "--quick", "--output", str(tmp_path)]) == 0, capsys.readouterr().err
    page = (tmp_path / "report.html").read_text()
    assert page.count("data:image/png;base64,") >= 5
    report = read_json(tmp_path / "report.json")
    sections = {section["title"]: section for section in report["sections"]}
    rehearsed = read_json(tmp_path / "settings.json")["rehearsed"]
    assert (
        read_json(tmp_path / "finetuned" / "result.json")["train_frames"]
        == read_study("water").amounts(quick=True)["n_train"]
    )
    assert any(f"--rehearse contacts.npz --n-rehearse {rehearsed}" in command for command in report["commands"])
    for run in (SCRATCH, FINETUNED):  # the same loss for both, of the options that the commands give
        loss = read_configuration(tmp_path / FOLDERS[run] / "config.yaml").loss
        assert (loss.kind, loss.energy_weight, loss.energy_delta, loss.force_delta) == ("robust", 0.05, 0.1, 0.1)
    # So little training rarely lasts long enough for g(r) and D: the page says which of them was measured.
    for title, name in (("Structure", "rdf"), ("Diffusion", "diffusion")):
        measured = (tmp_path / "analysis" / f"{name}.json").exists()
        assert sections[title]["text"].startswith("Not measured") is not measured
        assert bool(sections[title]["tables"]) is measured


def test_quick_combustion_says_what_was_seen_and_what_was_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if not (importlib.resources.files("ffpt_core.datasets") / "data" / "combustion-dft.npz").is_file():
        pytest.skip("the DFT frames are not here")
    assert main(["demo", "combustion", "--quick", "--output", str(tmp_path)]) == 0, capsys.readouterr().err
    page = (tmp_path / "report.html").read_text()
    assert page.count("data:image/png;base64,") >= 4
    species = read_json(tmp_path / "analysis" / "species.json")
    assert set(species["runs"]) == {SCRATCH, FINETUNED}
    assert species["equation"] == "H + O2 -> HO2" and species["equation"].replace(">", "&gt;") in page
    # So little training may end in a collision: only runs of 2 ps and more have a free energy, of a hill every 50 fs.
    times = {
        name: read_json(tmp_path / "metad" / FOLDERS[name] / "run.json")["replicas"][0]["time_ps"]
        for name in (SCRATCH, FINETUNED)
    }
    lasting = {name: int(round(time / 0.05, 6)) for name, time in times.items() if time >= 2.0}
    fes = tmp_path / "analysis" / "fes.json"
    surfaces = read_json(fes)["surfaces"] if fes.exists() else {}
    assert {name: one["n_hills"] for name, one in surfaces.items()} == lasting

    # Had both guards ended their runs before there were hills enough, there would be no such files.
    for name in ("fes.json", "energy.json"):
        (tmp_path / "analysis" / name).unlink(missing_ok=True)
    species["runs"][SCRATCH]["replicas"][0]["stopped"] = {"time_ps": 0.5, "reason": "two atoms collide"}
    write_json(tmp_path / "analysis" / "species.json", species)
    study = read_study("combustion")
    write_page(study, study.amounts(quick=True), tmp_path, [])
    report = read_json(tmp_path / "report.json")
    assert f"The run {SCRATCH} was stopped at 0.5 ps: two atoms collide." in report["summary"]
    assert "Not measured" in report["sections"][-1]["text"]
    assert report["headline"][-1]["value"] == "not known, the run was too short"
