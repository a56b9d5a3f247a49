"""Paired timing: every round visits all cases, so that what the machine does meanwhile strikes all of them."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

FEWEST_ROUNDS = 5
_WARM_UP_BELOW = 0.3  # seconds of a call: what a slower one finds in the caches makes no difference to it


@dataclass(frozen=True)
class Effort:
    """How long to measure.

    Args:
        rounds: at most.
        budget: seconds for all rounds of a row; at least FEWEST_ROUNDS are made.
        visit: seconds that one visit of a case should take: fast cases are called several times.
    """

    rounds: int = 30
    budget: float = 15.0
    visit: float = 0.03


@dataclass(frozen=True)
class Case:
    """One of the things that a row compares.

    Args:
        name: as tables and pictures show it.
        call: what is timed.
        amount: how much work a call does, in the row's unit of work (evaluations, steps, frames).
        against: name of the case that its ratio refers to.
        prepare: runs before each visit, untimed.
    """

    name: str
    call: Callable[[], object]
    amount: float = 1.0
    against: str = ""
    prepare: Callable[[], object] | None = None


@dataclass(frozen=True)
class Spread:
    """Median and the 16th and 84th percentile (one standard deviation, were it a normal distribution)."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: np.ndarray) -> Spread:
        """Of (n_rounds,) values."""
        return cls(*(float(value) for value in np.percentile(values, [16, 50, 84])))

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def _visit(case: Case, calls: int, synchronise: Callable[[], None], warm: bool = True) -> tuple[float, float]:
    """Wall-clock and processor seconds per unit of work."""
    if case.prepare is not None:
        case.prepare()
    if warm:
        case.call()  # what the case before left in the caches is not this one's fault
    synchronise()
    clock, processor = time.perf_counter(), time.process_time()
    for _ in range(calls):
        case.call()
    synchronise()
    work = calls * case.amount
    return (time.perf_counter() - clock) / work, (time.process_time() - processor) / work


def paired_times(
    cases: Sequence[Case], effort: Effort, device: str = "cpu", advance: Callable[[float], None] = lambda _: None
) -> dict[str, np.ndarray]:
    """Times of cases that are visited in turn, forwards in even rounds and backwards in odd ones.

    Args:
        cases: with names of their own.
        effort: how long.
        device: where "cuda" is synchronised before the clock is read.
        advance: called with the number of rounds done; effort.rounds in all, also if there was time for fewer.

    Returns:
        For each case, (n_rounds, 2) wall-clock and processor seconds per unit of work.
    """
    synchronise = torch.cuda.synchronize if device == "cuda" else lambda: None
    calls, warm = {}, {}
    for case in cases:
        for _ in range(3):  # TorchScript rewrites itself during the first two calls
            seconds = _visit(case, 1, synchronise, warm=False)[0] * case.amount
        calls[case.name] = max(1, round(effort.visit / max(seconds, 1e-9)))
        warm[case.name] = case.prepare is not None or seconds < _WARM_UP_BELOW
    times: dict[str, list[tuple[float, float]]] = {case.name: [] for case in cases}
    gc.collect()
    gc.disable()
    try:
        started, done = time.perf_counter(), 0
        while done < FEWEST_ROUNDS or (done < effort.rounds and time.perf_counter() - started < effort.budget):
            for case in cases[:: 1 if done % 2 == 0 else -1]:
                times[case.name].append(_visit(case, calls[case.name], synchronise, warm[case.name]))
            done += 1
            advance(1)
        advance(max(0, effort.rounds - done))
    finally:
        gc.enable()
    return {name: np.array(values) for name, values in times.items()}
