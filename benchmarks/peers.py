"""Other potentials to compare with: the reference NewtonNet (with ffpt's own weights), MACE and TensorNet.

Each is used as its authors' code uses it. Where a choice was open, it was made in the peer's favour: pair lists and
batches made beforehand are not part of its time, except where its own network searches pairs in every call.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.machinery
import importlib.metadata
import importlib.util
import io
import sys
import tempfile
import types
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms

from benchmarks.systems import ELEMENTS, along
from ffpt_core import NetworkPotential
from ffpt_core.potentials.newtonnet.reference import reference_state
from ffpt_core.training.batches import Batch

EnergyAndForces = tuple[float, np.ndarray]
"""eV, and (n_atoms, 3) eV/Angstrom."""

REFERENCE = "reference NewtonNet"
DISTRIBUTIONS = {REFERENCE: "newtonnet", "MACE": "mace-torch", "TensorNet": "torchmd-net"}
"""Name of each peer, and of the package that it comes in."""


def installed() -> tuple[dict[str, str], dict[str, str]]:
    """Versions of the peers that can be imported, and for each of the others one line on why not."""
    versions, missing = {}, {}
    if importlib.util.find_spec("wandb") is None:  # the reference's trainer imports it, nothing uses it
        sys.modules["wandb"] = types.ModuleType("wandb")
        sys.modules["wandb"].__spec__ = importlib.machinery.ModuleSpec("wandb", None)
    modules = {REFERENCE: "newtonnet.models.newtonnet", "MACE": "mace.modules", "TensorNet": "torchmdnet.models.model"}
    for name, module in modules.items():
        try:
            with _quiet():
                importlib.import_module(module)
            versions[name] = importlib.metadata.version(DISTRIBUTIONS[name])
        except (ImportError, importlib.metadata.PackageNotFoundError) as error:
            missing[name] = f"{DISTRIBUTIONS[name]} is not installed ({error}): make benchmark installs it"
    return versions, missing


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the peers' remarks about accelerators that are not there, and Warp's log of its own compiling."""
    with warnings.catch_warnings(), contextlib.suppress(ImportError):
        warnings.simplefilter("ignore")
        import warp  # of TensorNet, for good: it compiles when first called

        warp.config.log_level = warp.LOG_ERROR
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        yield


class Reference:
    """The reference NewtonNet 2.0.1 with the weights of a potential, in float32.

    Args:
        potential: the weights; the peer runs on its device.
        properties: what its network infers. Energies alone for inference; with "gradient_force" for training.
    """

    def __init__(self, potential: NetworkPotential, properties: Sequence[str] = ("energy",)) -> None:
        from newtonnet.layers.representations import get_representation_by_string
        from newtonnet.models.newtonnet import NewtonNet

        network = potential.network
        self.cutoff, self.device = potential.cutoff, potential.device
        self.model = NewtonNet(
            n_features=network.n_features,
            n_interactions=network.n_layers,
            activation="swish",
            infer_properties=list(properties),
            representations=get_representation_by_string(self.cutoff, n_basis=network.n_basis),
        )
        self.model.load_state_dict(reference_state(potential))
        self.model.to(self.device)
        self.model.eval()

    def energy_and_forces(self, atoms: Atoms) -> EnergyAndForces:
        """As in the script that made the parity fixtures: NumPy pair list, network, autograd over positions."""
        first, second = self._directed_pairs(atoms)
        numbers = torch.as_tensor(atoms.numbers, device=self.device)
        positions = torch.tensor(atoms.positions, dtype=torch.float32, device=self.device, requires_grad=True)
        displacements = positions[first] - positions[second]
        if atoms.pbc.any():
            length = torch.tensor(atoms.cell.lengths(), dtype=torch.float32, device=self.device)
            displacements = displacements - length * torch.round(displacements / length).detach()
        energy = self.model(numbers, displacements, torch.stack([first, second]), torch.zeros_like(numbers)).energy
        (gradient,) = torch.autograd.grad(energy.sum(), positions)
        return energy.item(), -gradient.cpu().numpy()

    def _directed_pairs(self, atoms: Atoms) -> tuple[torch.Tensor, torch.Tensor]:
        first, second = np.nonzero(~np.eye(len(atoms), dtype=bool))
        displacements = atoms.positions[first] - atoms.positions[second]
        if atoms.pbc.any():
            length = atoms.cell.lengths()
            displacements -= length * np.round(displacements / length)
        close = np.linalg.norm(displacements, axis=1) < self.cutoff
        pairs = torch.as_tensor(np.stack([first[close], second[close]]), device=self.device)
        return pairs[0], pairs[1]

    def calculator(self) -> Callable[[Atoms], object]:
        """Its own ASE calculator: search of pairs in torch, gradient of the displacements."""
        from newtonnet.utils.ase_interface import MLAseCalculator

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.pt"
            torch.save(self.model, path)
            calculator = MLAseCalculator(str(path), device=str(self.device))
        return calculator.calculate

    def training_step(self, batches: Sequence[Batch], learning_rate: float) -> Callable[[], float]:
        """One step of its trainer on the next batch: loss 1 x energy MSE + 20 x force MSE, Adam. Returns the loss.

        Its evaluation of further errors after each batch is left out, and its batches are made beforehand.
        """
        from newtonnet.train.loss import get_loss_by_string

        losses = {"energy": {"weight": 1.0, "mode": "mse"}, "gradient_force": {"weight": 20.0, "mode": "mse"}}
        loss_of, _ = get_loss_by_string(losses)
        self.model.train()
        optimizer = torch.optim.Adam(self.model.parameters(), lr=learning_rate)

        def step(data: types.SimpleNamespace) -> float:
            optimizer.zero_grad()
            predicted = self.model(data.z, data.disp, data.edge_index, data.batch)
            loss = loss_of(predicted, data)
            loss.backward()
            optimizer.step()
            return loss.item()

        return along(step, [_directed_batch(batch) for batch in batches])  # type: ignore[return-value]


def _directed_batch(batch: Batch) -> types.SimpleNamespace:
    """A batch as the reference's loader makes it: every pair in both directions, with its displacement."""
    pairs = torch.cat([batch.pairs, batch.pairs.flip(0)], dim=1)
    order = torch.argsort(pairs[0], stable=True)
    edges = pairs[:, order]
    assert batch.energies is not None
    assert batch.forces is not None
    return types.SimpleNamespace(
        z=batch.numbers,
        disp=(batch.positions[edges[0]] - batch.positions[edges[1]]).float(),
        edge_index=edges,
        batch=batch.frames,
        energy=batch.energies.float(),
        force=batch.forces.float(),
    )


@dataclass(frozen=True)
class ForScale:
    """A peer of another kind, with random weights.

    Args:
        settings: what it is, in words.
        evaluator: makes a call that evaluates energy and forces of a structure.
    """

    settings: str
    evaluator: Callable[[Atoms], Callable[[], EnergyAndForces]]


def mace(device: str) -> ForScale:
    """MACE with 128x0e + 128x1o, two layers, the other settings the defaults of its training command.

    The graph is made beforehand. Batatia et al., NeurIPS 2022, arXiv 2206.07697.
    """
    with _quiet():
        from e3nn import o3
        from mace import data, modules, tools
        from mace.tools import torch_geometric

        torch.manual_seed(0)
        block = modules.interaction_classes["RealAgnosticResidualInteractionBlock"]
        model = modules.MACE(
            r_max=5.0,
            num_bessel=8,
            num_polynomial_cutoff=5,
            max_ell=3,
            interaction_cls=block,
            interaction_cls_first=block,
            num_interactions=2,
            num_elements=len(ELEMENTS),
            hidden_irreps=o3.Irreps("128x0e + 128x1o"),
            MLP_irreps=o3.Irreps("16x0e"),
            atomic_energies=np.zeros(len(ELEMENTS)),
            avg_num_neighbors=15.0,
            atomic_numbers=list(ELEMENTS),
            correlation=3,
            gate=torch.nn.functional.silu,
        )
    model = model.float().to(device).eval()
    table = tools.AtomicNumberTable(list(ELEMENTS))

    def evaluator(atoms: Atoms) -> Callable[[], EnergyAndForces]:
        graph = data.AtomicData.from_config(data.config_from_atoms(atoms), z_table=table, cutoff=5.0)
        batch = torch_geometric.Batch.from_data_list([graph]).to(device).to_dict()

        def evaluate() -> EnergyAndForces:
            result = model(dict(batch), training=False, compute_force=True)
            return result["energy"].item(), result["forces"].detach().cpu().numpy()

        return evaluate

    return ForScale("128x0e + 128x1o, 2 layers, correlation 3, max_ell 3, 5 Angstrom", evaluator)


TENSORNET: dict[str, Any] = {
    "model": "tensornet",
    "embedding_dimension": 128,
    "num_layers": 2,
    "num_rbf": 32,
    "rbf_type": "expnorm",
    "trainable_rbf": False,
    "activation": "silu",
    "cutoff_lower": 0.0,
    "cutoff_upper": 4.5,
    "max_z": 128,
    "max_num_neighbors": 64,
    "equivariance_invariance_group": "O(3)",
    "static_shapes": False,
    "derivative": True,
    "atom_filter": -1,
    "prior_model": None,
    "output_model": "Scalar",
    "reduce_op": "sum",
    "precision": 32,
}
"""Defaults of TorchMD-Net's class TensorNet (version 3.1), with forces."""


def tensornet(device: str) -> ForScale:
    """TensorNet with the defaults of its class: 128 channels, two layers, 32 radial functions, 4.5 Angstrom.

    It searches pairs in every call. Simeon & De Fabritiis, NeurIPS 2023, arXiv 2306.06482.
    """
    with _quiet():
        from torchmdnet.models.model import create_model

        torch.manual_seed(0)
        model = create_model(dict(TENSORNET)).to(device).eval()

    def evaluator(atoms: Atoms) -> Callable[[], EnergyAndForces]:
        numbers = torch.as_tensor(atoms.numbers, device=device)
        frames = torch.zeros_like(numbers)
        start = torch.tensor(atoms.positions, dtype=torch.float32, device=device)
        box = torch.tensor(np.array(atoms.cell), dtype=torch.float32, device=device) if atoms.pbc.any() else None

        def evaluate() -> EnergyAndForces:
            energy, forces = model(numbers, start.clone().requires_grad_(True), frames, box=box)
            return energy.item(), forces.detach().cpu().numpy()

        return evaluate

    return ForScale("128 channels, 2 layers, 32 radial functions, 4.5 Angstrom", evaluator)


FOR_SCALE: dict[str, Callable[[str], ForScale]] = {"MACE": mace, "TensorNet": tensornet}
