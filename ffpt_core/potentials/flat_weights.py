"""All weights of a network as one tensor: an optimiser then does once what it did forty times."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class FlatWeights:
    """Makes the parameters of a network parts of one tensor. They stay what they are for everything else.

    Args:
        network: whose parameters get new memory, with the same values.

    Attributes:
        tensor: (n,) all weights, one parameter behind the other; what an optimiser takes in their place.
    """

    def __init__(self, network: nn.Module) -> None:
        weights = list(network.parameters())
        self._shapes = [weight.shape for weight in weights]
        together = torch.cat([weight.detach().reshape(-1) for weight in weights])
        self.tensor = nn.Parameter(together, requires_grad=weights[0].requires_grad)
        for weight, part in zip(weights, self.parts(self.tensor.detach()), strict=True):
            weight.data = part

    def parts(self, flat: Tensor) -> list[Tensor]:
        """What of an (n,) tensor belongs to each weight, in its shape."""
        parts = flat.split([shape.numel() for shape in self._shapes])
        return [part.view(shape) for part, shape in zip(parts, self._shapes, strict=True)]

    def divided(self, state: dict[str, Any]) -> dict[str, Any]:
        """The state of an optimiser of the tensor as that of an optimiser of the weights."""
        of_weights: dict[int, dict[str, Tensor]] = {k: {} for k in range(len(self._shapes))} if state["state"] else {}
        for name, value in state["state"].get(0, {}).items():
            # A number, such as that of steps, is the same for all.
            parts = self.parts(value) if value.dim() else [value] * len(self._shapes)
            for k, part in enumerate(parts):
                of_weights[k][name] = part.clone()
        return _of(of_weights, state, len(self._shapes))

    def joined(self, state: dict[str, Any]) -> dict[str, Any]:
        """The inverse of divided."""
        of_weights = [state["state"][k] for k in range(len(self._shapes))] if state["state"] else []
        of_tensor = {
            name: torch.cat([one[name].reshape(-1) for one in of_weights]) if value.dim() else value.clone()
            for name, value in (of_weights[0] if of_weights else {}).items()
        }
        return _of({0: of_tensor} if of_tensor else {}, state, 1)


def _of(states: dict[int, Any], like: dict[str, Any], n_parameters: int) -> dict[str, Any]:
    """A state with the settings of another one's only group."""
    (group,) = like["param_groups"]
    return {"state": states, "param_groups": [group | {"params": list(range(n_parameters))}]}
