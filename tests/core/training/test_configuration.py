"""The configuration: networks by kind, backends by name, reading options, and files of before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from dataset_examples import morse_frames
from torch import Tensor, nn

from ffpt_core import FfptError, load
from ffpt_core.datasets import write
from ffpt_core.potentials.network import N_ATOMIC_NUMBERS, NETWORKS, Network, NetworkSettings
from ffpt_core.potentials.pair_index import PairIndex
from ffpt_core.training import make_configuration, read_configuration, train
from ffpt_core.training.configuration import write_configuration


class PairNetwork(Network):
    """Energies of pairs: the smallest network that there can be."""

    class Settings(NetworkSettings):
        width: int = 8

    kind = "pairs"

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        width = self.settings()["width"]
        self.embedding = nn.Embedding(N_ATOMIC_NUMBERS, width)
        self.inner = nn.Linear(width + 1, width)
        self.outer = nn.Linear(width, 1)

    def divide(self, factor: float) -> None:
        self.outer.weight.div_(factor)
        self.outer.bias.div_(factor)

    def atomic_energies(self, numbers: Tensor, pairs: PairIndex, displacements: Tensor) -> Tensor:
        distances = torch.linalg.vector_norm(displacements, dim=1, keepdim=True)
        of_atoms = self.embedding(numbers)
        of_pairs = of_atoms.index_select(0, pairs.first) * of_atoms.index_select(0, pairs.second)
        energies = self.outer(torch.nn.functional.silu(self.inner(torch.cat([of_pairs, distances], dim=1))))
        shared = 0.5 * (energies * torch.clamp(1 - distances / self.cutoff, min=0) ** 3).squeeze(1)
        zero = torch.zeros(len(numbers), dtype=shared.dtype)
        return zero.index_add(0, pairs.first, shared).index_add(0, pairs.second, shared)


def settings(folder: Path, **changes: Any) -> dict[str, Any]:
    values = {
        "data": {"train": str(folder / "frames.npz"), "n_validation": 10},
        "output": str(folder / "run"),
        "epochs": 8,
        "learning_rate": 1e-2,
        "threads": 1,
        "device": "cpu",
    }
    return values | changes


def test_another_network_is_trained_by_its_name(tmp_path: Path) -> None:
    morse_frames(60).save(tmp_path / "frames.npz")
    with NETWORKS.added("pairs", PairNetwork):
        configuration = make_configuration(
            settings(tmp_path, network={"kind": "pairs", "cutoff": 4.0}, ema=0.5, learning_rate=0.05)
        )
        assert configuration.network == {"kind": "pairs", "cutoff": 4.0, "width": 8}
        history = train(configuration).history
        assert history[-1]["train_loss"] < 0.8 * history[0]["train_loss"]
        potential = load(tmp_path / "run" / "potential.pt")
        assert isinstance(potential.network, PairNetwork)
        assert potential.cutoff == 4.0
        assert potential.metadata["training"]["network"] == configuration.network
        with pytest.raises(FfptError, match=r"key network\.width: .* not 'wide'"):
            make_configuration(settings(tmp_path, network={"kind": "pairs", "width": "wide"}))
        with pytest.raises(FfptError, match=r"unknown key network\.n_features; known here: cutoff, width"):
            make_configuration(settings(tmp_path, network={"kind": "pairs", "n_features": 16}))


def test_networks_that_there_are_not() -> None:
    with pytest.raises(FfptError, match="there is no network 'pears'; there are newtonnet"):
        make_configuration(settings(Path(), network={"kind": "pears"}))
    with pytest.raises(FfptError, match=r"unknown key network\.layers; known here: .*n_features"):
        make_configuration(settings(Path(), network={"layers": 3}))
    with pytest.raises(FfptError, match=r"key network: .* not 3"):
        make_configuration(settings(Path(), network=3))


def test_the_first_network_needs_no_kind() -> None:
    sizes = {"n_features": 128, "n_basis": 20, "n_layers": 3, "cutoff": 5.0}
    assert make_configuration(settings(Path())).network == {"kind": "newtonnet"} | sizes
    changed = make_configuration(settings(Path(), network={"n_layers": 2})).network
    assert changed == {"kind": "newtonnet"} | sizes | {"n_layers": 2}


@pytest.mark.parametrize(("given", "now"), [("auto", "auto"), ("fused", "cpp"), ("cpp", "cpp"), ("torch", "torch")])
def test_kernels_have_the_names_of_backends(given: str, now: str) -> None:
    assert make_configuration(settings(Path(), kernel=given)).kernel == now


def test_a_kernel_that_there_is_not() -> None:
    with pytest.raises(FfptError, match=r"key kernel: .*auto, .*torch.*, not 'magic'"):
        make_configuration(settings(Path(), kernel="magic"))


def test_configurations_of_before_and_those_written_now_are_read(tmp_path: Path) -> None:
    old = "data: {train: x.npz, energy_unit: kcal/mol}\noutput: out\nkernel: fused\n"
    old += "network: {n_features: 16, n_basis: 8, n_layers: 2, cutoff: 4.0}\n"
    (tmp_path / "old.yaml").write_text(old)
    configuration = read_configuration(tmp_path / "old.yaml")
    assert (configuration.kernel, configuration.network["n_features"]) == ("cpp", 16)
    write_configuration(tmp_path / "new.yaml", configuration)
    assert read_configuration(tmp_path / "new.yaml") == configuration


def test_keys_units_and_molecules_of_the_data(tmp_path: Path) -> None:
    """A file in kcal/mol with names of its own; the record says what molecules were in it."""
    frames = morse_frames(30)
    write(frames, tmp_path / "frames.xyz", prefix="my_")
    data = {
        "train": str(tmp_path / "frames.xyz"), "n_validation": 10, "energy_key": "my_energy",
        "forces_key": "my_forces", "energy_unit": "kcal/mol", "level": "Morse",
    }  # fmt: skip
    small = {"n_features": 4, "n_basis": 4, "n_layers": 1}
    result = train(make_configuration(settings(tmp_path, data=data, network=small, epochs=1, kernel="torch")))
    metadata = result.potential.metadata
    assert metadata["molecules"] == {"H2O2": 20}
    assert metadata["more_molecules"] == 0
    assert metadata["level"] == "Morse"
    mean = float(frames.energies.mean()) * 0.0433641
    shifts = result.potential.shifts.cpu()
    assert float(2 * shifts[1] + 2 * shifts[8]) == pytest.approx(mean, abs=0.05)
    with pytest.raises(FfptError, match=r"unknown key data\.energy_keys; known here: .*energy_key"):
        make_configuration(settings(tmp_path, data={"train": "x", "energy_keys": "e"}))
