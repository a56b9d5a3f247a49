"""Weights of the reference NewtonNet implementation (github.com/THGLab/NewtonNet, version 2), in and out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ffpt_core.base.errors import FfptError
from ffpt_core.potentials.network_potential import NetworkPotential
from ffpt_core.potentials.newtonnet.network import NewtonNet

_SCALE, _SHIFT = "scalers.0.scale.weight", "scalers.0.shift.weight"
_OUTSIDE = {
    "embedding_layer.node_embedding.weight": "embedding.weight",
    "embedding_layer.edge_embedding.frequencies": "radial_basis.frequencies",
    "output_layers.0.layers.0.weight": "readout_in.weight",
    "output_layers.0.layers.0.bias": "readout_in.bias",
    "output_layers.0.layers.2.weight": "readout_hidden.weight",
    "output_layers.0.layers.2.bias": "readout_hidden.bias",
    "output_layers.0.layers.4.weight": "readout_out.weight",
    "output_layers.0.layers.4.bias": "readout_out.bias",
}
_LAYER = {
    "message_nodepart.0.weight": "node_in.weight",
    "message_nodepart.0.bias": "node_in.bias",
    "message_nodepart.2.weight": "node_out.weight",
    "message_nodepart.2.bias": "node_out.bias",
    "message_edgepart.weight": "radial.weight",
    "equiv_message1.0.weight": "direction_in.weight",
    "equiv_message1.2.weight": "direction_out.weight",
    "equiv_message2.0.weight": "transport_in.weight",
    "equiv_message2.2.weight": "transport_out.weight",
    "equiv_update.weight": "update.weight",
}


def _names(n_layers: int) -> dict[str, str]:
    """Reference state-dict name -> name in NewtonNet."""
    names = dict(_OUTSIDE)
    for layer in range(n_layers):
        for theirs, ours in _LAYER.items():
            names[f"interaction_layers.{layer}.{theirs}"] = f"layers.{layer}.{ours}"
    return names


def load_reference(
    state: Mapping[str, Tensor | np.ndarray],
    cutoff: float = 5.0,
    elements: tuple[int, ...] = tuple(range(1, 119)),
) -> NetworkPotential:
    """A potential with the weights of a reference state dict whose first output is the energy.

    Args:
        state: tensors or arrays by the reference's names. Further outputs than the energy are not read.
        cutoff: Angstrom; the state dict does not hold it.
        elements: atomic numbers the model was trained on; the state dict does not hold them either.

    Raises:
        FfptError: a weight is missing, or the model uses layer normalisation, which ffpt's network has not.
    """
    tensors = {name: torch.as_tensor(np.asarray(value)) for name, value in state.items()}
    n_layers = 1 + max(
        (int(name.split(".")[1]) for name in tensors if name.startswith("interaction_layers.")), default=-1
    )
    names = _names(n_layers)
    missing = [name for name in (*names, _SCALE, _SHIFT) if name not in tensors]
    if missing or n_layers == 0:
        raise FfptError(f"the reference state dict lacks {missing[0] if missing else 'interaction_layers'}")
    if any("layer_norm" in name for name in tensors):
        raise FfptError("the reference model uses layer normalisation, which ffpt's NewtonNet does not have")
    embedding = tensors["embedding_layer.node_embedding.weight"]
    n_basis = len(tensors["embedding_layer.edge_embedding.frequencies"])
    network = NewtonNet(embedding.shape[1], n_basis, n_layers, cutoff).to(embedding.dtype)
    network.load_state_dict({ours: tensors[theirs] for theirs, ours in names.items()})
    potential = NetworkPotential(network, elements, metadata={"source": "reference NewtonNet"})
    potential.scales.copy_(tensors[_SCALE].squeeze(1))
    potential.shifts.copy_(tensors[_SHIFT].squeeze(1))
    return potential.eval()


def reference_state(potential: NetworkPotential) -> dict[str, Any]:
    """The reference's state dict of a potential: the inverse of load_reference."""
    ours = potential.network.state_dict()
    state = {theirs: ours[name].clone() for theirs, name in _names(potential.network.settings()["n_layers"]).items()}
    state[_SCALE] = potential.scales.to(potential.dtype).unsqueeze(1)
    state[_SHIFT] = potential.shifts.to(potential.dtype).unsqueeze(1)
    return state
