"""The rows of the table, a module for each kind: what is run, what it is compared with, what is to be reached."""

from __future__ import annotations

import functools
from collections.abc import Callable

from benchmarks.rows import evaluation, langevin, replicas, training, water_boxes
from benchmarks.rows.plan import Advance, Plan
from benchmarks.rows.result import Result

ROWS: dict[str, Callable[[Plan, Advance], Result]] = {
    "aspirin": functools.partial(evaluation.measure, "aspirin"),
    "ho2": functools.partial(evaluation.measure, "ho2"),
    "water": functools.partial(evaluation.measure, "water"),
    "training-aspirin": functools.partial(training.measure, "aspirin"),
    "training-combustion": functools.partial(training.measure, "combustion"),
    "langevin-aspirin": functools.partial(langevin.measure, "aspirin"),
    "langevin-water": functools.partial(langevin.measure, "water"),
    "replicas": replicas.measure,
    "boxes": water_boxes.measure,
}
"""The rows by the names that --rows takes."""
