"""A second network, small and unlike NewtonNet, from outside of the package: the proof that none is welded."""

# TorchScript reads the annotations of this file: no postponed evaluation here.
import torch
from pydantic import Field
from torch import Tensor, nn

from ffpt_core.potentials.network import N_ATOMIC_NUMBERS, Network, NetworkSettings
from ffpt_core.potentials.pair_index import PairIndex, add_pairs


class PairDensitySettings(NetworkSettings):
    """Sizes of a PairDensity."""

    width: int = Field(16, gt=0, description="number of densities")
    hidden: int = Field(24, gt=0, description="width of the readout")


class PairDensity(Network):
    """Energies of atoms as functions of the densities of their neighbours: Gaussians times products of two elements."""

    Settings = PairDensitySettings
    kind = "pair-density"

    def __init__(self, width: int = 16, hidden: int = 24, cutoff: float = 5.0) -> None:
        super().__init__(width=width, hidden=hidden, cutoff=cutoff)
        self.own = nn.Embedding(N_ATOMIC_NUMBERS, width)
        self.weights = nn.Embedding(N_ATOMIC_NUMBERS, width)
        self.register_buffer("centres", torch.linspace(0.5, cutoff, width))
        self.hidden_layer = nn.Linear(width, hidden)
        self.last = nn.Linear(hidden, 1)
        self.to(torch.get_default_dtype())

    @torch.jit.unused
    def divide(self, factor: float) -> None:
        """Divide the energies, in the last layer."""
        self.last.weight.div_(factor)
        self.last.bias.div_(factor)

    def atomic_energies(self, numbers: Tensor, pairs: PairIndex, displacements: Tensor) -> Tensor:
        """(n_atoms,) energies."""
        distances = torch.sqrt((displacements * displacements).sum(1, keepdim=True))
        within = (1.0 - distances / self.cutoff).clamp(min=0.0)
        radial = within * within * within * torch.exp(-2.0 * (distances - self.centres) ** 2)
        weights = self.weights(numbers)
        to_first = radial * weights.index_select(0, pairs.second)
        to_second = radial * weights.index_select(0, pairs.first)
        density = add_pairs(self.own(numbers), to_first, to_second, pairs)
        return self.last(torch.tanh(self.hidden_layer(torch.tanh(density)))).squeeze(1)
