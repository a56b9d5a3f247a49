"""The row of boxes of water: cost and memory per atom as they grow."""

from __future__ import annotations

import dataclasses

from benchmarks import boxes
from benchmarks.floor import floor_counts
from benchmarks.rows.plan import Advance, Plan
from benchmarks.rows.result import Result
from benchmarks.timing import Spread


def measure(plan: Plan, advance: Advance) -> Result:
    """Cost and memory per atom of boxes of water, relative to the smallest."""
    result = Result("boxes", "water boxes: cost per atom", "evaluation", "times its cost", 1.3)
    effort = dataclasses.replace(plan.effort, budget=2 * plan.effort.budget)
    measured = boxes.measure(plan.boxes, plan.threads, plan.device, effort, advance)
    smallest = measured[min(plan.boxes)]
    for size, entry in measured.items():
        name = f"{size} waters"
        if "failed" in entry:
            result.skipped[name] = entry["failed"]
            continue
        seconds, n_atoms, n_pairs = entry["seconds"], entry["n_atoms"], entry["n_pairs"]
        floors = floor_counts(n_atoms, n_pairs)
        result.cases[name] = {
            "seconds": Spread.of(seconds).to_dict(),
            "seconds_per_atom": Spread.of(seconds / n_atoms).to_dict(),
            "n_atoms": n_atoms,
            "n_pairs": n_pairs,
            "peak_bytes": entry["peak_bytes"],
            "bytes_per_atom": (entry["peak_bytes"] - entry["base_bytes"]) / n_atoms,
            "floor": floors,
            "share_of_floor": {
                key: Spread.of(count["multiply_adds"] / entry["multiply_adds_per_second"] / seconds).to_dict()
                for key, count in floors.items()
            },
        }
        result.rounds = len(seconds)
        if "failed" not in smallest:
            ratios = seconds / n_atoms / (smallest["seconds"] / smallest["n_atoms"])
            result.cases[name] |= {"ratio": Spread.of(ratios).to_dict(), "against": f"{min(plan.boxes)} waters"}
    result.details["memory_limit_bytes"] = boxes.MEMORY_LIMIT
    return result
