"""The network against the reference implementation's own numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from ffpt_core import reference
from ffpt_core.potentials.ase import PotentialCalculator
from ffpt_core.potentials.newtonnet.cpp import load_kernel

PARITY = Path(__file__).parents[4] / "shared" / "parity"
FIXTURES = sorted(PARITY.glob("newtonnet-*.npz"))
needs_kernel = pytest.mark.skipif(isinstance(load_kernel(), str), reason=f"no fused kernel: {load_kernel()}")
pytestmark = pytest.mark.skipif(not FIXTURES, reason="fixtures of the reference implementation are not on this machine")


@pytest.fixture(scope="module", params=FIXTURES, ids=lambda path: path.stem)
def fixture(request: pytest.FixtureRequest) -> dict[str, np.ndarray]:
    return dict(np.load(request.param))


def _weights(fixture: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name.removeprefix("weights/"): value for name, value in fixture.items() if name.startswith("weights/")}


@pytest.mark.parametrize("kernel", ["torch", pytest.param("fused", marks=needs_kernel)])
def test_energies_and_forces_match_the_reference(fixture: dict[str, np.ndarray], kernel: str) -> None:
    potential = reference.load_reference(_weights(fixture), cutoff=float(fixture["cutoff"]))
    names = {name.split("/")[0] for name in fixture if name.endswith("/energy")}
    assert names == {"OH", "HO2", "H2O_H2O_far", "ethanol_rattled", "water27_periodic"}
    for name in names:
        atoms = Atoms(
            numbers=fixture[f"{name}/numbers"],
            positions=fixture[f"{name}/positions"],
            cell=fixture[f"{name}/cell"],
            pbc=fixture[f"{name}/pbc"],
        )
        atoms.calc = PotentialCalculator(potential, {"backend": kernel})
        energy, forces = atoms.get_potential_energy(), atoms.get_forces()
        assert energy == pytest.approx(float(fixture[f"{name}/energy"]), rel=0, abs=1e-9), name
        np.testing.assert_allclose(forces, fixture[f"{name}/forces"], rtol=0, atol=1e-8, err_msg=name)


def test_weights_go_out_as_they_came_in(fixture: dict[str, np.ndarray]) -> None:
    weights = _weights(fixture)
    state = reference.reference_state(reference.load_reference(weights))
    assert set(state) == set(weights)
    for name, value in weights.items():
        np.testing.assert_array_equal(state[name].numpy(), value, err_msg=name)
