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
        self.tensor = nn.Parameter(torch.cat([weight.detach().reshape(-1) for weight in weights]))
        for weight, part in zip(weights, self.parts(self.tensor.detach()), strict=True):
            weight.data = part

    def parts(self, flat: Tensor) -> list[Tensor]:
        """What of an (n,) tensor belongs to each weight, in its shape."""
        parts = flat.split([shape.numel() for shape in self._shapes])
        return [part.view(shape) for part, shape in zip(parts, self._shapes, strict=True)]

    def divided(self, state: dict[str, Any]) -> dict[str, Any]:
        """The state of an optimiser of the tensor as that of an optimiser of the weights."""
        return self._with(state, {k: self._part(state["state"], k) for k in range(len(self._shapes))})

    def joined(self, state: dict[str, Any]) -> dict[str, Any]:
        """The inverse of divided."""
        states = [state["state"][k] for k in range(len(self._shapes))] if state["state"] else []
        return self._with(state, {0: _joined(states)} if states else {})

    def _part(self, states: dict[int, dict[str, Tensor]], k: int) -> dict[str, Tensor]:
        return {
            name: self.parts(value)[k].clone() if value.dim() else value.clone() for name, value in states[0].items()
        }

    def _with(self, state: dict[str, Any], states: dict[int, Any]) -> dict[str, Any]:
        (group,) = state["param_groups"]
        n_parameters = 1 if len(group["params"]) > 1 else len(self._shapes)
        return {"state": states, "param_groups": [group | {"params": list(range(n_parameters))}]}


def _joined(states: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """One value where it is a number, which is the same for all; else all values behind one another."""
    return {
        name: torch.cat([state[name].reshape(-1) for state in states]) if value.dim() else value.clone()
        for name, value in states[0].items()
    }
