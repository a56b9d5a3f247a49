"""Rattled frames of several molecules in one data set."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ffpt_core.base.errors import FfptError
from ffpt_core.datasets import Dataset
from ffpt_core.sampling.rattle import SIGMA, rattle_and_label, vibrational_degrees_of_freedom

if TYPE_CHECKING:
    from ffpt_core.teachers import Teacher

GROUP = "species"
"""The group that holds the name of each frame's teacher."""


def default_weights(teachers: Mapping[str, Teacher]) -> dict[str, float]:
    """A molecule's vibrational degrees of freedom: the dimension of what its frames have to cover; 1 for an atom."""
    return {name: max(1.0, vibrational_degrees_of_freedom(one.atoms.positions)) for name, one in teachers.items()}


def dealt(n_frames: int, weights: Mapping[str, float]) -> dict[str, int]:
    """Frames for each name, in proportion to its weight, that add up to n_frames (largest remainders).

    Raises:
        FfptError: a weight that is not positive, or so few frames that a name gets none.
    """
    values = np.array(list(weights.values()), dtype=float)
    if not len(values) or not np.isfinite(values).all() or (values <= 0).any():
        raise FfptError("weights must be positive numbers")
    shares = n_frames * values / values.sum()
    counts = np.floor(shares).astype(int)
    rest = n_frames - int(counts.sum())
    counts[np.argsort(counts - shares, kind="stable")[:rest]] += 1
    if (counts < 1).any():
        raise FfptError(f"{n_frames} frames are too few for {len(values)} molecules with these weights")
    return dict(zip(weights, counts.tolist(), strict=True))


def rattle_mixture(
    teachers: Mapping[str, Teacher],
    n_frames: int,
    weights: Mapping[str, float] | None = None,
    sigma: float = SIGMA,
    seed: int = 0,
    sigma_min: float | None = None,
    temperature: float | None = None,
) -> Dataset:
    """Rattled frames of several molecules, one molecule after the other, with the group "species".

    Args:
        teachers: by name.
        n_frames: of all molecules together.
        weights: by name, in proportion to which the frames are dealt out; default_weights when None.
        sigma, sigma_min, temperature: as ffpt_core.sampling.rattle.rattle_and_label.
        seed: of the noise; the teacher at place i has seed + i.

    Raises:
        FfptError: teachers of different levels; weights that do not fit; see rattle_and_label.
    """
    weights = default_weights(teachers) if weights is None else weights
    if set(weights) != set(teachers):
        raise FfptError(f"weights are given for {', '.join(weights)}, teachers are {', '.join(teachers)}")
    parts = []
    for index, (name, count) in enumerate(dealt(n_frames, {name: weights[name] for name in teachers}).items()):
        frames = rattle_and_label(teachers[name], count, sigma, seed + index, sigma_min, temperature)
        parts.append(dataclasses.replace(frames, groups={GROUP: np.full(count, name)}))
    return Dataset.concatenate(parts)
