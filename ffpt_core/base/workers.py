"""Parallel work: a function, many items, and an executor that calls the one with the others, here or elsewhere.

    for index, result in open_executor(jobs=4).map(function, items):
        ...

The function runs in worker processes; what it is and what the items are crosses to them pickled, and so do results and
errors. While it runs it may ``say`` something, which the caller hears. ``open_executor`` chooses: this process for one
job, local processes for more, or what the environment variable FFPT_EXECUTOR names.

An executor of a cluster is one class with the one method of Executor, and one entry point of the group
"ffpt.executors" that names it. SLURM's would write the function and the items into a folder that all nodes see, submit
an array of jobs, yield what they write as it appears, and cancel the array when its generator is closed.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextvars import ContextVar
from functools import lru_cache, partial
from itertools import islice
from typing import Any, Protocol, TypeVar

from ffpt_core.base.errors import FfptError
from ffpt_core.base.registry import Registry

Item = TypeVar("Item")
Result = TypeVar("Result")

Heard = Callable[[int, Any], None]
"""Told the index of an item and what the function says about it, in the thread of the caller."""


class Executor(Protocol):
    """Calls a function with many items."""

    def map(
        self, function: Callable[[Item], Result], items: Iterable[Item], heard: Heard | None = None
    ) -> Iterator[tuple[int, Result]]:
        """The index and the result of each item, in the order in which they get done.

        Closing the iterator, or an exception where it is used, ends all work at once.

        Args:
            function: importable or not; what it refers to must be picklable.
            items: taken as they are needed.
            heard: told what the function says while it runs; all of it before its result.

        Raises:
            FfptError: a worker is gone. What the function raises is raised here, and ends all work.
        """


EXECUTORS: Registry[Callable[[int, int], Executor]] = Registry(
    "ffpt.executors", "executor", {"local": "ffpt_core.base.workers:LocalExecutor"}
)
"""By name, each called with the number of jobs and the threads of each."""


def open_executor(jobs: int = 1, threads: int = 1) -> Executor:
    """The executor of some jobs: one job has this process, more have the one that FFPT_EXECUTOR names, or "local".

    Args:
        jobs: how many items at the same time.
        threads: of each, of OpenMP and what is built on it. A single job has the threads that this process has.

    Raises:
        FfptError: fewer than one job, or no executor of that name.
    """
    if jobs < 1:
        raise FfptError(f"at least one job is needed, not {jobs}")
    if jobs == 1:
        return ThisProcess()
    return EXECUTORS.get(os.environ.get("FFPT_EXECUTOR") or "local")(jobs, threads)


def available_cores() -> int:
    """Cores that this process may use: of the machine, of its container, and as it is bound to them."""
    from joblib import cpu_count

    return cpu_count()


def in_order(results: Iterable[tuple[int, Result]]) -> Iterator[Result]:
    """The results of Executor.map in the order of the items, each as soon as those before it are there."""
    waiting: dict[int, Result] = {}
    following = 0
    for index, result in results:
        waiting[index] = result
        while following in waiting:
            yield waiting.pop(following)
            following += 1


_speak: ContextVar[Callable[[Any], None] | None] = ContextVar("speak", default=None)


def say(message: Any) -> None:
    """From a function that an executor runs: tell the caller something. It must be picklable."""
    speak = _speak.get()
    if speak is not None:
        speak(message)


class ThisProcess:
    """One item after the other, in this process."""

    def map(
        self, function: Callable[[Item], Result], items: Iterable[Item], heard: Heard | None = None
    ) -> Iterator[tuple[int, Result]]:
        """See Executor."""
        for index, item in enumerate(items):
            token = _speak.set(None if heard is None else partial(heard, index))
            try:
                result = function(item)
            finally:
                _speak.reset(token)
            yield index, result


class LocalExecutor:
    """Worker processes on this machine (loky's: each starts afresh and imports what its function needs).

    They do not hear Ctrl-C, which is for this process, and end when it does, however it ends.

    Args:
        jobs: processes.
        threads: of each.
    """

    def __init__(self, jobs: int, threads: int = 1) -> None:
        self._jobs = jobs
        self._threads = threads

    def map(
        self, function: Callable[[Item], Result], items: Iterable[Item], heard: Heard | None = None
    ) -> Iterator[tuple[int, Result]]:
        """See Executor."""
        from joblib.externals.loky.backend import get_context
        from joblib.externals.loky.process_executor import ProcessPoolExecutor

        context = get_context("loky")
        reader, writer = context.Pipe(duplex=False)
        told: queue.SimpleQueue[tuple[str, int, Any]] = queue.SimpleQueue()
        pool = ProcessPoolExecutor(
            self._jobs,
            context=context,
            initializer=_begin,
            initargs=(os.getpid(), writer, context.Lock()),
            env={name: str(self._threads) for name in _THREADS},
        )
        listener = threading.Thread(target=_listen, args=(reader, told), daemon=True)
        listener.start()
        numbered = iter(enumerate(items))
        running: dict[int, Future[None]] = {}

        def submit(count: int) -> None:
            for index, item in islice(numbered, count):
                running[index] = pool.submit(_call, function, index, item)
                running[index].add_done_callback(partial(_report, index, told))

        try:
            submit(2 * self._jobs)  # one that runs and one that waits for each: none is ever idle
            while running:
                kind, index, content = told.get()
                if kind == "says":
                    if heard is not None:
                        heard(index, content)
                elif kind == "failed":
                    raise content
                else:
                    del running[index]
                    submit(1)
                    yield index, content
        finally:
            _wait_until_sent(running.values())
            pool.shutdown(wait=True, kill_workers=True)
            writer.close()
            listener.join()
            reader.close()


_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
"""Environment variables that libraries take their threads from, when they are loaded."""


def _wait_until_sent(futures: Iterable[Future[None]], seconds: float = 10.0) -> None:
    """Wait, a moment usually, until loky has no call in hand: its thread trips over one when it is told to end."""
    deadline = time.monotonic() + seconds
    while not all(future.running() or future.done() for future in futures) and time.monotonic() < deadline:
        time.sleep(0.001)


def _report(index: int, told: queue.SimpleQueue[tuple[str, int, Any]], done: Future[None]) -> None:
    """Pass on how a call ended, where it is not by the result that its worker has told."""
    if done.cancelled():
        return
    error = done.exception()
    if error is None:
        return
    from joblib.externals.loky.process_executor import BrokenProcessPool

    if isinstance(error, BrokenProcessPool):
        last = " ".join(str(error).split())
        failure = FfptError(f"a worker process is gone, killed or out of memory ({last})")
        failure.__cause__ = error
        error = failure
    told.put(("failed", index, error))


def _listen(reader: Any, told: queue.SimpleQueue[tuple[str, int, Any]]) -> None:
    """Pass on what workers write, until the last of them is gone."""
    with contextlib.suppress(EOFError, OSError):
        while True:
            told.put(reader.recv())


_channel: Any = None
"""In a worker: the end of the pipe that it writes to, and the lock that all workers share."""


def _begin(parent: int, writer: Any, lock: Any) -> None:
    """First thing in a worker."""
    global _channel
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _channel = (writer, lock)
    end_with(parent)


def _call(function: Callable[[Any], Any], index: int, item: Any) -> None:
    """In a worker: call the function, and tell what it says and its result in this order."""
    writer, lock = _channel

    def tell(kind: str, content: Any) -> None:
        with lock:
            writer.send((kind, index, content))

    token = _speak.set(lambda message: tell("says", message))
    try:
        tell("is", function(item))
    finally:
        _speak.reset(token)


@lru_cache(maxsize=1)
def end_with(parent: int) -> None:
    """End this process soon after the one with this number, which started it, even if that was killed."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.2)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
