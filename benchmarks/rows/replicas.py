"""The row of replicas: many copies of a molecule in one Context."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable

import numpy as np
import torch

from benchmarks import systems
from benchmarks.engines import context_of, find_engines, restart
from benchmarks.rows.plan import Advance, Plan
from benchmarks.rows.result import Result
from benchmarks.rows.structures import engines_of
from benchmarks.systems import motion
from benchmarks.timing import Case, paired_times
from ffpt_openmm import create_system
from ffpt_openmm.forces.backends import choose_platform


def measure(plan: Plan, advance: Advance) -> Result:
    """Many copies of aspirin in one Context, against as many runs of one copy."""
    n = plan.replicas
    title = f"{n} replicas of aspirin in one Context over {n} runs"
    reach, goal = (1.5, None) if plan.device == "cpu" else (10.0, None)
    result = Result("replicas", title, f"step of {n} replicas", "times faster", reach, goal)
    if "replicas" not in inspect.signature(create_system).parameters:
        result.skipped["replicas"] = "create_system has no argument replicas"
        return result
    atoms = systems.aspirin()
    potential = systems.random_potential(plan.device)
    together, result.skipped = find_engines(potential, motion(atoms), copies=n)
    singles, _ = engines_of("aspirin", plan)
    platform = choose_platform("auto", len(atoms))
    cases: list[Case] = []
    for engine in singles:
        # The stricter comparison: single runs that share the cores perfectly, one thread each.
        for label, threads in (("one after another", plan.threads), ("side by side", 1)):
            if label == "side by side" and plan.device == "cuda":
                continue
            context = context_of(engine.system, platform, threads)
            back = restart(context, atoms.positions)
            at_once = plan.threads if label == "side by side" else 1
            cases.append(
                Case(
                    f"{engine.backend}, runs {label}",
                    functools.partial(context.getIntegrator().step, 10),
                    10 * at_once / n,
                    prepare=_with_threads(threads, back),
                )
            )
    best_single = "side by side" if plan.device == "cpu" else "one after another"
    for engine in together:
        context = context_of(engine.system, platform, plan.threads)
        back = restart(context, np.tile(atoms.positions, (n, 1)))
        step = functools.partial(context.getIntegrator().step, 2)
        against = f"{engine.backend}, runs {best_single}"
        cases.append(Case(f"{engine.backend}, one Context", step, 2, against, _with_threads(plan.threads, back)))
    try:
        result.add(cases, paired_times(cases, plan.effort, plan.device, advance))
    finally:
        torch.set_num_threads(plan.threads)
    return result


def _with_threads(threads: int, then: Callable[[], object]) -> Callable[[], None]:
    def prepare() -> None:
        torch.set_num_threads(threads)
        then()

    return prepare
