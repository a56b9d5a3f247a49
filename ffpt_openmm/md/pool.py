"""Which replicas share a Context, and running these groups one after the other or in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import torch

from ffpt_core.base.errors import FfptError
from ffpt_openmm.md.biasing import PLAIN, Sampling
from ffpt_openmm.md.folder import RunFolder
from ffpt_openmm.md.group import ReplicaGroup
from ffpt_openmm.md.settings import Outcome

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
    sampling: Sampling = PLAIN,
) -> None:
    """Run groups of replicas of a prepared folder.

    Args:
        folder: prepared by ffpt_openmm.md.run.
        groups: indices of the replicas of each.
        jobs: how many groups at once; 1 runs them in this process.
        threads: of PyTorch, for each.
        advance: told how many more steps are done, possibly from another thread, one at a time.
        ended: told what became of a replica, in the same way.
        sampling: how they are sampled; other processes know PLAIN only, so the groups of another stay in this one.

    Raises:
        FfptError: a group could not be run (as opposed to: a trajectory failed).
    """
    if min(jobs, len(groups)) <= 1 or sampling is not PLAIN:
        with _torch_threads(threads):
            for group in groups:
                ReplicaGroup(folder, group, sampling).run(advance, ended)
        return
    workers: list[subprocess.Popen[str]] = []
    free: SimpleQueue[subprocess.Popen[str]] = SimpleQueue()
    lock = threading.Lock()

    def one(group: Sequence[int]) -> None:
        worker = free.get()
        try:
            for message in _ask(worker, group):
                with lock:
                    if "steps" in message:
                        advance(message["steps"])
                    else:
                        ended(message["replica"], Outcome(**message["outcome"]))
        finally:
            free.put(worker)

    try:
        for _ in range(min(jobs, len(groups))):
            workers.append(_start(folder.path, threads))
            free.put(workers[-1])
        with ThreadPoolExecutor(len(workers)) as pool:
            futures = [pool.submit(one, group) for group in groups]
            try:
                for future in as_completed(futures):
                    future.result()
            except BaseException:
                # Ctrl-C or a full disk: the checkpoints are on disk, so everything can end here.
                for future in futures:
                    future.cancel()
                for worker in workers:
                    worker.kill()
                raise
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()


def _start(folder: Path, threads: int) -> subprocess.Popen[str]:
    root = str(Path(__file__).parents[2])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": str(threads)}
    return subprocess.Popen(
        [sys.executable, "-m", "ffpt_openmm.md.worker", str(folder), str(threads)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,  # Ctrl-C is for this process, which ends the others
    )


def _ask(worker: subprocess.Popen[str], group: Sequence[int]) -> Iterator[dict[str, Any]]:
    """What a worker says about a group while it runs it."""
    if worker.stdin is None or worker.stdout is None:
        raise FfptError("the process of a replica has no pipes")
    try:
        worker.stdin.write(json.dumps(list(group)) + "\n")
        worker.stdin.flush()
    except OSError as error:
        raise FfptError(
            f"the process of replica {group[0]} is gone ({error}); the same command continues it"
        ) from error
    for line in worker.stdout:
        message = json.loads(line)
        if "done" in message:
            return
        if "error" in message:
            raise FfptError(message["error"])
        yield message
    raise FfptError(
        f"the process of replica {group[0]} ended with status {worker.wait()}; the same command continues it"
    )


@contextmanager
def _torch_threads(threads: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
