"""Boxes of water of several sizes: cost per atom and peak memory, each size in a process of its own.

    python -m benchmarks.boxes 512 --threads 2

is such a process: it answers each line on its standard input with one line of JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.floor import RATE_ROWS
from benchmarks.timing import Effort

MEMORY_LIMIT = 8 * 2**30
"""Bytes of memory that a process may take: the size of a small workstation."""

_PRODUCTS = 20


class Box:
    """A running process with one box.

    Args:
        n_molecules: of water.
        threads: of PyTorch.
        device: "cpu" or "cuda".
    """

    def __init__(self, n_molecules: int, threads: int, device: str) -> None:
        self.n_molecules = n_molecules
        command = [sys.executable, "-m", "benchmarks.boxes", str(n_molecules), "--threads", str(threads)]
        self._process = subprocess.Popen(
            [*command, "--device", device],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[1],
        )
        self.description: dict[str, Any] = {}

    def wait(self) -> None:
        """Until it is ready, and has described itself."""
        self.description = self._read()

    def ask(self, calls: int) -> dict[str, Any]:
        """Evaluate calls times: seconds of an evaluation, rate of a matrix product, peak memory."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{calls}\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        return json.loads(line) if line else {"failed": f"the process ended with status {self._process.wait()}"}

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()


@contextlib.contextmanager
def running(sizes: tuple[int, ...], threads: int, device: str) -> Iterator[list[Box]]:
    """A process for each size, ended with the block."""
    boxes: list[Box] = []
    try:
        for size in sizes:
            boxes.append(Box(size, threads, device))
        for box in boxes:
            box.wait()
        yield boxes
    finally:
        for box in boxes:
            box.close()


def measure(
    sizes: tuple[int, ...], threads: int, device: str, effort: Effort, advance: Callable[[float], None]
) -> dict[int, dict[str, Any]]:
    """Rounds over the sizes, which take turns.

    Args:
        sizes: numbers of molecules.
        threads: of PyTorch.
        device: "cpu" or "cuda".
        effort: how long; at least three rounds are made.
        advance: called with the number of rounds done; effort.rounds in all.

    Returns:
        For each size its description (n_atoms, n_pairs, base_bytes before the first evaluation), seconds and
        multiply_adds_per_second (n_rounds,), peak_bytes; or why it failed.
    """
    with running(sizes, threads, device) as boxes:
        results: dict[int, dict[str, Any]] = {box.n_molecules: dict(box.description) for box in boxes}
        answers: dict[int, list[dict[str, Any]]] = {size: [] for size in sizes}
        calls = {}
        for box in boxes:  # once for the caches, once for the number of calls in a visit
            for _ in range(2):
                answer = box.description if "failed" in box.description else box.ask(1)
                if "failed" in answer:
                    results[box.n_molecules].update(answer)
                    break
                calls[box.n_molecules] = max(1, round(10 * effort.visit / answer["seconds"]))
        well = [box for box in boxes if "failed" not in results[box.n_molecules]]
        started, done = time.perf_counter(), 0
        while done < 3 or (done < effort.rounds and time.perf_counter() - started < effort.budget):
            for box in well[:: 1 if done % 2 == 0 else -1]:
                answers[box.n_molecules].append(box.ask(calls[box.n_molecules]))
            done += 1
            advance(1)
        advance(max(0, effort.rounds - done))
    for box in well:
        mine = answers[box.n_molecules]
        results[box.n_molecules] |= {
            "seconds": np.array([answer["seconds"] for answer in mine]),
            "multiply_adds_per_second": np.array([answer["multiply_adds_per_second"] for answer in mine]),
            "peak_bytes": mine[-1]["peak_bytes"],
        }
    return results


def _peak_bytes(device: str) -> int:
    if device == "cuda":
        import torch

        return torch.cuda.max_memory_allocated()
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would also count what the parent process had when it started this one
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale


def _forget_peak(device: str) -> None:
    """Count the peak from now on, where the system lets us: importing took more memory than a small box."""
    if device == "cuda":
        import torch

        torch.cuda.reset_peak_memory_stats()
    elif sys.platform == "linux":
        Path("/proc/self/clear_refs").write_text("5")


def _serve(n_molecules: int, device: str) -> None:
    import torch

    from benchmarks.systems import along, motion, random_potential, water

    potential = random_potential(device)
    atoms = water(n_molecules)
    calculator = potential.calculator()
    evaluate = along(calculator.calculate, motion(atoms))
    potential.calculator().calculate(water(1))  # what libraries allocate once is not the box's
    rows = RATE_ROWS[device]
    left, right = torch.rand(rows, 128, device=device), torch.rand(128, 128, device=device)
    product = torch.mm(left, right)
    _forget_peak(device)
    synchronise = torch.cuda.synchronize if device == "cuda" else lambda: None
    base = _peak_bytes(device)
    n_pairs = potential.pairs(atoms)[0].shape[1]
    print(json.dumps({"n_atoms": len(atoms), "n_pairs": n_pairs, "base_bytes": base}), flush=True)
    for line in sys.stdin:
        calls = int(line)
        try:
            started = time.perf_counter()
            for _ in range(calls):
                evaluate()
            synchronise()
            seconds = (time.perf_counter() - started) / calls
        except (RuntimeError, MemoryError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            print(json.dumps({"failed": f"within {MEMORY_LIMIT / 2**30:.0f} GB: {reason}"}), flush=True)
            return
        torch.mm(left, right, out=product)
        synchronise()
        started = time.perf_counter()
        for _ in range(_PRODUCTS):
            torch.mm(left, right, out=product)
        synchronise()
        rate = rows * 128 * 128 * _PRODUCTS / (time.perf_counter() - started)
        answer = {"seconds": seconds, "multiply_adds_per_second": rate, "peak_bytes": _peak_bytes(device)}
        print(json.dumps(answer), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("n_molecules", type=int)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    arguments = parser.parse_args()
    import torch

    torch.set_num_threads(arguments.threads)
    if arguments.device == "cpu" and sys.platform == "linux":  # elsewhere RLIMIT_DATA does not count what is mapped
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_LIMIT, MEMORY_LIMIT))
    _serve(arguments.n_molecules, arguments.device)


if __name__ == "__main__":
    main()
