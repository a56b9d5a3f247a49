"""What the aspirin demonstration is made of: names, folders, amounts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ffpt_core.studies.study import FINETUNED, PRETRAINED, RUNS, SCRATCH

RATES = {SCRATCH: 1e-3, PRETRAINED: 1e-3, FINETUNED: 5e-4}
"""First learning rates."""

RATTLE_TEMPERATURE = 800
"""K, of the teacher's dynamics whose frames are rattled."""

METHYL_CARBON, METHYL_HYDROGENS = 4, (18, 19, 20)
"""Atoms of the built-in aspirin, counted from 0."""


@dataclass(frozen=True)
class Settings:
    """How much of everything; the defaults took 13 minutes on two cores, set-up included.

    Args:
        rattled_frames: GAFF frames to pre-train on, once each.
        n_train: GFN2-xTB frames to fine-tune on, and to train on from scratch.
        n_validation: more of them, to choose the weights.
        epochs: of fine-tuning, and of training from scratch.
        replicas: MD runs of each potential at each temperature.
        lengths: ps of each, by temperature in K.
        seed: of everything.
    """

    rattled_frames: int = 30_000
    n_train: int = 300
    n_validation: int = 50
    epochs: int = 60
    replicas: int = 4
    lengths: Mapping[int, float] = field(default_factory=lambda: {500: 20.0, 1000: 5.0})
    seed: int = 0


QUICK = {
    "rattled_frames": 1000,
    "n_train": 40,
    "n_validation": 10,
    "epochs": 2,
    "replicas": 2,
    "lengths": {500: 0.1, 1000: 0.05},
}
"""A minute's worth."""


def md_folder(name: str, kelvin: int) -> str:
    """Folder of the MD runs of a potential at a temperature."""
    return f"md/{RUNS[name]}-{kelvin}K"
