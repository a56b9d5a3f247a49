"""Studies as data: each file is whole, its commands are commands, its page shows what its steps make."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
import typer

from ffpt_core.base.errors import FfptError
from ffpt_core.base.files import read_json, write_json
from ffpt_core.cli.main import make_app
from ffpt_core.report.content import FlowStep
from ffpt_core.studies.perform import commands, perform
from ffpt_core.studies.runner import Command, named_in, run_lanes
from ffpt_core.studies.study import FOLDERS, Study, read_study, study_names
from ffpt_core.studies.words import Words, labelled


@pytest.fixture(params=study_names())
def study(request: pytest.FixtureRequest) -> Study:
    return read_study(request.param)


@pytest.fixture
def lasting_runs(tmp_path: Path) -> Path:
    """A folder in which all runs went well: no step is left out."""
    for run in ("md", "metad", "nve"):
        for name in FOLDERS.values():
            replica = {"time_ps": 1000.0, "status": "finished"}
            write_json(tmp_path / run / name / "run.json", {"replicas": [replica]})
    return tmp_path


def all_commands(study: Study, folder: Path, quick: bool) -> list[Command]:
    words = Words(study, study.amounts(quick), folder)
    return [one for stage in study.stages for lane in stage for name in lane for one in commands(study, words, name)]


def test_studies_that_come_with_ffpt() -> None:
    assert study_names() == ["aspirin", "combustion", "water"]


@pytest.mark.parametrize("quick", [False, True])
def test_commands_are_commands_of_ffpt(study: Study, lasting_runs: Path, quick: bool) -> None:
    application = typer.main.get_command(make_app())
    for command in all_commands(study, lasting_runs, quick):
        verb: click.Command = application
        arguments = list(command.arguments)
        while isinstance(verb, click.Group):
            found = verb.get_command(click.Context(verb), arguments.pop(0))
            assert found is not None, str(command)
            verb = found
        verb.make_context("ffpt", arguments)  # raises UsageError for an option or value that is none


def test_each_step_is_run_once_after_what_it_takes(study: Study, lasting_runs: Path) -> None:
    assert sorted(name for stage in study.stages for lane in stage for name in lane) == sorted(study.steps)
    there = set() if study.frames is None else {f"{study.frames.name}-{part}.npz" for part in ("train", "test")}
    words = Words(study, study.amounts(), lasting_runs)
    for stage in study.stages:
        before = set(there)
        for lane in stage:
            seen = set(before)
            for command in (command for name in lane for command in commands(study, words, name)):
                assert set(command.takes) <= seen, f"{command.name} takes {set(command.takes) - seen}"
                seen |= set(command.makes)
            there |= seen


def test_page_shows_what_the_steps_make(study: Study, lasting_runs: Path) -> None:
    made = {file for command in all_commands(study, lasting_runs, False) for file in command.makes}
    words = Words(study, study.amounts(), lasting_runs)
    for section in study.sections:
        for variables in words.each(section.each):
            shown = [*section.figures, *section.files, *(one.file for one in section.tables if one.file)]
            files = {words.fill(file, **variables) for file in shown}
            assert files <= made | {"learning_curves.png"}, f"{section.title}: {files - made}"


def test_amounts_of_a_quick_run_are_smaller() -> None:
    study = read_study("water")
    full, quick = study.amounts(seed=3), study.amounts(quick=True, seed=3)
    assert full.keys() == quick.keys() and full["seed"] == quick["seed"] == 3
    assert quick["n_train"] < full["n_train"] and quick["molecules"] == full["molecules"]


def test_studies_of_ones_own_are_checked(tmp_path: Path) -> None:
    with pytest.raises(FfptError, match="no demo is called 'gold'; there are: aspirin, combustion, water"):
        read_study("gold")
    own = tmp_path / "own.yaml"
    with pytest.raises(FfptError, match=r"cannot read .*own\.yaml"):
        read_study(str(own))
    own.write_text("title: x\nsettings: {}\nsteps: {a: {title: t, comand: c, makes: []}}\nstages: []\n")
    with pytest.raises(FfptError, match=r"own\.yaml: steps\.a\.command: Field required"):
        read_study(str(own))
    own.write_text("a: [")
    with pytest.raises(FfptError, match="is not a YAML file"):
        read_study(str(own))


def test_words_are_filled_when_they_are_used(tmp_path: Path) -> None:
    study = Study(
        title="t",
        settings={"n": {"value": 1234, "what": "frames"}},
        words={"many": "{{ n | thousands }} of {{ json('a.json').total }}"},
        steps={},
        stages=[],
    )
    words = Words(study, study.amounts(), tmp_path)
    with pytest.raises(FfptError, match=r"cannot read .*a\.json"):
        words.fill("{{ many }}")
    write_json(tmp_path / "a.json", {"total": 5})
    assert words.fill("there are\n {{ many }} ") == "there are 1,234 of 5"
    with pytest.raises(FfptError, match="'missing' is undefined"):
        words.fill("{{ missing }}")
    assert words.holds("n > 3") and not words.holds("exists('b.json')")


def test_a_name_has_one_meaning(tmp_path: Path) -> None:
    study = Study(title="t", settings={}, words={"holes": "many"}, steps={}, stages=[])
    with pytest.raises(FfptError, match="word 'holes': the name has a meaning already"):
        Words(study, study.amounts(), tmp_path)


def test_names_of_potentials_are_quoted_for_a_shell() -> None:
    assert labelled("md/*", "from scratch", "pre-trained") == "'from scratch=md/scratch' pre-trained=md/pretrained"


def test_files_that_a_command_names() -> None:
    files = ("teacher/relaxed.xyz", "md/a/run.json", "data.npz", "md/b/run.json")
    given = ("md", "teacher", "A=md/a", "X=teacher:teacher", "--data", "data.npz", "-o", "md/b")
    assert named_in(given, files) == files[:3]


def test_nothing_is_repeated_in_vain(tmp_path: Path) -> None:
    info = Command("info", "i", ("data", "info", "frames.xyz", "-o", "info.json"), ("frames.xyz",), ("info.json",))
    frames = "2\nProperties=species:S:1:pos:R:3\nH 0 0 0\nH 0 0 0.74\n"
    (tmp_path / "frames.xyz").write_text(frames)
    made = tmp_path / "info.json"
    run_lanes(tmp_path, [[info]])
    assert read_json(made)["frames"] == 1
    before = made.stat().st_mtime_ns
    run_lanes(tmp_path, [[info]])
    assert made.stat().st_mtime_ns == before
    (tmp_path / "frames.xyz").write_text(2 * frames)
    run_lanes(tmp_path, [[info]])
    assert read_json(made)["frames"] == 2  # its input changed
    made.unlink()
    run_lanes(tmp_path, [[info]])
    assert made.exists()


def test_a_failed_command_is_shown_with_its_last_words(tmp_path: Path) -> None:
    wrong = Command("wrong", "w", ("data", "info", "none.xyz"))
    with pytest.raises(FfptError, match=r"'ffpt data info none\.xyz' ended with status 2: .*none\.xyz"):
        run_lanes(tmp_path, [[wrong], [Command("right", "r", ("data", "info", "--help"))]])
    assert (tmp_path / "logs" / "wrong.log").exists() and not (tmp_path / "logs" / "wrong.json").exists()


def test_other_settings_need_another_folder(tmp_path: Path) -> None:
    study = Study(title="t", settings={}, steps={}, stages=[], flow=[FlowStep(title="x")])
    write_json(tmp_path / "settings.json", {"seed": 1})
    with pytest.raises(FfptError, match="other settings"):
        perform(study, tmp_path, seed=2)
