"""Training: one code path, exact resume, errors that name what is wrong."""

from __future__ import annotations

import dataclasses
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase import Atoms
from dataset_examples import morse_frames

from ffpt_core import FfptError, load
from ffpt_core.cli.main import main
from ffpt_core.datasets import Dataset, write
from ffpt_core.training import evaluate, make_configuration, read_configuration, train
from ffpt_core.training.batches import FrameBatches, chunks, shuffled
from ffpt_core.training.configuration import LossConfiguration
from ffpt_core.training.data import read_frames, rehearsing
from ffpt_core.training.loss import loss_terms
from ffpt_core.training.start import starting_potential


def settings(folder: Path, **changes: Any) -> dict[str, Any]:
    """A small run that takes about a second."""
    return {
        "data": {"train": str(folder / "frames.npz"), "n_validation": 10},
        "output": str(folder / "run"),
        "network": {"n_features": 16, "n_basis": 8, "n_layers": 2},
        "epochs": 6,
        "learning_rate": 3e-3,
        "threads": 1,
        "device": "cpu",
        **changes,
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with 60 labelled frames."""
    morse_frames(60).save(tmp_path / "frames.npz")
    return tmp_path


def weights(path: Path) -> dict[str, torch.Tensor]:
    return load(path / "potential.pt", device="cpu").state_dict()


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


def test_training_learns_a_surface_with_a_large_zero(folder: Path) -> None:
    morse_frames(200, zero=-1000.0).save(folder / "frames.npz")
    result = train(
        make_configuration(settings(folder, epochs=60, ema=0.98, learning_rate=6e-3, schedule={"kind": "cosine"}))
    )
    forces = morse_frames(200).forces
    assert result.validation.force_mae < 0.15 * np.abs(forces).mean()
    assert result.validation.energy_mae < 0.1
    assert result.history[-1]["train_loss"] < 0.05 * result.history[0]["train_loss"]
    for name in ("config.yaml", "log.csv", "learning_curve.png", "checkpoint.ckpt", "potential.pt", "result.json"):
        assert (folder / "run" / name).stat().st_size > 0, name
    metadata = load(folder / "run" / "potential.pt").metadata
    assert metadata["level"] == "Morse"
    assert metadata["errors"]["validation"]["force_mae"] == result.validation.force_mae
    assert metadata["data"]["train"]["frames"] == 190


@pytest.mark.parametrize(
    "changes",
    [{"schedule": {"kind": "plateau", "patience": 0}}, {"schedule": {"kind": "cosine", "warmup": 5}, "ema": 0.9}],
    ids=["plateau", "cosine and averaged weights"],
)
def test_a_killed_run_continues_to_the_same_weights(folder: Path, changes: dict[str, Any]) -> None:
    """SIGKILL at a random moment, then the same command: bitwise the weights and history of an unbroken run."""
    whole = train(make_configuration(settings(folder, **changes, epochs=12)))
    expected = weights(folder / "run")
    (folder / "run").rename(folder / "unbroken")

    make = f"make_configuration({settings(folder, **changes, epochs=12)!r})"
    code = f"from ffpt_core.training import *\ntrain({make})"
    process = subprocess.Popen([sys.executable, "-c", code])
    log = folder / "run" / "log.csv"
    while process.poll() is None and (not log.exists() or len(log.read_text().splitlines()) < 4):
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the run ended before it could be killed"
    assert not (folder / "run" / "result.json").exists()

    resumed = train(make_configuration(settings(folder, **changes, epochs=12)))
    assert_same(expected, weights(folder / "run"))
    for one, other in zip(whole.history, resumed.history, strict=True):
        assert {k: v for k, v in one.items() if k != "seconds"} == {k: v for k, v in other.items() if k != "seconds"}


def test_plateau_lowers_the_rate_and_stops(folder: Path) -> None:
    plateau = {"kind": "plateau", "patience": 0, "factor": 0.1, "final_fraction": 0.05}
    result = train(make_configuration(settings(folder, epochs=200, learning_rate=0.03, schedule=plateau)))
    rates = [row["learning_rate"] for row in result.history]
    assert len(rates) < 200
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < rates[0]


def test_fine_tuning_starts_from_the_weights_and_refits_the_zero(folder: Path) -> None:
    train(make_configuration(settings(folder, epochs=20)))
    shifted = morse_frames(60, seed=1, zero=-500.0)
    before = evaluate(load(folder / "run" / "potential.pt"), shifted)
    assert before.energy_mae > 1900
    write(Dataset(shifted.numbers, shifted.offsets, shifted.positions, shifted.energies, shifted.forces, level="other"),
          folder / "other.npz")  # fmt: skip
    fine = settings(folder, start=str(folder / "run" / "potential.pt"), output=str(folder / "fine"), epochs=1,
                    learning_rate=1e-9)  # fmt: skip
    fine["data"]["train"] = str(folder / "other.npz")
    del fine["network"]
    result = train(make_configuration(fine))
    assert result.validation.energy_mae < 0.5
    assert result.validation.force_mae == pytest.approx(before.force_mae, rel=0.3)


def test_kept_shifts_stay(folder: Path) -> None:
    first = train(make_configuration(settings(folder, epochs=1)))
    fine = settings(folder, start=str(folder / "run" / "potential.pt"), output=str(folder / "fine"), epochs=1)
    del fine["network"]
    second = train(make_configuration(fine))
    assert torch.equal(first.potential.shifts.cpu(), second.potential.shifts.cpu())
    again = train(make_configuration(fine))
    assert again.history == second.history, "a finished run is not repeated"


def test_rehearsed_frames_are_not_forgotten(folder: Path) -> None:
    """Fine-tuning on larger clusters with another zero, with and without frames of the first size."""
    train(make_configuration(settings(folder, epochs=30)))
    write(dataclasses.replace(morse_frames(60, 1, zero=-500.0, size=1.3), level="other"), folder / "other.npz")
    first = morse_frames(200, seed=2)
    errors = []
    for rehearse in (None, folder / "frames.npz"):
        output = folder / f"fine-{rehearse is None}"
        fine = settings(folder, start=str(folder / "run" / "potential.pt"), output=str(output))
        fine["data"] = {"train": str(folder / "other.npz"), "n_validation": 10}
        if rehearse is not None:
            fine["data"] |= {"rehearse": str(rehearse), "n_rehearse": 30}
        del fine["network"]
        result = train(make_configuration(fine | {"epochs": 20, "learning_rate": 1e-3}))
        assert result.potential.metadata["data"]["train"]["frames"] == 50
        assert (result.potential.metadata["data"]["rehearsed"] is None) == (rehearse is None)
        errors.append(evaluate(result.potential, first).force_mae)
    assert errors[1] < 0.7 * errors[0]


def test_rehearsed_energies_move_with_the_zero(folder: Path) -> None:
    train(make_configuration(settings(folder, epochs=1)))
    other = morse_frames(60, seed=1, zero=-500.0)
    write(dataclasses.replace(other, level="other"), folder / "other.npz")
    fine = settings(folder, start=str(folder / "run" / "potential.pt"))
    fine["data"] = {"train": str(folder / "other.npz"), "rehearse": str(folder / "frames.npz"), "n_rehearse": 25}
    del fine["network"]
    configuration = make_configuration(fine)
    frames = read_frames(configuration)
    assert len(frames.train) == 10 and len(frames.rehearsed) == 25
    whole = rehearsing(configuration, frames, starting_potential(configuration, frames.train))
    assert len(whole) == 35 and whole.level == "other"
    moved = whole.energies[10:] - frames.rehearsed.energies
    np.testing.assert_allclose(moved, -500.0 * frames.rehearsed.n_atoms, atol=1.0)
    np.testing.assert_array_equal(whole.energies[:10], frames.train.energies)


@pytest.mark.parametrize(("changes", "message"), [({"n_rehearse": 99}, "holds 60 frames"), ({}, "start from")])
def test_what_cannot_be_rehearsed(folder: Path, changes: dict[str, int], message: str) -> None:
    values = settings(folder, **({"start": "never-read.pt"} if changes else {}))
    del values["network"]
    values["data"] |= {"rehearse": str(folder / "frames.npz"), **changes}
    with pytest.raises(FfptError, match=message):
        read_frames(make_configuration(values))


def test_robust_loss_is_squared_near_zero_and_linear_far_out() -> None:
    configuration = LossConfiguration(kind="robust", energy_delta=1.0, force_delta=2.0)
    near, far = torch.full((4,), 0.5), torch.full((4,), 1000.0)
    for one, other in zip(
        loss_terms(configuration, near, near), loss_terms(LossConfiguration(), near, near), strict=True
    ):
        assert one == pytest.approx(other)
    energy, force = loss_terms(configuration, far, far)
    assert energy == pytest.approx(2 * 1000 - 1)
    assert force == pytest.approx(2 * 2 * 1000 - 4)


def test_one_wild_label_does_not_wreck_a_robust_run(folder: Path) -> None:
    clean = morse_frames(60)
    forces = clean.forces.copy()
    forces[0] = [0.0, 0.0, 2e4]
    wild = Dataset(clean.numbers, clean.offsets, clean.positions, clean.energies, forces, level="Morse")
    wild.save(folder / "frames.npz")
    errors = {}
    for kind in ("mse", "robust"):
        changes = {"loss": {"kind": kind}, "output": str(folder / kind), "epochs": 25}
        train(make_configuration(settings(folder, **changes)))
        errors[kind] = evaluate(load(folder / kind / "potential.pt"), morse_frames(40, seed=9)).force_mae
    assert errors["robust"] < 0.5 * errors["mse"]


def test_batches_pass_every_frame_once_before_any_returns() -> None:
    seen: list[int] = []
    for epoch in range(7):
        frames = shuffled(23, frames_per_epoch=10, seed=7, epoch=epoch)
        batches = list(chunks(frames, 4))
        assert [len(batch) for batch in batches] == [4, 4, 2]
        assert np.concatenate(batches).tolist() == frames.tolist()
        seen += frames.tolist()
    assert sorted(seen[:23]) == sorted(seen[23:46]) == list(range(23))
    assert seen[:23] != seen[23:46]
    assert shuffled(23, 10, seed=7, epoch=0).tolist() == seen[:10]
    assert shuffled(23, 10, seed=8, epoch=0).tolist() != seen[:10]


def test_batches_of_mixed_and_periodic_frames() -> None:
    periodic = Atoms("OH", [[0, 0, 0], [0, 0, 1]], cell=[3, 4, 9], pbc=True)
    frames = [Atoms("OHH", np.eye(3)), periodic, Atoms("O", [[0, 0, 0]]), Atoms("OH", [[0, 0, 0], [0, 0, 6.0]])]
    batches = FrameBatches(Dataset.from_atoms(frames), cutoff=5.0)
    alone = {k: batches[np.array([k])] for k in range(4)}
    assert [alone[k].pairs.shape[1] for k in (0, 2, 3)] == [3, 0, 0]
    together = batches[np.array([3, 1, 0])]
    assert together.numbers.tolist() == [8, 1, 8, 1, 8, 1, 1]
    assert together.frames.tolist() == [0, 0, 1, 1, 2, 2, 2]
    n = alone[1].pairs.shape[1]
    assert torch.equal(together.pairs[:, :n], alone[1].pairs + 2)
    assert torch.equal(together.pairs[:, n:], alone[0].pairs + 4)
    assert torch.equal(together.translations[:n], alone[1].translations)
    assert not together.translations[n:].any()


BAD_KEYS = {
    "learning_rat": ({"learning_rat": 1e-3}, "unknown key learning_rat; known here: .*learning_rate"),
    "loss.forceweight": ({"loss": {"forceweight": 3}}, "unknown key loss.forceweight; known here: .*force_weight"),
    "type": ({"epochs": "many"}, "key epochs: .*not 'many'"),
    "range": ({"ema": 1.5}, "key ema: .*not 1.5"),
    "choice": ({"precision": "half"}, "key precision: .*not 'half'"),
}


@pytest.mark.parametrize("name", BAD_KEYS)
def test_configuration_errors_name_the_key(tmp_path: Path, name: str) -> None:
    changes, message = BAD_KEYS[name]
    with pytest.raises(FfptError, match=message):
        make_configuration(settings(tmp_path, **changes))


def test_configuration_files(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("data: {train: x.npz}\noutput: out\nloss: {kind: robust}\n")
    configuration = read_configuration(path, {"data": {"n_train": 7}, "loss": {"force_weight": 5}})
    assert (configuration.data.n_train, configuration.loss.kind, configuration.loss.force_weight) == (7, "robust", 5)
    assert configuration.initial_rate == 1e-3
    for content, message in {"output: x": "key data is missing", "a: [": "is not YAML", "3": "holds no keys"}.items():
        path.write_text(content)
        with pytest.raises(FfptError, match=message):
            read_configuration(path)


def test_missing_labels_stop_before_the_first_epoch(folder: Path) -> None:
    whole = morse_frames(60)
    Dataset(whole.numbers, whole.offsets, whole.positions, None, whole.forces).save(folder / "frames.npz")
    with pytest.raises(FfptError, match=r"holds no energies, but loss.energy_weight is 1.0"):
        train(make_configuration(settings(folder)))
    assert not (folder / "run").exists()
    result = train(make_configuration(settings(folder, loss={"energy_weight": 0}, epochs=1)))
    assert result.validation.energy_mae is None


def test_another_run_in_the_folder_is_refused(folder: Path) -> None:
    train(make_configuration(settings(folder, epochs=1)))
    with pytest.raises(FfptError, match=r"another configuration \(batch_size differ"):
        train(make_configuration(settings(folder, epochs=1, batch_size=7)))


def test_fine_tuning_on_an_unknown_element_is_refused(folder: Path) -> None:
    train(make_configuration(settings(folder, epochs=1)))
    numbers = morse_frames(60).numbers.copy()
    numbers[numbers == 1] = 9
    whole = morse_frames(60)
    Dataset(numbers, whole.offsets, whole.positions, whole.energies, whole.forces).save(folder / "frames.npz")
    fine = settings(folder, start=str(folder / "run" / "potential.pt"), output=str(folder / "fine"))
    del fine["network"]
    with pytest.raises(FfptError, match="does not know F; it knows H, O"):
        train(make_configuration(fine))


def test_divergence_is_an_error_and_keeps_the_last_good_potential(folder: Path) -> None:
    with pytest.raises(FfptError, match=r"the loss is no longer a number \(epoch \d+, step \d+\)"):
        train(make_configuration(settings(folder, learning_rate=1e6, epochs=50)))


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="no file-size limit on this system")
@pytest.mark.parametrize("fails_at", ["potential.pt", "checkpoint.ckpt"])
def test_a_full_disk_keeps_what_was_written(folder: Path, fails_at: str) -> None:
    """A file-size limit stands in for the full disk: writing fails half-way through a file."""
    train(make_configuration(settings(folder, epochs=2)))
    (folder / "run" / "result.json").unlink()
    before = {path.name: path.read_bytes() for path in (folder / "run").iterdir()}
    limit = 3 * len(before[fails_at]) // 4
    assert len(before["potential.pt"]) < len(before["checkpoint.ckpt"]) // 2
    code = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "from ffpt_core.cli.main import main\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
        f"sys.exit(main(['train', {str(folder / 'c.yaml')!r}]))\n"
    )
    import yaml

    longer = settings(folder, epochs=2)
    (folder / "c.yaml").write_text(yaml.safe_dump(longer))
    (folder / "run" / "checkpoint.ckpt").unlink()
    environment = {**os.environ, "COLUMNS": "200"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 2, done.stderr
    assert f"{fails_at}: File too large" in done.stderr
    assert "Traceback" not in done.stderr
    if fails_at == "potential.pt":
        assert (folder / "run" / fails_at).read_bytes() == before[fails_at]
    assert main(["train", str(folder / "c.yaml")]) == 0
    assert (folder / "run" / "potential.pt").read_bytes() == before["potential.pt"]
