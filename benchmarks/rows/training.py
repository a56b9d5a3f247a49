"""Rows of training: optimiser steps."""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Callable

import numpy as np
import torch

from benchmarks import peers, systems
from benchmarks.rows.plan import Advance, Plan
from benchmarks.rows.result import Result
from benchmarks.systems import along
from benchmarks.timing import Case, paired_times
from ffpt_core import NetworkPotential
from ffpt_core.potentials.newtonnet.cpp import load_kernel
from ffpt_core.training.batches import FrameBatches
from ffpt_core.training.configuration import TrainingConfiguration, make_configuration
from ffpt_core.training.replayed import ReplayedSteps
from ffpt_core.training.step import Learner
from ffpt_core.training.steps import AT_ONCE_ON_GPU, EagerSteps

LEARNING_RATE = 1e-4

_MORE_FRAMES = (100, 1000)
"""Frames a batch that are measured on a GPU, too."""

_FRAMES_A_CALL = 5000
"""Up to AT_ONCE_ON_GPU batches, which are sent to a GPU at once."""


def measure(system: str, plan: Plan, advance: Advance) -> Result:
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
    else:
        for size in sorted({batch_size, *_MORE_FRAMES}):
            name = "ffpt, graphs" + (f", {size} a batch" if size != batch_size else "")
            steps = _replayed_steps(copy.deepcopy(start).train(), batches, size)
            n_steps = min(AT_ONCE_ON_GPU, max(1, _FRAMES_A_CALL // size))
            case = Case(name, functools.partial(steps, n_steps), n_steps * size)
            if size == batch_size:  # what the reference does as well
                losses[name] = steps(1)
                case = dataclasses.replace(case, against=base)
            cases.append(case)
    for kernel in kernels:
        step = _training_step(copy.deepcopy(start).train(), batches, batch_size, kernel)
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


def _configuration(batch_size: int, kernel: str) -> TrainingConfiguration:
    return make_configuration(
        {
            "data": {"train": "none"},
            "output": "none",
            "learning_rate": LEARNING_RATE,
            "batch_size": batch_size,
            "kernel": kernel,
        }
    )


def _training_step(
    potential: NetworkPotential, batches: FrameBatches, batch_size: int, kernel: str
) -> Callable[[np.ndarray], float]:
    """A step as a run makes it: batch, errors, loss, gradients, Adam. Returns the loss."""
    configuration = _configuration(batch_size, kernel)
    steps = EagerSteps(Learner(potential, configuration), configuration, batches, batches)

    def step(frames: np.ndarray) -> float:
        steps.loss_sum.zero_()
        steps.train(frames, [LEARNING_RATE])
        return steps.loss_sum.item()

    return step


def _replayed_steps(potential: NetworkPotential, batches: FrameBatches, batch_size: int) -> Callable[[int], float]:
    """Steps as they are made on a GPU: frames there already, graphs, and then a look at the loss. Returns its mean."""
    configuration = _configuration(batch_size, "torch")
    training = ReplayedSteps(Learner(potential, configuration), configuration, batches, batches)
    order = np.random.default_rng(0).permutation(len(batches))

    def steps(n_steps: int) -> float:
        training.loss_sum.zero_()
        training.train(np.resize(order, n_steps * batch_size), [LEARNING_RATE] * n_steps)
        return training.loss_sum.item() / n_steps

    return steps
