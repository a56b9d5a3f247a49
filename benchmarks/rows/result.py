"""A measured row: times, ratios to another case, what was left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.timing import Case, Spread


@dataclass
class Result:
    """A measured row, ready for JSON.

    Args:
        key: as --rows names it.
        title: as the table shows it.
        unit: of work: what the times are per.
        ratio: "times faster" than the case it refers to, or "times its cost".
        reach: the ratio to reach: at least, where larger is better; at most for a cost.
        goal: the goal beyond.
        cases: by name: seconds, processor_seconds, ratio with against, share of the floor.
        details: of the system; counts behind the floor.
        skipped: what was left out, and why.
    """

    key: str
    title: str
    unit: str
    ratio: str
    reach: float | None = None
    goal: float | None = None
    rounds: int = 0
    cases: dict[str, dict[str, Any]] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    def add(self, cases: Sequence[Case], times: dict[str, np.ndarray]) -> None:
        """Take over measured times, (n_rounds, 2) for each case; ratios are formed round by round."""
        for case in cases:
            clock, processor = times[case.name].T
            entry: dict[str, Any] = {
                "seconds": Spread.of(clock).to_dict(),
                "processor_seconds": Spread.of(processor).to_dict(),
            }
            if case.against in times:
                other = times[case.against]
                ratios = other / times[case.name] if self.ratio == "times faster" else times[case.name] / other
                entry["against"] = case.against
                entry["ratio"] = Spread.of(ratios[:, 0]).to_dict()
                if np.all(times[case.name][:, 1] > 0) and np.all(other[:, 1] > 0):
                    entry["processor_ratio"] = Spread.of(ratios[:, 1]).to_dict()
            self.cases[case.name] = entry
            self.rounds = len(clock)
