"""Rows of Langevin dynamics: what a step in OpenMM costs beyond the evaluation."""

from __future__ import annotations

import functools

import openmm

from benchmarks.engines import context_of, restart
from benchmarks.rows.plan import Advance, Plan
from benchmarks.rows.result import Result
from benchmarks.rows.structures import engines_of, structure_of
from benchmarks.timing import Case, paired_times


def measure(system: str, plan: Plan, advance: Advance) -> Result:
    """A Langevin step in OpenMM by every backend on every platform, over the bare evaluation by the same backend."""
    atoms = structure_of(system, plan)
    name = {"aspirin": "aspirin", "water": f"{plan.waters} waters"}[system]
    reach = 1.10 if plan.device == "cpu" else None  # on a GPU times of a step are to be reached
    result = Result(f"langevin-{system}", f"Langevin step over evaluation, {name}", "step", "times its cost", reach)
    engines, skipped = engines_of(system, plan)
    result.skipped = dict(skipped)
    steps = 10 if len(atoms) <= 64 else 2
    cases = []
    for engine in engines:
        bare = f"{engine.backend}, evaluation"
        cases.append(Case(bare, engine.evaluate))
        platforms = _platforms(plan, result)
        runs = [(f"{engine.backend}, {platform}", engine.system, platform) for platform in platforms]
        if engine.replayed is not None and "CUDA" in platforms:
            runs.append((f"{engine.backend}, CUDA, graphs", engine.replayed, "CUDA"))
        for label, its_system, platform in runs:
            context = context_of(its_system, platform, plan.threads)
            step = functools.partial(context.getIntegrator().step, steps)
            cases.append(Case(label, step, steps, bare, restart(context, atoms.positions)))
    result.details |= {"n_atoms": len(atoms), "steps_a_call": steps}
    result.add(cases, paired_times(cases, plan.effort, plan.device, advance))
    return result


def _platforms(plan: Plan, result: Result) -> list[str]:
    wanted = ["Reference", "CPU" if plan.device == "cpu" else "CUDA"]
    there = [openmm.Platform.getPlatform(k).getName() for k in range(openmm.Platform.getNumPlatforms())]
    for name in wanted:
        if name not in there:
            result.skipped[name] = f"this OpenMM has no platform {name}"
    return [name for name in wanted if name in there]
