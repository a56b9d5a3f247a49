"""What a network is: the part of a potential that is trained."""

# TorchScript reads the annotations of this file: no postponed evaluation here.
from typing import Any, ClassVar

import pydantic
import torch
from torch import Tensor, nn

from ffpt_core.base.registry import Registry
from ffpt_core.potentials.pair_index import PairIndex

N_ATOMIC_NUMBERS = 119
"""Rows of tables by atomic number: 0 (padding) to 118."""


class NetworkSettings(pydantic.BaseModel):
    """Sizes of a network: the arguments of its constructor. Those of a kind of network are a subclass."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    cutoff: float = pydantic.Field(5.0, gt=0, description="Angstrom")


class Network(nn.Module):
    """Atomic numbers, pairs and displacements to energies of atoms and their gradient.

    A subclass writes ``atomic_energies`` out of operations that autograd and TorchScript know, and its Settings; the
    gradient is then autograd's. One that has its gradient written out, as NewtonNet has, overrides ``forward``.

    A network with a gradient by autograd is trained through second derivatives: its operations must have them.

    Args:
        settings: by name, as its Settings has them; kept for its record.
    """

    Settings: ClassVar[type[NetworkSettings]] = NetworkSettings
    kind: ClassVar[str] = ""
    """Its name in the registry of networks, by which a file says which network it holds."""

    cutoff: float

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self._settings = self.Settings(**settings)
        self.cutoff = self._settings.cutoff

    @torch.jit.unused
    def settings(self) -> dict[str, Any]:
        """The arguments of the constructor, as JSON values."""
        return self._settings.model_dump(mode="json")

    @torch.jit.unused
    def divide(self, factor: float) -> None:
        """Divide what the network gives by a factor, for ever. A subclass does it in its last layer.

        Raises:
            NotImplementedError: the network has no last layer to do it in.
        """
        raise NotImplementedError(f"{type(self).__name__} cannot divide its energies")

    def atomic_energies(self, numbers: Tensor, pairs: PairIndex, displacements: Tensor) -> Tensor:
        """(n_atoms,) energies of atoms, before the scales and shifts of a potential. Arguments as those of forward."""
        raise NotImplementedError

    def forward(
        self, numbers: Tensor, pairs: PairIndex, displacements: Tensor, scales: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Energies of atoms, and the gradient of their scaled sum with respect to the displacements.

        Args:
            numbers: (n_atoms,) int64, atomic numbers.
            pairs: each pair once; a periodic pair list may name an atom twice in a pair. Pairs beyond the cutoff must
                not change the result.
            displacements: (n_pairs, 3) r_i - r_j, Angstrom, of the pairs' first atom i and second atom j.
            scales: (n_atoms,) weight of each atomic energy in the sum that is differentiated.

        Returns:
            (n_atoms,) atomic energies without scales, and (n_pairs, 3) d(sum scales * energies)/d(displacements).
            Both can be differentiated in the weights.
        """
        if torch.jit.is_scripting():  # which knows no enable_grad: the caller must not have gradients switched off
            moved = displacements.clone().requires_grad_(True)
            energies = self.atomic_energies(numbers, pairs, moved)
            gradient = torch.autograd.grad([(scales * energies).sum()], [moved], allow_unused=True)[0]
        else:
            trained = torch.is_grad_enabled()
            with torch.enable_grad():
                moved = displacements.detach().requires_grad_(True)
                energies = self.atomic_energies(numbers, pairs, moved)
                total = (scales * energies).sum()
                gradient = torch.autograd.grad([total], [moved], create_graph=trained, allow_unused=True)[0]
            energies = energies if trained else energies.detach()
        if gradient is None:  # no pair within the cutoff has a say
            gradient = torch.zeros_like(displacements)
        return energies, gradient


NETWORKS: Registry[type[Network]] = Registry(
    "ffpt.networks", "network", {"newtonnet": "ffpt_core.potentials.newtonnet.network:NewtonNet"}
)
"""The kinds of networks: what a file or a training configuration can name."""
