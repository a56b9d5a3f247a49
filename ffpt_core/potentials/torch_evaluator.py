"""Any network by PyTorch, for atoms that move: on any device, at any precision."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from ffpt_core.potentials.fixed_atoms import FixedAtoms
from ffpt_core.potentials.interface import ISOLATED, Periodicity, Prediction
from ffpt_core.potentials.network import Network
from ffpt_core.potentials.pair_index import add_pairs, unordered
from ffpt_core.potentials.scaled_network import ScaledNetwork

_log = logging.getLogger(__name__)


class TorchEvaluator:
    """A potential's network for a fixed list of atoms, or for copies of it that do not see each other.

    In TorchScript where PyTorch still can, which saves a third of the time of a small molecule; else eager. Differences
    of positions are formed in float64 and energies are summed in float64, whatever the type of the network.

    Args:
        network: what to evaluate; its weights are copied.
        numbers: atomic numbers of one copy.
        pbc: in which directions of the cell the system is periodic.
        copies: number of copies, which share the cell.
    """

    def __init__(
        self,
        network: ScaledNetwork,
        numbers: Sequence[int] | np.ndarray,
        pbc: Periodicity = ISOLATED,
        copies: int = 1,
    ) -> None:
        self._atoms = FixedAtoms(network, numbers, pbc, copies)
        self.numbers = self._atoms.numbers
        self._device, self._dtype, self._cutoff = network.device, network.dtype, network.cutoff
        self._all_numbers = torch.as_tensor(self._atoms.all_numbers, device=self._device)
        self._scales = network.scales.index_select(0, self._all_numbers).to(self._dtype)
        self._network = _compiled(network.network)
        # A network whose gradient is autograd's must not be called with gradients switched off once it is compiled.
        self._by_autograd = type(network.network).forward is Network.forward
        self._kept: tuple[np.ndarray, np.ndarray | None] | None = None
        self._pairs: Tensor = torch.zeros(2, 0, dtype=torch.int64) if self._atoms.lists else self._all_pairs()
        self._translations: Tensor | None = None

    def __call__(self, positions: np.ndarray, cell: np.ndarray | None = None) -> Prediction:
        """Evaluate. Arguments and result are those of ffpt_core.potentials.interface.Evaluator."""
        if self._atoms.lists:
            self._take(*self._atoms.joined(positions, cell))
        x = torch.as_tensor(positions, dtype=torch.float64, device=self._device)
        pairs = self._pairs
        with torch.no_grad():
            d = x.index_select(0, pairs[0]) - x.index_select(0, pairs[1])
            if self._translations is not None:
                d = d + self._translations
            if self._device.type == "cpu":
                # A quarter of the pairs of a molecule like aspirin is beyond the cutoff. On a GPU the size of the
                # result would have to be awaited.
                near = torch.nonzero((d * d).sum(1) < self._cutoff**2).squeeze(1)
                pairs, d = pairs.index_select(1, near), d.index_select(0, near)
        index = unordered(pairs)
        with torch.set_grad_enabled(self._by_autograd):
            atomic, gradient = self._network(self._all_numbers, index, d.to(self._dtype), self._scales)
        with torch.no_grad():
            gradient = gradient.detach().double()
            forces = add_pairs(torch.zeros_like(x), -gradient, gradient, index)
            virial = (d.t() @ gradient).cpu().numpy()
            energies = self._atoms.energies((self._scales * atomic.detach()).double().cpu().numpy())
            found = forces.cpu().numpy()
        lost = ~np.isfinite(positions).all(axis=1)
        if lost.any():  # such an atom is in no pair, but must not pass unseen
            found[lost], virial[:] = np.nan, np.nan
            energies[lost.reshape(self._atoms.copies, -1).any(axis=1)] = np.nan
        return Prediction(energies, found, virial)

    def _all_pairs(self) -> Tensor:
        assert self._atoms.fixed_pairs is not None
        return self._atoms.fixed_pairs

    def _take(self, pairs: np.ndarray, translations: np.ndarray | None) -> None:
        """The pair list on the device, sent there when it is a new one."""
        if self._kept is not None and self._kept[0] is pairs and self._kept[1] is translations:
            return
        self._kept = pairs, translations
        self._pairs = torch.tensor(pairs, device=self._device)  # a copy: vesin's arrays are read-only
        self._translations = None if translations is None else torch.tensor(translations, device=self._device)


def _compiled(network: Network) -> nn.Module:
    """A frozen copy in TorchScript, or an eager one."""
    own = copy.deepcopy(network).eval().requires_grad_(False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # PyTorch announces the end of TorchScript
        try:
            return torch.jit.freeze(torch.jit.script(own))
        except (RuntimeError, AttributeError, TypeError, OSError) as error:
            _log.info("the network runs in eager PyTorch: %s", str(error).strip().splitlines()[0])
            return own
