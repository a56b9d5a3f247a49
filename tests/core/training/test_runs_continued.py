"""Runs that go on: from a checkpoint of before, and with more epochs than they were begun with."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from dataset_examples import morse_frames

from ffpt_core import FfptError, load
from ffpt_core.base.progress import console
from ffpt_core.training import make_configuration, train
from ffpt_core.training.configuration import TrainingConfiguration

OLD_CHECKPOINT = Path(__file__).parent / "data" / "lightning.ckpt.gz"
"""Three of six epochs of ``old_run`` by ffpt 0.1, whose loop was Lightning's."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with 60 labelled frames."""
    morse_frames(60).save(tmp_path / "frames.npz")
    return tmp_path


def configuration(folder: Path, output: str, **changes: Any) -> TrainingConfiguration:
    """A run of less than a second."""
    values = {
        "data": {"train": str(folder / "frames.npz"), "n_validation": 10},
        "output": str(folder / output),
        "network": {"n_features": 4, "n_basis": 4, "n_layers": 1},
        "epochs": 6,
        "learning_rate": 3e-3,
        "threads": 1,
        "device": "cpu",
        "kernel": "torch",
        "precision": "float64",
        "schedule": {"kind": "plateau", "patience": 0},
        "ema": 0.9,
    }
    return make_configuration(values | changes)


def without_seconds(history: list[dict[str, float]]) -> list[dict[str, float]]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in history]


def test_a_checkpoint_of_before_continues(folder: Path) -> None:
    unbroken = train(configuration(folder, "unbroken"))
    (folder / "old").mkdir()
    (folder / "old" / "checkpoint.ckpt").write_bytes(gzip.decompress(OLD_CHECKPOINT.read_bytes()))
    shutil.copy(folder / "unbroken" / "potential.pt", folder / "old" / "potential.pt")
    continued = train(configuration(folder, "old"))
    assert continued.history[2]["seconds"] != unbroken.history[2]["seconds"]
    assert len(continued.history) == 6
    # Made on another machine perhaps, where sums round differently.
    for row, expected in zip(without_seconds(continued.history), without_seconds(unbroken.history), strict=True):
        assert row == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("kernel", ["torch", "auto"])
def test_more_epochs_give_what_an_unbroken_longer_run_gives(folder: Path, kernel: str) -> None:
    """Weights, history and record, bit for bit."""
    longer = train(configuration(folder, "longer", epochs=9, kernel=kernel))
    train(configuration(folder, "extended", epochs=4, kernel=kernel))
    extended = train(configuration(folder, "extended", epochs=9, kernel=kernel))
    assert without_seconds(extended.history) == without_seconds(longer.history)
    expected = load(folder / "longer" / "potential.pt", device="cpu")
    found = load(folder / "extended" / "potential.pt", device="cpu")
    for name, value in found.state_dict().items():
        assert torch.equal(value, expected.state_dict()[name]), name
    for potential in (found, expected):
        del potential.metadata["training"]["output"]
    assert found.metadata == expected.metadata
    assert json.loads((folder / "extended" / "result.json").read_text())["epochs"] == 9
    again = train(configuration(folder, "extended", epochs=9, kernel=kernel))
    assert again.history == extended.history, "it is finished now"


def test_a_run_that_had_converged_says_so(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plateau = {"kind": "plateau", "patience": 0, "factor": 0.1, "final_fraction": 0.05}
    changes = {"learning_rate": 0.03, "schedule": plateau, "ema": None}
    first = train(configuration(folder, "run", epochs=200, **changes))
    assert len(first.history) < 200
    capsys.readouterr()
    second = train(configuration(folder, "run", epochs=300, **changes))
    assert f"converged after {len(first.history)} epochs" in " ".join(capsys.readouterr().err.split())
    assert second.history == first.history
    assert second.validation == first.validation


def test_epochs_that_cannot_be_added(folder: Path) -> None:
    cosine = {"kind": "cosine"}
    train(configuration(folder, "cosine", epochs=2, schedule=cosine))
    with pytest.raises(FfptError, match="of 2 epochs whose learning rate falls along a cosine to its end"):
        train(configuration(folder, "cosine", epochs=3, schedule=cosine))
    train(configuration(folder, "plateau", epochs=2))
    with pytest.raises(FfptError, match="a run of 2 epochs, which cannot become 1"):
        train(configuration(folder, "plateau", epochs=1))
    with pytest.raises(FfptError, match=r"\(batch_size, epochs differ\)"):
        train(configuration(folder, "plateau", epochs=3, batch_size=9))
    (folder / "plateau" / "checkpoint.ckpt").unlink()
    with pytest.raises(FfptError, match=r"has no checkpoint\.ckpt any more"):
        train(configuration(folder, "plateau", epochs=3))
    assert train(configuration(folder, "plateau", epochs=2)).history, "a refusal leaves the run as it was"


def test_a_checkpoint_that_is_none(folder: Path) -> None:
    (folder / "run").mkdir()
    (folder / "run" / "checkpoint.ckpt").write_bytes(b"not a checkpoint")
    with pytest.raises(FfptError, match=r"cannot continue from .*checkpoint\.ckpt"):
        train(configuration(folder, "run"))


def test_a_line_an_epoch_without_a_terminal_and_nothing_if_quiet(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(configuration(folder, "spoken", epochs=3))
    shown = capsys.readouterr()
    lines = [line for line in shown.err.splitlines() if line.startswith("spoken: epoch")]
    assert [line.split(":")[1] for line in lines] == [f" epoch {epoch} of 3" for epoch in (1, 2, 3)]
    assert all("force MAE" in line for line in lines)
    train(configuration(folder, "silent", epochs=3), quiet=True)
    quiet = capsys.readouterr()
    assert not shown.out and not quiet.out and not quiet.err
    assert not console.quiet


def test_tensorboard_has_the_history(folder: Path) -> None:
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    history = train(configuration(folder, "run", epochs=2, tensorboard=True)).history
    found = events.EventAccumulator(str(folder / "run" / "tensorboard"))
    found.Reload()
    scalars = found.Scalars("force_mae")
    assert [event.step for event in scalars] == [1, 2]
    assert [event.value for event in scalars] == pytest.approx([row["force_mae"] for row in history], rel=1e-6)
