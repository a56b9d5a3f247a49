"""Things many tests need: small tame potentials, molecules, a teacher, threads that do not fight."""

from __future__ import annotations

import os
from pathlib import Path

import ase.build
import numpy as np
import pytest
import torch
from ase import Atoms

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # for test_gpu, before anything imports Triton
from metadynamics_model import double_well, double_well_force, metadynamics
from openmm_models import random_potential

from ffpt_core import NetworkPotential
from ffpt_core.potentials.newtonnet.network import NewtonNet
from ffpt_core.teachers import Teacher, aspirin

# Two test processes on two cores: one thread each.
torch.set_num_threads(1)


def small_potential(dtype: torch.dtype = torch.float64, seed: int = 0, cutoff: float = 5.0) -> NetworkPotential:
    """A random network of 16 features that knows H, C, N and O, with shifts and scales that are not trivial."""
    torch.manual_seed(seed)
    network = NewtonNet(n_features=16, n_basis=8, n_layers=3, cutoff=cutoff).to(dtype)
    shifts = {1: -13.6, 6: -1030.0, 7: -1480.0, 8: -2040.0}
    return NetworkPotential(network, shifts, shifts, {1: 0.7, 6: 1.2, 7: 0.9, 8: 1.1}).eval()


@pytest.fixture
def potential() -> NetworkPotential:
    """small_potential in float64."""
    return small_potential()


@pytest.fixture(scope="module")
def weak_potential() -> NetworkPotential:
    """Of H, C and O, in float32: forces so small that MD hardly feels them."""
    return random_potential(scale=0.01, n_features=8, n_layers=1)


@pytest.fixture(scope="module")
def teacher() -> Teacher:
    """The built-in aspirin."""
    return aspirin()


@pytest.fixture
def ethanol() -> Atoms:
    """Nine atoms, rattled so that nothing is symmetric."""
    atoms = ase.build.molecule("CH3CH2OH")
    atoms.positions += np.random.default_rng(3).normal(0, 0.1, atoms.positions.shape)
    return atoms


@pytest.fixture(scope="session")
def double_well_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """HILLS and COLVAR of well-tempered metadynamics of 300 walkers in the double well."""
    folder = tmp_path_factory.mktemp("double-well")
    start = np.linspace(-1.2, 1.2, 300)[:, None]
    metadynamics(folder, ["x"], double_well, double_well_force, start, n_steps=8000, stride=80, height=0.06, seed=0)
    return folder
