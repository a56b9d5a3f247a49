"""What the water demonstration is made of: names, folders, amounts."""

from __future__ import annotations

from dataclasses import dataclass

from ffpt_core.studies.study import FINETUNED, PRETRAINED, SCRATCH

REFERENCE = "SPC/Fw"
"""The reference model, which labels the frames of the box."""

RATES = {SCRATCH: 1e-3, PRETRAINED: 1e-3, FINETUNED: 1e-3}
"""First learning rates."""

LOSS = ("--loss", "robust", "--energy-weight", 0.05, "--energy-delta", 0.1, "--force-delta", 0.1)
"""Of a box: at a weight of one, the energy of all its atoms would drown its forces."""

TEMPERATURE = 300
"""K."""


@dataclass(frozen=True)
class Settings:
    """How much of everything; the defaults take fourteen minutes on two cores.

    Args:
        molecules: in the box, half of the paper's.
        rattled_frames: TIP3P frames of one molecule to pre-train on.
        sigma: largest standard deviation of their noise, Angstrom.
        packed: of them, in a box in which they only keep their distance.
        n_train: frames of the box to fine-tune on, and to train on from scratch.
        rehearsed: boxes of strained molecules that fine-tuning goes on with.
        n_validation: more of them, to choose the weights.
        n_test: frames of another trajectory, for errors and for g(r).
        interval: ps between training frames.
        n_features: of the network, a quarter of the paper's.
        cutoff: of the network, Angstrom; the paper has 5.
        epochs: of fine-tuning, and of training from scratch.
        replicas: MD runs of each potential.
        length: ps of each, with the thermostat.
        nve_length: ps of each that follows at constant energy, for the diffusion coefficient.
        seed: of everything.
    """

    molecules: int = 32
    rattled_frames: int = 50_000
    sigma: float = 0.1
    packed: int = 8
    n_train: int = 300
    rehearsed: int = 60
    n_validation: int = 20
    n_test: int = 200
    interval: float = 0.25
    n_features: int = 32
    cutoff: float = 4.0
    epochs: int = 120
    replicas: int = 2
    length: float = 10.0
    nve_length: float = 20.0
    seed: int = 0


QUICK = {
    "rattled_frames": 4000,
    "n_train": 40,
    "rehearsed": 8,
    "n_validation": 4,
    "n_test": 6,
    "interval": 0.02,
    "n_features": 16,
    "epochs": 10,
    "length": 0.2,
    "nve_length": 0.3,
}
"""A minute's worth."""
