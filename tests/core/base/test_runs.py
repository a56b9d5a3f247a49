"""Unfinished work: who holds it, whose it is, which parts are finished, and files cut back to a checkpoint."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ffpt_core.base.errors import FfptError
from ffpt_core.base.runs import Parts, cut_back, differences, locked

ROOT = Path(__file__).resolve().parents[3]


def test_one_process_holds_a_folder(tmp_path: Path) -> None:
    code = (
        "import sys; from ffpt_core.base.errors import FfptError; from ffpt_core.base.runs import locked\n"
        "try:\n    with locked(sys.argv[1], what='this run'): print('held')\n"
        "except FfptError as error: print(error)"
    )

    def other() -> str:
        command = [sys.executable, "-c", code, str(tmp_path / "new")]
        return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()

    with locked(tmp_path / "new"):
        assert other() == "this run is being run by another process"
        with locked(tmp_path / "new", "4"):  # another lock of the same folder
            pass
    assert other() == "held"


def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FfptError, match="cannot write to"), locked(tmp_path / "file" / "run"):
        pass


def test_differences_are_named_with_their_place() -> None:
    before = {"a": 1, "b": {"c": 2, "d": [1, 2]}, "only before": 3, "length": 5.0, "seed": 7}
    assert differences(before, {"a": 1, "b": {"c": 2, "d": [1, 2]}, "length": 5.0, "seed": 7}) == []
    assert differences(before, {"a": 2, "b": {"c": 3, "d": [1, 2], "e": 0}, "length": 5.0}) == ["a", "b.c", "b.e"]
    assert differences(before, {"length": 6.0, "seed": 8}, may_grow=("length",)) == ["seed"]
    assert differences(before, {"length": 4.0}, may_grow=("length",)) == ["length"]
    assert differences({}, {"length": 4.0}, may_grow=("length",)) == ["length"]


def test_a_file_is_cut_back_to_its_size(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("1\n2\n3\n")
    cut_back(path, 4)
    assert path.read_text() == "1\n2\n"
    cut_back(path, 4)
    with pytest.raises(FfptError, match=r"table\.csv is shorter than at its last checkpoint"):
        cut_back(path, 5)
    cut_back(path, 0)
    assert not path.exists()
    cut_back(path, 0)
    with pytest.raises(FfptError, match="shorter"):
        cut_back(path, 1)


def test_parts_are_read_again_and_damaged_ones_are_not(tmp_path: Path) -> None:
    parts, identity = Parts(tmp_path / "out.npz"), {"frames": 3, "settings": {"seed": 1}}
    assert parts.folder == tmp_path / "out.npz.parts"
    assert not parts.begun
    with parts.held():
        parts.claim(identity)
        parts.write("0", energies=np.arange(3.0), names=np.array(["a", "b"]))
    again = Parts(tmp_path / "out.npz")
    with again.held():
        again.claim(identity)
        found = again.read("0", "energies", "names")
        np.testing.assert_array_equal(found["energies"], np.arange(3.0))
        assert found["names"].tolist() == ["a", "b"]
        assert again.read("1", "energies") is None
        assert again.read("0", "energies", "forces") is None
        (again.folder / "0.npz").write_bytes((again.folder / "0.npz").read_bytes()[:-40])
        assert again.read("0", "energies", "names") is None
        with pytest.raises(FfptError, match=r"another input \(its frames and settings\.seed differ\)"):
            again.claim({"frames": 4, "settings": {"seed": 2}})
        again.remove()
    assert not parts.folder.exists()


def test_parts_in_which_nothing_was_begun_leave_nothing(tmp_path: Path) -> None:
    parts = Parts(tmp_path / "out.npz")
    with parts.held():
        pass
    assert not parts.folder.exists()
    parts.folder.mkdir()
    np.savez(parts.folder / "mine.npz", a=1)
    with parts.held(), pytest.raises(FfptError, match="holds files of something else"):
        parts.claim({"frames": 1})
    assert (parts.folder / "mine.npz").is_file()


def test_two_processes_do_not_work_on_the_same_parts(tmp_path: Path) -> None:
    refused = pytest.raises(FfptError, match="a is being run by another process")
    with Parts(tmp_path / "a").held(), refused, Parts(tmp_path / "a").held():
        pass
