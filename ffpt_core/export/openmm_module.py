"""The modules that simulation engines call: positions in the engine's units in, energy and forces out.

One module serves a fixed list of atoms, or many copies of it that do not see each other (replicas). It is plain
tensor code around Network.forward, which TorchScript compiles. Where a network has its gradient written out, as
NewtonNet has, no autograd graph is built.
"""

# TorchScript reads the annotations of this file: no postponed evaluation here.
import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ffpt_core.base.units import KJ_PER_MOL, NANOMETRE
from ffpt_core.potentials.fixed_atoms import ALL_PAIRS_UP_TO
from ffpt_core.potentials.network import Network
from ffpt_core.potentials.network_potential import NetworkPotential
from ffpt_core.potentials.pair_index import add_pairs, unordered
from ffpt_core.structure.pairs import all_pairs, still_complete
from ffpt_core.structure.repeated_pairs import repeated_pairs, replica_pairs

SKIN = 1.0
"""Angstrom beyond the cutoff that the pair list of other systems covers, to serve until an atom moves half of it."""


class _EngineModule(nn.Module):
    """Energy and forces in nm and kJ/mol, as OpenMM and PLUMED count.

    Differences of positions are formed in float64 and energies are summed in float64, whatever the type of the
    network: a float32 network keeps energy differences far from the origin and of large total energies.

    A module keeps its pair list from call to call (see update_pairs): it is for one thread at a time.

    Args:
        potential: what to evaluate; its weights are copied.
        numbers: atomic numbers of the atoms of one copy, in order.
        atoms: indices of the atoms of all copies among the engine's particles, copy after copy; None where they are
            all of them.
        periodic: whether forward needs box vectors, which all copies share.
        replicas: number of copies. No pair is ever between two of them, wherever they are.
    """

    numbers: Tensor
    atoms: Tensor
    pairs: Tensor
    scales: Tensor
    shift: Tensor
    pbc: Tensor
    shifts: Tensor
    listed_positions: Tensor
    listed_inverse: Tensor

    def __init__(
        self,
        potential: NetworkPotential,
        numbers: Sequence[int],
        atoms: Sequence[int] | None = None,
        periodic: bool = False,
        replicas: int = 1,
    ) -> None:
        super().__init__()
        self.network = copy.deepcopy(potential.network).eval().requires_grad_(False)
        # TorchScript knows no enable_grad: gradients must not be switched off around a network that asks autograd.
        self.by_autograd = type(potential.network).forward is Network.forward
        self.cutoff = potential.cutoff
        self.skin = SKIN
        self.periodic = periodic
        self.replicas = replicas
        self.static = not periodic and len(numbers) <= ALL_PAIRS_UP_TO
        self.subset = atoms is not None
        self.length = NANOMETRE
        self.energy = 1.0 / KJ_PER_MOL
        device = potential.device
        z = torch.as_tensor(list(numbers), dtype=torch.int64, device=device)
        empty = torch.zeros(0, dtype=torch.int64, device=device)
        pairs = all_pairs(len(z) if self.static else 0, device)
        self.register_buffer("numbers", z.repeat(replicas))
        self.register_buffer("atoms", empty if atoms is None else torch.as_tensor(list(atoms), device=device))
        self.register_buffer("pairs", repeated_pairs(pairs, len(z), replicas))
        self.register_buffer("scales", potential.scales.index_select(0, self.numbers).to(potential.dtype))
        self.register_buffer("shift", potential.shifts.index_select(0, z).sum())
        self.register_buffer("pbc", torch.full((3,), periodic, dtype=torch.bool, device=device))
        # The pair list is kept between calls, with what it was made for. Attributes that forward assigns survive
        # freezing, and every Context of a TorchForce clones the module: none sees the list of another.
        self.register_buffer("shifts", torch.zeros(0, 3, dtype=torch.float64, device=device))
        self.register_buffer("listed_positions", torch.zeros(0, 3, dtype=torch.float64, device=device))
        self.register_buffer("listed_inverse", torch.eye(3, dtype=torch.float64, device=device))

    def displacements(self, x: Tensor, box: Tensor | None) -> tuple[Tensor, Tensor]:
        """The pairs within the cutoff, (2, n_pairs), and their r_i - r_j, (n_pairs, 3) Angstrom, float64.

        Args:
            x: (replicas * n_atoms, 3) Angstrom, float64.
            box: (3, 3) rows are box vectors in nm, or None.
        """
        if self.periodic and box is None:
            raise RuntimeError("this model is periodic: setUsesPeriodicBoundaryConditions(True) is missing")
        if not self.periodic and box is not None:
            raise RuntimeError("this model is of an isolated molecule: export it with periodic=True for a box")
        cell = torch.eye(3, dtype=torch.float64, device=x.device)
        if box is not None:
            cell = box.detach().to(x.device, torch.float64) * self.length
        if not self.static:
            self.update_pairs(x, cell)
        pairs = self.pairs
        d = x.index_select(0, pairs[0]) - x.index_select(0, pairs[1])
        if self.periodic:
            d = d + self.shifts @ cell
        if not self.static or x.is_cpu:
            # A quarter of the pairs of a molecule like aspirin is beyond the cutoff: dropping them saves a quarter
            # of the time. On a GPU the size of the result would have to be awaited.
            kept = torch.nonzero((d * d).sum(1) < self.cutoff * self.cutoff).squeeze(1)
            pairs, d = pairs.index_select(1, kept), d.index_select(0, kept)
        return pairs, d

    def update_pairs(self, x: Tensor, cell: Tensor) -> None:
        """Make the pair list anew if atoms or cell have moved too far since it was made.

        Args:
            x: (replicas * n_atoms, 3) Angstrom, float64.
            cell: (3, 3) Angstrom.
        """
        if self.listed_positions.shape[0] != x.shape[0] or not still_complete(
            x, cell, self.listed_positions, self.listed_inverse, self.cutoff, self.skin
        ):
            self.pairs, self.shifts = replica_pairs(x, self.replicas, cell, self.pbc, self.cutoff + self.skin)
            # A copy: x may be the memory of the engine.
            self.listed_positions, self.listed_inverse = x.clone(), torch.linalg.inv(cell)

    def evaluate(self, positions: Tensor, box: Tensor | None) -> tuple[Tensor, Tensor]:
        """Energies of the copies, (replicas,) float64 in kJ/mol, and forces, (n_particles, 3) float64 in kJ/mol/nm.

        A coordinate that is not a number makes the energy of its own copy NaN and leaves the others as they are.

        Args:
            positions: (n_particles, 3) nm.
            box: (3, 3) rows are box vectors in nm, or None.
        """
        with torch.no_grad():
            everything = positions.detach().to(self.numbers.device, torch.float64)
            x = everything * self.length
            if self.subset:
                x = x.index_select(0, self.atoms)
            pairs, d = self.displacements(x, box)
            index = unordered(pairs)
        if self.by_autograd:
            atomic, gradient = self.network(self.numbers, index, d.to(self.scales.dtype), self.scales)
        else:
            with torch.no_grad():
                atomic, gradient = self.network(self.numbers, index, d.to(self.scales.dtype), self.scales)
        with torch.no_grad():
            atomic = (self.scales * atomic).to(torch.float64).view(self.replicas, -1)
            energies = (atomic.sum(1) + self.shift) * self.energy
            # A NaN coordinate is in no pair, but must not pass unseen.
            energies = energies + 0.0 * x.view(self.replicas, -1).sum(1)
            gradient = gradient.to(torch.float64) * (self.energy * self.length)
            forces = add_pairs(torch.zeros_like(x), -gradient, gradient, index)
            if self.subset:
                forces = torch.zeros_like(everything).index_copy(0, self.atoms, forces)
        return energies.to(positions.device), forces.to(positions.device)


class ForceModule(_EngineModule):
    """Returns (energy, forces): what TorchForce takes after setOutputsForces(True)."""

    def forward(self, positions: Tensor, boxvectors: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Energy of all copies (kJ/mol, float64 scalar) and forces ((n_particles, 3) kJ/mol/nm, float64).

        Args:
            positions: (n_particles, 3) nm.
            boxvectors: (3, 3) nm, of a periodic model.
        """
        energies, forces = self.evaluate(positions, boxvectors)
        return energies.sum(), forces


class EnergyModule(_EngineModule):
    """Returns the energy, with a gradient that autograd finds at once: what a plain TorchForce takes."""

    def forward(self, positions: Tensor, boxvectors: Tensor | None = None) -> Tensor:
        """Energy of all copies (kJ/mol, float64 scalar) whose gradient is minus the hand-written forces.

        Args:
            positions: (n_particles, 3) nm.
            boxvectors: (3, 3) nm, of a periodic model.
        """
        energies, forces = self.evaluate(positions, boxvectors)
        with torch.no_grad():
            # Not detach(): freezing, which TorchForce does when it starts, drops it and the gradient with it.
            here = positions.clone()
        return energies.sum() - (forces * (positions - here)).sum()
