"""Which replicas share a Context, and running these groups one after the other or in processes of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import pairwise

import torch

from ffpt_core.base.workers import open_executor, say
from ffpt_core.datasets.run_folders import Outcome
from ffpt_openmm.md.biasing import UNBIASED, Biasing
from ffpt_openmm.md.folder import RunFolder
from ffpt_openmm.md.group import ReplicaGroup

ATOMS_AT_ONCE = 256
"""Atoms in a Context on a CPU: enough to make overhead small, and few enough that in PyTorch what passes between the
layers of the network stays in the cache: 12 aspirins take 0.8 of the time of single ones and 32 take 0.9; 85 HO2 take
0.13. The fused kernel does not mind more of them."""


def grouped(replicas: Sequence[int], n_atoms: int, jobs: int, at_once: int | None = ATOMS_AT_ONCE) -> list[list[int]]:
    """Divide replicas into groups that share a Context: of nearly equal size, and as many for each job.

    Args:
        replicas: indices, in order.
        n_atoms: of one replica.
        jobs: groups that run at the same time.
        at_once: atoms in a group, unless a single replica has more; None: no bound.
    """
    most = max(1, len(replicas)) if at_once is None else max(1, at_once // n_atoms)
    rounds = -(-len(replicas) // (jobs * most))
    groups = min(len(replicas), jobs * rounds)
    bounds = [len(replicas) * k // groups for k in range(groups + 1)] if groups else [0]
    return [list(replicas[start:stop]) for start, stop in pairwise(bounds)]


def run_groups(
    folder: RunFolder,
    groups: Sequence[Sequence[int]],
    jobs: int,
    threads: int,
    advance: Callable[[int], None],
    ended: Callable[[int, Outcome], None],
    biasing: Biasing = UNBIASED,
) -> None:
    """Run groups of replicas of a prepared folder.

    Args:
        folder: prepared by ffpt_openmm.md.run.
        groups: indices of the replicas of each.
        jobs: how many groups at once; 1 runs them in this process.
        threads: of PyTorch, for each.
        advance: told how many more steps are done.
        ended: told what became of a replica.
        biasing: what biases them.

    Raises:
        FfptError: a group could not be run (as opposed to: a trajectory failed).
    """

    def heard(_: int, news: int | tuple[int, Outcome]) -> None:
        if isinstance(news, int):
            advance(news)
        else:
            ended(*news)

    executor = open_executor(max(1, min(jobs, len(groups))), threads)
    for _ in executor.map(partial(_run_group, folder, threads, biasing), groups, heard):
        pass


def _run_group(folder: RunFolder, threads: int, biasing: Biasing, group: Sequence[int]) -> None:
    """In whatever process: says numbers of steps, and a replica with its outcome when one has ended."""
    with _torch_threads(threads):
        ReplicaGroup(folder, group, biasing).run(say, lambda replica, outcome: say((replica, outcome)))


@contextmanager
def _torch_threads(threads: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
