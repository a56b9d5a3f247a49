"""Executors: the same results everywhere, what workers say, and workers that end with whoever started them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ffpt_core.base.errors import FfptError
from ffpt_core.base.workers import EXECUTORS, LocalExecutor, ThisProcess, in_order, open_executor, say

ROOT = Path(__file__).resolve().parents[3]


def squared(number: int) -> int:
    say(f"squaring {number}")
    say("done")
    return number**2


def threads_and_process(_: int) -> tuple[str, int]:
    return os.environ["OMP_NUM_THREADS"], os.getpid()


def fails_at_three(number: int) -> int:
    if number == 3:
        raise FfptError("three is not liked")
    time.sleep(0.1)
    return number


def dies(number: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def sleeps(number: int) -> int:
    say(os.getpid())
    time.sleep(600)
    return number


@pytest.mark.parametrize("jobs", [1, 2])
def test_results_and_what_is_said(jobs: int) -> None:
    heard: dict[int, list[str]] = {}
    results = {}
    for index, result in open_executor(jobs).map(
        squared, range(7), lambda k, word: heard.setdefault(k, []).append(word)
    ):
        assert heard[index] == [f"squaring {index}", "done"]  # all of it before the result
        results[index] = result
    assert results == {number: number**2 for number in range(7)}
    assert list(in_order(open_executor(jobs).map(squared, range(7)))) == [number**2 for number in range(7)]
    assert list(open_executor(jobs).map(squared, [])) == []


def test_workers_have_their_threads_and_are_other_processes() -> None:
    found = [result for _, result in LocalExecutor(2, threads=3).map(threads_and_process, range(4))]
    assert {threads for threads, _ in found} == {"3"}
    assert os.getpid() not in {process for _, process in found}


def test_items_are_taken_as_they_are_needed() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            yield number

    results = LocalExecutor(2).map(squared, items())
    next(results)
    assert len(taken) < 10
    results.close()
    assert list(ThisProcess().map(squared, [2])) == [(0, 4)]


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_error_is_raised_here_and_ends_all(jobs: int) -> None:
    started = time.monotonic()
    with pytest.raises(FfptError, match="three is not liked"):
        for _ in open_executor(jobs).map(fails_at_three, range(1000)):
            pass
    assert time.monotonic() - started < 30


def test_a_worker_that_is_killed_is_reported() -> None:
    with pytest.raises(FfptError, match="a worker process is gone"):
        list(LocalExecutor(2).map(dies, range(3)))


def ended(processes: list[int], seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not any(Path(f"/proc/{process}").exists() for process in processes):
            return True
        time.sleep(0.05)
    return False


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="looks for processes in /proc")
def test_leaving_early_ends_the_workers() -> None:
    workers: list[int] = []

    def heard(_: int, process: int) -> None:
        workers.append(process)
        if len(workers) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(LocalExecutor(2).map(sleeps, range(4), heard))
    assert ended(workers)


SCRIPT = """
import signal, sys, time
from ffpt_core.base.workers import LocalExecutor, say
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background of a shell ignores it
def work(number):
    import os
    say(os.getpid()); time.sleep(600)
def heard(index, process):
    print(process, flush=True)
for _ in LocalExecutor(2).map(work, range(2), heard): pass
"""


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="looks for processes in /proc")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_workers_end_with_their_parent(how: signal.Signals) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    parent = subprocess.Popen(
        [sys.executable, "-c", SCRIPT], env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    workers = [int(parent.stdout.readline()) for _ in range(2)]
    parent.send_signal(how)
    assert parent.wait(20) != 0
    assert ended(workers)


def test_an_executor_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    class Elsewhere(ThisProcess):
        def __init__(self, jobs: int, threads: int) -> None:
            self.asked = (jobs, threads)

    with EXECUTORS.added("elsewhere", Elsewhere):
        monkeypatch.setenv("FFPT_EXECUTOR", "elsewhere")
        assert open_executor(3, threads=2).asked == (3, 2)
    with pytest.raises(FfptError, match="there is no executor 'elsewhere'; there are local"):
        open_executor(2)
    with pytest.raises(FfptError, match="at least one job"):
        open_executor(0)
