"""Runs replicas one after the other, or several at once in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue

import torch

from ffpt_core.errors import FfptError
from ffpt_openmm.replica import Replica, RunFolder
from ffpt_openmm.settings import Outcome


def run_replicas(
    folder: RunFolder, replicas: Sequence[int], jobs: int, threads: int, advance: Callable[[int], None]
) -> Iterator[tuple[int, Outcome]]:
    """Run replicas of a prepared folder; yields (index, outcome) as they end.

    Args:
        folder: prepared by ffpt_openmm.simulation.
        replicas: indices.
        jobs: how many at once; 1 runs them in this process.
        threads: of PyTorch, for each.
        advance: told how many more steps are done, possibly from another thread.

    Raises:
        FfptError: a replica could not be run (as opposed to: its trajectory failed).
    """
    if min(jobs, len(replicas)) <= 1:
        with _torch_threads(threads):
            for index in replicas:
                yield index, Replica(folder, index).run(advance)
        return
    workers: list[subprocess.Popen[str]] = []
    free: SimpleQueue[subprocess.Popen[str]] = SimpleQueue()
    lock = threading.Lock()

    def one(index: int) -> tuple[int, Outcome]:
        worker = free.get()
        try:
            return index, _ask(worker, index, advance, lock)
        finally:
            free.put(worker)

    try:
        for _ in range(min(jobs, len(replicas))):
            workers.append(_start(folder.path, threads))
            free.put(workers[-1])
        with ThreadPoolExecutor(len(workers)) as pool:
            futures = [pool.submit(one, index) for index in replicas]
            try:
                for future in as_completed(futures):
                    yield future.result()
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
    root = str(Path(__file__).parents[1])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": str(threads)}
    return subprocess.Popen(
        [sys.executable, "-m", "ffpt_openmm.worker", str(folder), str(threads)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,  # Ctrl-C is for this process, which ends the others
    )


def _ask(worker: subprocess.Popen[str], index: int, advance: Callable[[int], None], lock: threading.Lock) -> Outcome:
    if worker.stdin is None or worker.stdout is None:
        raise FfptError("the process of a replica has no pipes")
    try:
        worker.stdin.write(f"{index}\n")
        worker.stdin.flush()
    except OSError as error:
        raise FfptError(f"the process of replica {index} is gone ({error}); the same command continues it") from error
    for line in worker.stdout:
        message = json.loads(line)
        if "steps" in message:
            with lock:
                advance(message["steps"])
        elif "error" in message:
            raise FfptError(message["error"])
        else:
            return Outcome(**message["outcome"])
    raise FfptError(f"the process of replica {index} ended with status {worker.wait()}; the same command continues it")


@contextmanager
def _torch_threads(threads: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
