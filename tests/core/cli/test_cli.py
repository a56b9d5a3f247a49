"""The ffpt command as a user meets it: help, one-line errors, exit status."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import ase.io
import numpy as np
import pytest
import typer
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from conftest import small_potential
from dataset_examples import morse_frames

from ffpt_core import FfptError
from ffpt_core.cli.main import ORDER, main, make_app
from ffpt_core.datasets import read, write, write_extxyz


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def error_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run a command that must fail; its error line without the prefix."""
    assert main(list(arguments)) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
    assert lines[-1].startswith("ffpt: error: ")
    assert not any("Traceback" in line for line in lines)
    return lines[-1].removeprefix("ffpt: error: ")


def all_sulfur(atoms: Atoms) -> Atoms:
    """The same labelled geometry with every atom sulfur."""
    changed = Atoms(["S"] * len(atoms), atoms.positions)
    changed.calc = SinglePointCalculator(changed, **atoms.calc.results)
    return changed


def _paths() -> list[tuple[str, ...]]:
    """Every verb, those of groups and of the packages above included."""
    found: list[tuple[str, ...]] = []
    for verb, command in typer.main.get_command(make_app()).commands.items():
        members = getattr(command, "commands", {})
        shown = [name for name, member in members.items() if not member.hidden]
        found += [(verb, name) for name in shown] if members else [(verb,)]
    return found


PATHS = _paths()


@pytest.mark.parametrize("path", PATHS, ids=" ".join)
def test_every_verb_has_help_with_an_example(path: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*path, "--help"]) == 0
    shown = capsys.readouterr().out
    assert "Example" in shown
    assert f"ffpt {' '.join(path)}" in shown
    assert "\\b" not in shown  # click's marker of a paragraph, which must be that one character and not two


def test_help_lists_all_verbs_in_the_order_of_the_work(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    words = [line.split() for line in capsys.readouterr().out.split("Commands")[1].splitlines()]
    listed = [line[1] for line in words if len(line) > 1]
    assert [verb for verb in listed if verb in ORDER] == list(ORDER)
    assert "doctor" in listed


def test_help_has_no_line_breaks_of_the_source(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["md", "--help"]) == 0
    assert "or more --replicas extend it. An unphysical frame is a result" in capsys.readouterr().out


def test_wrong_usage_has_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--no-such-option"]) == 2
    assert main(["no-such-verb"]) == 2


def test_errors_are_one_line_and_status_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "c.yaml"
    config.write_text("data: {train: x.npz}\noutput: out\nlearning_rat: 1\n")
    assert "unknown key learning_rat" in error_of(capsys, "train", str(config))

    broken = morse_frames(20)
    frames = list(broken)
    frames[17].calc.results["forces"][0, 0] = np.nan
    write_path = tmp_path / "frames.xyz"
    ase.io.write(write_path, frames)
    assert "17" in error_of(capsys, "train", "--data", str(write_path), "-o", str(tmp_path / "run"))

    small_potential().save(tmp_path / "p.pt")
    sulfur = tmp_path / "sulfur.xyz"
    ase.io.write(sulfur, [all_sulfur(atoms) for atoms in morse_frames(2)])
    message = error_of(capsys, "evaluate", str(tmp_path / "p.pt"), "--data", str(sulfur), "-o", str(tmp_path))
    assert message == "the potential does not know S; it knows H, C, N, O"

    whole = (tmp_path / "p.pt").read_bytes()
    (tmp_path / "p.pt").write_bytes(whole[:500])
    write(morse_frames(2), tmp_path / "ok.xyz")
    message = error_of(capsys, "evaluate", str(tmp_path / "p.pt"), "--data", str(tmp_path / "ok.xyz"))
    assert "truncated" in message


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    with pytest.raises(FfptError, match="cannot read"):
        main(["--debug", "train", str(tmp_path / "nowhere.yaml")])


def test_evaluate_writes_data_and_picture(tmp_path: Path) -> None:
    small_potential().save(tmp_path / "p.pt")
    morse_frames(8).save(tmp_path / "frames.npz")
    assert main(["evaluate", str(tmp_path / "p.pt"), "--data", str(tmp_path / "frames.npz"), "-o", str(tmp_path)]) == 0
    from ffpt_core.base.files import read_json

    errors = read_json(tmp_path / "evaluate.json")["errors"]["p"]
    assert errors["frames"] == 8
    assert errors["energy_mae"] > 1000  # the random potential has another zero
    assert (tmp_path / "evaluate.png").read_bytes().startswith(b"\x89PNG")


def test_evaluate_reads_with_the_options_of_data_convert(tmp_path: Path) -> None:
    from ffpt_core.base.files import read_json
    from ffpt_core.base.units import KCAL_PER_MOL

    small_potential().save(tmp_path / "p.pt")
    frames = morse_frames(8)
    frames.save(tmp_path / "frames.npz")
    write_extxyz(frames, tmp_path / "frames.xyz", prefix="dft_")
    text = (tmp_path / "frames.xyz").read_text().replace("level=", "other=")
    (tmp_path / "frames.xyz").write_text(text)
    common = ["evaluate", str(tmp_path / "p.pt"), "--stride", "2", "--data"]
    keys = ["--energy-key", "dft_energy", "--forces-key", "dft_forces", "--level", "Morse"]
    assert main([*common, str(tmp_path / "frames.npz"), "-o", str(tmp_path / "a")]) == 0
    assert main([*common, str(tmp_path / "frames.xyz"), *keys, "-o", str(tmp_path / "b")]) == 0
    ours, theirs = (read_json(tmp_path / name / "evaluate.json") for name in "ab")
    assert ours["errors"] == theirs["errors"]
    assert ours["errors"]["p"]["frames"] == 4
    assert ours["level"] == theirs["level"] == "Morse"
    wrong = [*common, str(tmp_path / "frames.xyz"), *keys, "--energy-unit", "kcal/mol", "-o", str(tmp_path / "c")]
    assert main(wrong) == 0
    shift = np.mean(read(tmp_path / "frames.npz", stride=2).energies) * (1 - KCAL_PER_MOL)
    other = read_json(tmp_path / "c" / "evaluate.json")["errors"]["p"]["energy_mae"]
    # The random potential has another zero, far away: its error moves as much as the labels do.
    assert abs(other - ours["errors"]["p"]["energy_mae"]) == pytest.approx(abs(shift), rel=1e-6)


def test_core_imports_without_openmm_and_plumed() -> None:
    code = (
        "import sys\n"
        "for name in ('openmm', 'plumed', 'openmmtorch'): sys.modules[name] = None\n"
        "import ffpt_core\n"
        "ffpt_core.Potential, ffpt_core.NetworkPotential, ffpt_core.load, ffpt_core.reference\n"
        "from ffpt_core import training, datasets, export, analysis\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_doctor_names_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ffpt_core.base.files import read_json

    monkeypatch.setattr("ffpt_plumed.cli.doctor.PARTS", {"torch": "networks", "no-such-part": "nothing"})
    assert main(["doctor", "-o", str(tmp_path / "doctor.json")]) == 0
    found = read_json(tmp_path / "doctor.json")
    assert found["versions"]["no-such-part"] is None
    assert found["versions"]["torch"]
    assert "Reference" in found["platforms"]


def test_unknown_demo(capsys: pytest.CaptureFixture[str]) -> None:
    assert error_of(capsys, "demo", "benzene") == "no demo is called 'benzene'; there are: aspirin, combustion, water"
