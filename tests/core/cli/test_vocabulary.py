"""One vocabulary: options that mean the same in every verb, results as tables or JSON, spellings of before."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import ase.build
import pytest
import typer
from conftest import small_potential
from dataset_examples import morse_frames

from ffpt_core.base.files import read_json
from ffpt_core.cli import spellings
from ffpt_core.cli.main import main, make_app
from ffpt_core.teachers import aspirin


@pytest.fixture
def ethanol(tmp_path: Path) -> Path:
    path = tmp_path / "ethanol.xyz"
    ase.build.molecule("CH3CH2OH").write(path)
    return path


def verbs(command=None, name="ffpt"):
    """Every verb by its whole name."""
    command = typer.main.get_command(make_app()) if command is None else command
    inner = getattr(command, "commands", None)
    if inner is None:
        yield name, command
        return
    for word, one in inner.items():
        yield from verbs(one, f"{name} {word}")


def options(command) -> dict:
    return {name: one for one in command.params for name in one.opts if name.startswith("--")}


def test_options_that_verbs_share_have_one_help_and_one_type() -> None:
    shared = ("--charge", "--multiplicity", "--device", "--frame-interval", "--table-interval", "--checkpoint-interval")
    exceptions = {"ffpt teacher --charge", "ffpt train --device", "ffpt sample --frame-interval"}  # of another thing
    for option in shared:
        found = {
            options(command)[option].help
            for name, command in verbs()
            if option in options(command) and f"{name} {option}" not in exceptions and "analyze" not in name
        }
        assert len(found) == 1, (option, found)


def test_output_is_o_everywhere_and_times_say_their_unit() -> None:
    for name, command in verbs():
        for option, one in options(command).items():
            if option == "--output":
                assert "-o" in one.opts, name
            if option.endswith("-interval") and "ffpt data" not in name:
                assert "ps" in one.help, (name, option)
            if option == "--timestep":
                assert "fs" in one.help, name
            if option == "--temperature" and isinstance(one.default, float):
                assert one.default == 300.0, name


@pytest.mark.parametrize("verb", ["label", "evaluate", "audit", "scan", "export", "md", "metad", "sample"])
def test_a_potential_is_the_first_argument(verb) -> None:
    command = dict(verbs())[f"ffpt {verb}"]
    first = next(one for one in command.params if one.param_type_name == "argument")
    assert first.name in ("potential", "potentials")


def test_json_is_the_only_thing_on_standard_output(ethanol, tmp_path, capsys) -> None:
    small_potential().save(tmp_path / "p.pt")
    frames = morse_frames(8)
    frames.save(tmp_path / "frames.npz")
    command = ["evaluate", str(tmp_path / "p.pt"), "--data", str(tmp_path / "frames.npz"), "-o", str(tmp_path / "e")]
    assert main([*command, "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out) == read_json(tmp_path / "e" / "evaluate.json")
    assert "evaluating" in captured.err
    assert main(["--quiet", *command]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert "force MAE" in captured.out
    assert main(["-q", "evaluate", "nothing.pt", *command[2:]]) == 2  # errors are shown all the same
    assert "nothing.pt" in capsys.readouterr().err


def test_spellings_of_before_work(ethanol, tmp_path, capsys) -> None:
    new, old = tmp_path / "new.npz", tmp_path / "old.npz"
    assert main(["label", "ase:emt", str(ethanol), "-o", str(new), "--jobs", "1"]) == 0
    assert main(["label", str(ethanol), "-o", str(old), "--calculator", "ase:emt", "--jobs", "1"]) == 0
    assert new.read_bytes() == old.read_bytes()
    scan = ["scan", "ase:emt", "--bond", "0,1", "-q"]
    assert main([*scan, "--molecule", str(ethanol), "-o", str(tmp_path / "a")]) == 0
    assert main([*scan, f"--structure={ethanol}", "-o", str(tmp_path / "b")]) == 0
    assert read_json(tmp_path / "a" / "bond-0-1.json") == read_json(tmp_path / "b" / "bond-0-1.json")


def test_times_of_before_are_converted() -> None:
    def verb() -> None: ...

    rewritten = spellings.formerly(
        spellings.renamed("--interval", "--frame-interval", spellings.femtoseconds_as_picoseconds),
        spellings.became_first_argument("--model"),
    )(verb)
    found = spellings.of_today(rewritten, ["--reaction", "9", "--model", "h2.pt", "--interval", "10", "--interval=5"])
    assert found == ["h2.pt", "--reaction", "9", "--frame-interval", "0.01", "--frame-interval=0.005"]
    assert spellings.of_today(rewritten, ["--interval", "ten"]) == ["--frame-interval", "ten"]
    assert spellings.of_today(inspect.getsource, ["--interval", "10"]) == ["--interval", "10"]


def test_spellings_of_before_are_hidden(capsys) -> None:
    for verb, old in (
        ("scan", "--molecule"),
        ("label", "--calculator"),
        ("md", "--log-interval"),
        ("metad", "--model"),
    ):
        assert main([verb, "--help"]) == 0
        assert old not in capsys.readouterr().out


def test_info_of_a_potential_a_data_set_and_a_teacher(tmp_path, capsys) -> None:
    potential = small_potential()
    potential.metadata = {
        "level": "GFN2-xTB",
        "molecules": {"C9H8O4": 950},
        "data": {"train": {"frames": 950, "fingerprint": "0"}},
        "errors": {"test": {"frames": 100, "energy_mae": 0.01, "force_mae": 0.02, "energy_rmse": 0, "force_rmse": 0}},
        "training": {"start": "pretrained.pt"},
    }
    potential.save(tmp_path / "p.pt")
    assert main(["info", str(tmp_path / "p.pt")]) == 0
    out = capsys.readouterr().out
    for text in ("H C N O", "GFN2-xTB", "C9H8O4 (950)", "950 train", "force MAE 20.0 meV", "newtonnet, cutoff 5"):
        assert text in out
    assert main(["info", str(tmp_path / "p.pt"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["elements"] == [1, 6, 7, 8]
    frames = tmp_path / "frames.npz"
    morse_frames(8).save(frames)
    assert main(["info", str(frames)]) == 0
    assert "H2O2 (8)" in capsys.readouterr().out
    assert main(["info", "aspirin"]) == 0
    assert "teacher" in capsys.readouterr().out
    assert main(["info", "tblite:GFN2-xTB"]) == 0
    assert "tblite:GFN2-xTB" in capsys.readouterr().out
    assert main(["info", str(tmp_path / "nothing")]) == 2


def test_audit_of_any_potential(tmp_path, capsys) -> None:
    aspirin().save(tmp_path / "teacher")
    small_potential().save(tmp_path / "p.pt")
    command = [
        "audit",
        str(tmp_path / "p.pt"),
        "gaff=aspirin",
        "--structure",
        str(tmp_path / "teacher"),
        "--kind",
        "bond",
    ]
    assert main([*command, "-o", str(tmp_path / "audit")]) == 0
    out = capsys.readouterr().out
    assert "of 21" in out  # aspirin's bonds
    found = read_json(tmp_path / "audit" / "audit.json")
    assert [one["label"] for one in found] == ["p", "gaff"]
    assert found[0]["counts"]["bond"]["scans"] == found[1]["counts"]["bond"]["scans"]
    assert found[1]["counts"]["bond"]["holes"] == 1  # GAFF presses C4-C11 for 1.94 eV, and 2 are asked for
    assert (tmp_path / "audit" / "audit.png").read_bytes().startswith(b"\x89PNG")
    assert main([*command, "--kind", "circle"]) == 2
    assert "bond, angle, dihedral, contact" in capsys.readouterr().err


def test_completion_names_potentials() -> None:
    from ffpt_core.cli.options import _complete_potential

    assert "tblite:GFN2-xTB" in _complete_potential("tbl")
    assert "aspirin" in _complete_potential("asp")
