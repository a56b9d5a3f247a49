"""The potential that a run begins with."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from ffpt_core.datasets import Dataset, fit_shifts
from ffpt_core.potentials.network import NETWORKS
from ffpt_core.potentials.network_potential import NetworkPotential, load
from ffpt_core.training.configuration import TrainingConfiguration
from ffpt_core.training.evaluation import predict

_SHIFT_FRAMES = 2000
"""Frames that the shifts are fitted to: more would not change them."""


def starting_potential(configuration: TrainingConfiguration, train: Dataset) -> NetworkPotential:
    """The potential before the first step: loaded, or random, with scales and shifts that fit the data.

    The scale is a robust standard deviation of the force components, 1.4826 times their median size, so that the
    network's outputs are of order one and outliers have no say. A loaded potential gets the scale of the new data
    too, without a change of what it computes (NetworkPotential.rescale): forces of rattled frames are several times
    those of molecular dynamics, and steps of the optimiser count in units of the scale.
    Shifts are fitted by least squares to what the network, random or not, leaves of the energies.

    Raises:
        FfptError: the starting potential lacks an element of the data.
    """
    dtype = getattr(torch, configuration.precision)
    scale = 1.0 if train.forces is None else 1.4826 * float(np.median(np.abs(train.forces))) or 1.0
    if configuration.start is None:
        torch.manual_seed(configuration.seed)
        settings = dict(configuration.network)
        network = NETWORKS.get(settings.pop("kind"))(**settings).to(dtype)
        potential = NetworkPotential(network, train.elements, scales=dict.fromkeys(train.elements, scale))
    else:
        potential = load(configuration.start, device="cpu")
        potential.check(train.numbers)
        potential.network.to(dtype)
        potential.rescale(scale / float(potential.scales[list(train.elements)].mean()))
    started_at = potential.metadata.get("level", "")
    changed = configuration.start is None or not train.level or train.level != started_at
    if train.energies is not None and (configuration.shifts == "fit" or (configuration.shifts == "auto" and changed)):
        sample = train[np.random.default_rng(configuration.seed).permutation(len(train))[:_SHIFT_FRAMES]]
        potential.set_shifts(dict.fromkeys(train.elements, 0.0))
        explained, _ = predict(potential, sample)
        potential.set_shifts(fit_shifts(dataclasses.replace(sample, energies=sample.energies - explained)))
    return potential
