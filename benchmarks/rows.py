"""The rows of the table: what is run, what it is compared with, what is to be reached."""

from __future__ import annotations

import copy
import dataclasses
import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import openmm
import torch
from ase import Atoms

from benchmarks import boxes, peers, systems
from benchmarks.engines import Engine, context_of, find_engines, restart
from benchmarks.floor import matrix_products, totals
from benchmarks.systems import along, motion
from benchmarks.timing import Case, Effort, Spread, paired_times
from ffpt_core import Potential
from ffpt_core.engine import ForceModule
from ffpt_core.fused import load_kernel
from ffpt_core.training.batches import FrameBatches
from ffpt_core.training.configuration import make_configuration
from ffpt_core.training.module import PotentialModule
from ffpt_core.units import NANOMETRE
from ffpt_openmm import create_system

POTENTIAL = "ffpt, potential"
"""Potential.energy_and_forces: what ASE and scripts call."""

PRODUCT = "matrix product"
"""Cases of this name measure the rate of (rows x 128) (128 x 128)."""

_LARGE = 1024
"""Rows at which the rate has reached its height: with the few pairs of a small molecule it would be no floor."""


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


Advance = Callable[[float], None]


@functools.cache
def _engines(system: str, plan: Plan) -> tuple[list[Engine], dict[str, str]]:
    """The backends on one of the systems, made once for the rows that share them."""
    frames = motion(_structure(system, plan))
    return find_engines(systems.random_potential(plan.device), frames)


@functools.cache
def _for_scale(name: str, device: str) -> peers.ForScale:
    return peers.FOR_SCALE[name](device)


def _structure(system: str, plan: Plan) -> Atoms:
    if system == "water":
        return systems.water(plan.waters)
    return {"aspirin": systems.aspirin, "ho2": systems.hydroperoxyl}[system]()


def _module_call(potential: Potential, frames: Sequence[Atoms]) -> Callable[[], object]:
    periodic = bool(frames[0].pbc.any())
    module = ForceModule(potential, frames[0].numbers.tolist(), None, periodic)
    positions = [torch.as_tensor(frame.positions / NANOMETRE, device=potential.device) for frame in frames]
    if not periodic:
        return along(module, positions)
    box = torch.as_tensor(np.array(frames[0].cell) / NANOMETRE, device=potential.device)
    return along(lambda x: module(x, box), positions)


def _product(rows: int) -> str:
    return f"{PRODUCT}, {rows} rows"


def _product_call(rows: int, device: str) -> Callable[[], object]:
    left, right = torch.rand(rows, 128, device=device), torch.rand(128, 128, device=device)
    result = torch.empty_like(left)
    return lambda: torch.mm(left, right, out=result)


def evaluation(system: str, plan: Plan, advance: Advance) -> Result:
    """Energy and forces of one structure by everything that can evaluate it."""
    atoms = _structure(system, plan)
    frames = motion(atoms)
    potential = systems.random_potential(plan.device)
    n_pairs = potential.pairs(atoms)[0].shape[1]
    title, reach, goal = {
        "aspirin": ("energy + forces, one aspirin", 4.0, 6.0),
        "ho2": ("energy + forces, HO2", 3.0, 6.0),
        "water": (f"energy + forces, {plan.waters} waters, periodic", 4.0, 6.0),
    }[system]
    result = Result(system, title, "evaluation", "times faster", reach, goal)
    engines, result.skipped = _engines(system, plan)
    result.skipped = dict(result.skipped)

    base = peers.REFERENCE
    cases = [Case(_product(rows), _product_call(rows, plan.device)) for rows in sorted({n_pairs, _LARGE})]
    cases.append(Case(POTENTIAL, along(potential.energy_and_forces, frames), against=base))
    cases.append(Case("ffpt, ASE calculator", along(potential.calculator().calculate, frames), against=base))
    cases.append(Case("ffpt, eager module", _module_call(potential, frames), against=base))
    cases += [Case(f"ffpt, {engine.backend}", engine.evaluate, against=base) for engine in engines]
    if peers.REFERENCE in plan.peers:
        reference = peers.Reference(potential)
        cases.append(Case(base, along(reference.energy_and_forces, frames), against=base))
        cases.append(Case(f"{base}, ASE", along(reference.calculator(), frames), against=base))
        result.details["largest_difference"] = _difference(potential, reference, frames)
    for name in plan.peers:
        if name in peers.FOR_SCALE:
            peer = _for_scale(name, plan.device)
            cases.append(Case(name, peer.evaluator(atoms), against=base))
            result.details.setdefault("peers", {})[name] = peer.settings

    times = paired_times(cases, plan.effort, plan.device, advance)
    result.add(cases, times)
    result.details |= {"n_atoms": len(atoms), "n_pairs": n_pairs}
    _add_floor(result, times, len(atoms), n_pairs)
    return result


def _difference(potential: Potential, reference: peers.Reference, frames: Sequence[Atoms]) -> dict[str, float]:
    """Worst of all frames, by the potential itself and its calculator: energy, eV, and force, eV/Angstrom."""
    energies, forces = [], []
    calculator = potential.calculator()
    for frame in frames:
        energy, force = reference.energy_and_forces(frame)
        calculator.calculate(frame)
        for ours in (potential.energy_and_forces(frame), (calculator.results["energy"], calculator.results["forces"])):
            energies.append(abs(ours[0] - energy))
            forces.append(np.abs(ours[1] - force).max())
    return {"energy_eV": float(max(energies)), "force_eV_per_Angstrom": float(max(forces))}


def floor_counts(n_atoms: int, n_pairs: int) -> dict[str, dict[str, int]]:
    """Operations and bytes of the equations as stated, and rearranged (see benchmarks.floor)."""
    return {
        name: totals(matrix_products(n_atoms, n_pairs, rearranged=rearranged))
        for name, rearranged in (("stated", False), ("rearranged", True))
    }


def _add_floor(result: Result, times: dict[str, np.ndarray], n_atoms: int, n_pairs: int) -> None:
    """Floor in seconds from the best rate of the same round, and the share of each case that evaluates our network."""
    counts = floor_counts(n_atoms, n_pairs)
    rate = np.max([rows * 128 * 128 / times[_product(rows)][:, 0] for rows in {n_pairs, _LARGE}], axis=0)
    result.details["floor"] = counts
    result.details["product_gflops"] = Spread.of(2e-9 * rate).to_dict()
    for name, count in counts.items():
        count["seconds"] = float(np.median(count["multiply_adds"] / rate))  # type: ignore[assignment]
        for case in result.cases:
            if not case.startswith(PRODUCT) and case not in peers.FOR_SCALE:
                shares = count["multiply_adds"] / rate / times[case][:, 0]
                result.cases[case].setdefault("share_of_floor", {})[name] = Spread.of(shares).to_dict()


def training(system: str, plan: Plan, advance: Advance) -> Result:
    """Optimiser steps: ffpt's batches, errors and loss against the reference's loop, from the same weights."""
    batch_size = {"aspirin": 10, "combustion": 100}[system]
    title, reach, goal = {
        "aspirin": ("training, aspirin, 10 frames a batch", 3.0, 5.0),
        "combustion": ("training, combustion frames, 100 a batch", 5.0, None),
    }[system]
    dataset = {"aspirin": systems.aspirin_frames, "combustion": systems.combustion_frames}[system](10 * batch_size)
    result = Result(f"training-{system}", title, "frame", "times faster", reach, goal)
    start = systems.random_potential(plan.device)
    batches = FrameBatches(dataset, start.cutoff)
    numbers = list(np.random.default_rng(0).permutation(len(dataset)).reshape(-1, batch_size))
    base = peers.REFERENCE

    losses = {}
    cases = []
    kernels = ["torch"]
    if plan.device == "cpu":
        reason = load_kernel()
        if isinstance(reason, str):
            result.skipped["ffpt, fused"] = reason
        else:
            kernels.insert(0, "fused")
    for kernel in kernels:
        step = _training_step(copy.deepcopy(start).train(), batches, plan.device, kernel)
        losses[f"ffpt, {kernel}"] = step(numbers[0])
        cases.append(Case(f"ffpt, {kernel}", along(step, numbers), batch_size, base))
    if peers.REFERENCE in plan.peers:
        reference = peers.Reference(start, ("energy", "gradient_force"))
        prepared = [batches[frames].to(torch.device(plan.device)) for frames in numbers]
        step_of_reference = reference.training_step(prepared, LEARNING_RATE)
        losses[base] = step_of_reference()
        cases.append(Case(base, step_of_reference, batch_size, base))
    result.details |= {"frames_a_batch": batch_size, "first_loss": losses}
    result.add(cases, paired_times(cases, plan.effort, plan.device, advance))
    return result


LEARNING_RATE = 1e-4


def _training_step(
    potential: Potential, batches: FrameBatches, device: str, kernel: str
) -> Callable[[np.ndarray], float]:
    """A step as Lightning makes it: batch, errors, loss, gradients, Adam. Returns the loss."""
    values = {"data": {"train": "none"}, "output": "none", "learning_rate": LEARNING_RATE}
    module = PotentialModule(potential, make_configuration(values), 1, kernel)
    optimizer = module.configure_optimizers()

    def step(frames: np.ndarray) -> float:
        batch = batches[frames].to(torch.device(device))
        loss = module.loss(batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def langevin(system: str, plan: Plan, advance: Advance) -> Result:
    """A Langevin step in OpenMM by every backend on every platform, over the bare evaluation by the same backend."""
    atoms = _structure(system, plan)
    name = {"aspirin": "aspirin", "water": f"{plan.waters} waters"}[system]
    result = Result(f"langevin-{system}", f"Langevin step over evaluation, {name}", "step", "times its cost", 1.10)
    engines, skipped = _engines(system, plan)
    result.skipped = dict(skipped)
    steps = 10 if len(atoms) <= 64 else 2
    cases = []
    for engine in engines:
        bare = f"{engine.backend}, evaluation"
        cases.append(Case(bare, engine.evaluate))
        for platform in _platforms(plan, result):
            context = context_of(engine.system, platform, plan.threads)
            step = functools.partial(context.getIntegrator().step, steps)
            back = restart(context, atoms.positions)
            cases.append(Case(f"{engine.backend}, {platform}", step, steps, bare, back))
    result.details |= {"n_atoms": len(atoms), "steps_a_call": steps}
    result.add(cases, paired_times(cases, plan.effort, plan.device, advance))
    return result


def _platforms(plan: Plan, result: Result) -> list[str]:
    wanted = ["Reference", "CPU"] if plan.device == "cpu" else ["CUDA"]
    there = [openmm.Platform.getPlatform(k).getName() for k in range(openmm.Platform.getNumPlatforms())]
    for name in wanted:
        if name not in there:
            result.skipped[name] = f"this OpenMM has no platform {name}"
    return [name for name in wanted if name in there]


def replicas(plan: Plan, advance: Advance) -> Result:
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
    singles, _ = _engines("aspirin", plan)
    platform = "CUDA" if plan.device == "cuda" else "Reference"
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


def box_sizes(plan: Plan, advance: Advance) -> Result:
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


ROWS: dict[str, Callable[[Plan, Advance], Result]] = {
    "aspirin": functools.partial(evaluation, "aspirin"),
    "ho2": functools.partial(evaluation, "ho2"),
    "water": functools.partial(evaluation, "water"),
    "training-aspirin": functools.partial(training, "aspirin"),
    "training-combustion": functools.partial(training, "combustion"),
    "langevin-aspirin": functools.partial(langevin, "aspirin"),
    "langevin-water": functools.partial(langevin, "water"),
    "replicas": replicas,
    "boxes": box_sizes,
}
"""The rows by the names that --rows takes."""
