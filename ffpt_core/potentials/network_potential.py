"""A potential made of a network: with shifts and scales of elements, a cutoff and a record, saved as one safe file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms

from ffpt_core.base.errors import FfptError
from ffpt_core.base.files import fingerprint
from ffpt_core.base.version import __version__
from ffpt_core.potentials.agreement import check_evaluator
from ffpt_core.potentials.backends import AUTO, choose_backend
from ffpt_core.potentials.interface import ISOLATED, Evaluator, Periodicity, Potential
from ffpt_core.potentials.network import NETWORKS, Network
from ffpt_core.potentials.scaled_network import ScaledNetwork
from ffpt_core.potentials.storage import FORMAT, FORMAT_VERSION, read_potential, write_potential

FILE = "potential.pt"
"""Its file in the folder of a run."""

_FIRST_KIND = "newtonnet"
"""The network of files that do not say which they hold."""


class NetworkPotential(ScaledNetwork, Potential):
    """Energies and forces of molecules and periodic systems by a network.

    E = sum_i (scale[Z_i] * network_i + shift[Z_i]), forces = -dE/dr.

    Args:
        network: gives the energies of atoms.
        elements: atomic numbers that the potential knows; others are refused.
        shifts: eV for each element (missing ones are 0).
        scales: eV for each element (missing ones are 1).
        metadata: anything JSON can hold: level of theory, training configuration, data fingerprints, errors.
    """

    batches = True
    frames_at_once = 128
    elements: frozenset[int]

    def __init__(
        self,
        network: Network,
        elements: Iterable[int],
        shifts: Mapping[int, float] | None = None,
        scales: Mapping[int, float] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(network, elements, shifts, scales)
        self.metadata: dict[str, Any] = dict(metadata or {})

    @property
    def level(self) -> str:  # type: ignore[override]  # part of the metadata
        """Level of theory that it was trained on."""
        return self.metadata.get("level", "")

    @property
    def on_gpu(self) -> bool:  # type: ignore[override]  # it can move
        """Whether the weights are on a GPU."""
        return self.device.type != "cpu"

    def evaluator(
        self,
        numbers: Sequence[int] | np.ndarray,
        pbc: Periodicity = ISOLATED,
        copies: int = 1,
        backend: str = AUTO,
    ) -> Evaluator:
        """The fastest that there is here, compared with plain PyTorch before it is handed out.

        Args:
            numbers: atomic numbers of one copy.
            pbc: along which cell vectors the system is periodic.
            copies: how many copies a call evaluates.
            backend: a name of ffpt_core.potentials.backends, or "auto".

        Raises:
            FfptError: an element that the potential does not know; a backend that cannot be had, or whose numbers are
                not those of the network.
        """
        self.check(numbers, pbc)
        chosen = choose_backend(backend, self)
        check_evaluator(lambda atoms, some: chosen.evaluator(self, atoms, pbc, some), self, numbers, pbc, copies)
        return chosen.evaluator(self, numbers, pbc, copies)

    def energy_forces_stress(self, atoms: Atoms) -> tuple[float, np.ndarray, np.ndarray]:
        """By eager PyTorch, from a pair list made for this structure: what every backend is compared with.

        Returns:
            eV; (n_atoms, 3) eV/Angstrom; (3, 3) dE/d(strain)/volume, eV/Angstrom^3, positive under tension
            as in ASE (zeros for a structure without a volume).

        Raises:
            FfptError: an element that the potential does not know; positions that are not finite; no cell.
        """
        self.check(atoms.numbers, atoms.pbc)
        return super().energy_forces_stress(atoms)

    def description(self) -> dict[str, Any]:
        """The JSON record that every saved or exported file carries."""
        settings = self.network.settings()
        return {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "ffpt_version": __version__,
            "elements": sorted(self.elements),
            "cutoff": settings.pop("cutoff"),
            "units": {"energy": "eV", "length": "Angstrom"},
            "precision": str(self.dtype).removeprefix("torch."),
            "network_kind": self.network.kind,
            "network": settings,
            "metadata": self.metadata,
        }

    def record(self) -> dict[str, Any]:
        """The record of its files, with its level and a fingerprint of weights, shifts, scales, elements, cutoff."""
        description = self.description()
        computing = {key: description[key] for key in ("elements", "cutoff", "network")}
        if self.network.kind != _FIRST_KIND:
            computing["network_kind"] = self.network.kind
        arrays = [tensor.detach().cpu().numpy() for _, tensor in sorted(self.state_dict().items())]
        text = np.frombuffer(json.dumps(computing, sort_keys=True).encode(), dtype=np.uint8)
        return {"fingerprint": fingerprint(text, *arrays), "level": self.level, **description}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write weights and record to one file (safetensors), atomically."""
        write_potential(path, self.description(), self.state_dict())

    def save_into(self, folder: str | os.PathLike[str]) -> None:
        """Write potential.pt into the folder of a run."""
        self.save(Path(folder) / FILE)


def load(path: str | os.PathLike[str], device: str | torch.device | None = None) -> NetworkPotential:
    """Load a potential made of a network. Nothing is unpickled or executed.

    Args:
        path: a file that NetworkPotential.save wrote.
        device: where to put it; None takes CUDA if there is one, else the CPU.

    Raises:
        FfptError: no such file; truncated, foreign or pickled file; written by a newer format; a kind of network that
            no installed package has.
    """
    record, tensors = read_potential(path)
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    kind = NETWORKS.get(record.get("network_kind", _FIRST_KIND))
    network = kind(**record["network"], cutoff=record["cutoff"]).to(getattr(torch, record["precision"]))
    potential = NetworkPotential(network, record["elements"], metadata=record["metadata"])
    try:
        potential.load_state_dict(tensors)
    except RuntimeError as error:
        raise FfptError(f"cannot load {path}: its weights do not fit its own description ({error})") from error
    return potential.to(device).eval()
