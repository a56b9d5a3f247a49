"""Saving, loading and refusing potentials; the ASE calculator."""

from __future__ import annotations

import pickle
from pathlib import Path

import ase.build
import numpy as np
import pytest
import safetensors.torch
import torch
from ase import Atoms, units
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from ase.md.verlet import VelocityVerlet
from conftest import small_potential

from ffpt_core import FfptError, NetworkPotential, load
from ffpt_core.potentials.ase import PotentialCalculator


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_saved_potential_comes_back_whole(tmp_path: Path, ethanol: Atoms, dtype: torch.dtype) -> None:
    potential = small_potential(dtype)
    potential.metadata = {"level": "made up", "errors": {"test": {"force_mae": 0.1}}}
    potential.save(tmp_path / "p.pt")
    back = load(tmp_path / "p.pt", device="cpu")
    assert (back.elements, back.cutoff, back.dtype) == (potential.elements, potential.cutoff, dtype)
    assert back.metadata == potential.metadata
    assert back.record() == potential.record()
    energy, forces = potential.energy_and_forces(ethanol)
    assert back.energy_and_forces(ethanol)[0] == energy
    np.testing.assert_array_equal(back.energy_and_forces(ethanol)[1], forces)
    assert [path.name for path in tmp_path.iterdir()] == ["p.pt"]


def test_files_that_are_not_ours_are_refused(tmp_path: Path, potential: NetworkPotential) -> None:
    path = tmp_path / "p.pt"
    potential.save(path)
    whole = path.read_bytes()
    cases = {
        "truncated": whole[: len(whole) // 2],
        "no ffpt potential": safetensors.torch.save({"x": torch.zeros(3)}),
        "truncated or not a file": b"hello, I am not a model",
    }
    for message, content in cases.items():
        path.write_bytes(content)
        with pytest.raises(FfptError, match=message):
            load(path)
    with pytest.raises(FfptError, match="No such file"):
        load(tmp_path / "nowhere.pt")


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    flag = tmp_path / "executed"

    class Evil:
        def __reduce__(self) -> tuple:
            return (flag.touch, ())

    (tmp_path / "pickle.pt").write_bytes(pickle.dumps(Evil()))
    torch.save({"weights": Evil()}, tmp_path / "zip.pt")
    with pytest.raises(FfptError, match="Python pickle"):
        load(tmp_path / "pickle.pt")
    with pytest.raises(FfptError, match="zip archive"):
        load(tmp_path / "zip.pt")
    assert not flag.exists()


def test_a_newer_format_says_so(tmp_path: Path, potential: NetworkPotential, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ffpt_core.potentials.network_potential.FORMAT_VERSION", 99)
    potential.save(tmp_path / "p.pt")
    monkeypatch.undo()
    with pytest.raises(FfptError, match=r"format version 99.*install a newer one"):
        load(tmp_path / "p.pt")


def test_unknown_elements_and_positions_are_refused(potential: NetworkPotential) -> None:
    with pytest.raises(FfptError, match="does not know S; it knows H, C, N, O"):
        potential.energy_and_forces(ase.build.molecule("SO2"))
    with pytest.raises(FfptError, match="not finite"):
        potential.energy_and_forces(Atoms("OH", [[0, 0, 0], [0, 0, np.nan]]))


def test_ase_calculator(potential: NetworkPotential, ethanol: Atoms) -> None:
    ethanol.calc = PotentialCalculator(potential, {"backend": "torch"})
    energy, forces = potential.energy_and_forces(ethanol)
    assert ethanol.get_potential_energy() == pytest.approx(energy, rel=1e-14)  # summed in another order
    assert ethanol.get_potential_energy() == ethanol.get_potential_energy(force_consistent=True)
    np.testing.assert_allclose(ethanol.get_forces(), forces, rtol=0, atol=1e-14)
    with pytest.raises(Exception, match="stress"):
        ethanol.get_stress()
    ethanol.set_cell([12, 12, 12])
    ethanol.pbc = True
    ethanol.calc = PotentialCalculator(potential, {"backend": "torch"})
    stress = potential.energy_forces_stress(ethanol)[2]
    np.testing.assert_allclose(ethanol.get_stress(voigt=False), stress, atol=1e-14)


def test_rescaling_changes_no_energy(potential: NetworkPotential, ethanol: Atoms) -> None:
    energy, forces = potential.energy_and_forces(ethanol)
    scale = potential.scales[6].item()
    potential.rescale(0.1)
    assert potential.scales[6].item() == pytest.approx(0.1 * scale)
    assert potential.energy_and_forces(ethanol)[0] == pytest.approx(energy, abs=1e-10)
    np.testing.assert_allclose(potential.energy_and_forces(ethanol)[1], forces, atol=1e-12)


def test_energy_is_conserved(ethanol: Atoms) -> None:
    """200 fs of NVE on a random, gentle surface: total energy to 1e-5 of the kinetic energy."""
    potential = small_potential()
    potential.scales *= 0.05
    ethanol.calc = potential.calculator()
    MaxwellBoltzmannDistribution(ethanol, temperature_K=100, rng=np.random.default_rng(0))
    dynamics = VelocityVerlet(ethanol, timestep=0.25 * units.fs)
    totals = []
    dynamics.attach(lambda: totals.append(ethanol.get_total_energy()), interval=20)
    dynamics.run(800)
    kinetic = ethanol.get_kinetic_energy()
    assert kinetic > 0.01
    assert np.ptp(totals) < 1e-3 * kinetic
