"""What the combustion demonstration is made of: names, folders, amounts."""

from __future__ import annotations

from dataclasses import dataclass

from ffpt_core.studies.study import FINETUNED, PRETRAINED, RUNS, SCRATCH

REACTION = "9"
"""H + O2 -> HO2 on the doublet surface; 09 in the data."""

TEACHER = "Q-Force"

RATES = {SCRATCH: 1e-3, PRETRAINED: 1e-3, FINETUNED: 1e-3}
"""First learning rates."""

TEMPERATURE = 300
"""K."""

BOUND, APART = "HO2", "H + O2"
BASINS = {BOUND: "cv1:0.6:1.5,cv2:-0.1:0.5", APART: "cv1:-0.1:0.3,cv2:-0.1:0.3"}
"""Regions of the variables: the numbers of bonds of H with the first O, cv1, and with the second, cv2. HO2 begins with
H on the first; the same molecule with H on the second is left out."""

GRID = ("--min", "-0.2,-0.2", "--max", "1.6,1.6", "--spacing", "0.01,0.01")
"""Of the free energies, so that both runs, and all basins, are on the same."""


@dataclass(frozen=True)
class Settings:
    """How much of everything; the defaults take six minutes on two cores.

    Args:
        rattled_frames: of the eight species to pre-train on.
        passes: over them.
        n_train: DFT frames to fine-tune on, and to train on from scratch.
        n_validation: more of them, to choose the weights; all others of the reaction are test frames.
        n_features: of the network: half of the paper's.
        epochs: of fine-tuning, and of training from scratch.
        length: ps of metadynamics with each potential.
        seed: of everything.
    """

    rattled_frames: int = 20_000
    passes: int = 10
    n_train: int = 70
    n_validation: int = 10
    n_features: int = 64
    epochs: int = 400
    length: float = 200.0
    seed: int = 0


QUICK = {
    "rattled_frames": 2000,
    "passes": 2,
    "n_train": 24,
    "n_validation": 4,
    "n_features": 16,
    "epochs": 40,
    "length": 2.5,
}
"""A minute's worth."""


def metad_folder(name: str) -> str:
    """Folder of the metadynamics with a potential."""
    return f"metad/{RUNS[name]}"
