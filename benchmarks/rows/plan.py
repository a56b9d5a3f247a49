"""What of it all is run, and for how long."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.timing import Effort


@dataclass(frozen=True)
class Plan:
    """What of it all is run.

    Args:
        device: "cpu" or "cuda".
        threads: of PyTorch and of OpenMM's CPU platform.
        effort: how long each row is measured.
        peers: names of the peers to compare with.
        waters: molecules in the periodic box of the evaluation and Langevin rows.
        boxes: molecules in the boxes whose cost per atom is compared.
        replicas: in one Context.
    """

    device: str
    threads: int
    effort: Effort
    peers: tuple[str, ...]
    waters: int = 64
    boxes: tuple[int, ...] = (64, 512, 4096)
    replicas: int = 32


Advance = Callable[[float], None]
"""Called with the number of rounds done; plan.effort.rounds in all."""
