"""How fast ffpt is: beside its peers, in the same run on the same machine, and beside what the arithmetic allows.

    make benchmark
    python -m benchmarks.speed --rows aspirin water --threads 1

Prints a table for each row, writes speed.json and speed.png. docs/performance.md says what the rows mean.
"""

from __future__ import annotations

import argparse
import logging
import os
import platform
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import openmm
import torch
from rich.console import Console

import ffpt_core
from benchmarks import peers
from benchmarks.picture import draw
from benchmarks.report import show
from benchmarks.rows import ROWS
from benchmarks.rows.plan import Plan
from benchmarks.rows.result import Result
from benchmarks.timing import Effort
from ffpt_core.base.files import write_json
from ffpt_core.base.progress import progress_bar


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine(threads: int, device: str) -> dict[str, Any]:
    """What the numbers hang on."""
    model = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        lines = [line for line in information.read_text().splitlines() if line.startswith("model name")]
        model = lines[0].split(":", 1)[1].strip() if lines else model
    found = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": model,
        "capability": torch.backends.cpu.get_cpu_capability(),
        "cores": cores(),
        "threads": threads,
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "ffpt": ffpt_core.__version__,
        "torch": torch.__version__,
        "openmm": openmm.__version__,
        "numpy": np.__version__,
    }
    if device == "cuda":
        found["gpu"] = torch.cuda.get_device_name()
    return found


def _introduce(found: dict[str, Any], console: Console) -> None:
    """One line on the machine, and a warning where others are at work on it."""
    names = ("gpu", "processor", "capability", "threads", "torch", "openmm")
    console.print(", ".join(f"{name} {found[name]}" for name in names if name in found))
    load = found["load_average"][0]
    if load > 0.3 * found["cores"]:
        console.print(
            f"[bold]the machine is busy (load {load:g} on {found['cores']} cores)[/bold]: times are too long; ratios, "
            "above all those of CPU time on one thread, suffer less"
        )


def measure(plan: Plan, keys: list[str], console: Console) -> list[Result]:
    """All rows on one device, each printed when it is done."""
    results = []
    for key in keys:
        with progress_bar(f"{key}, {plan.device}", plan.effort.rounds, "rounds") as advance:
            row = ROWS[key](plan, advance)
            if not row.cases:
                advance(plan.effort.rounds)
        show(row, console)
        results.append(row)
    return results


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--rows", nargs="+", choices=list(ROWS), default=list(ROWS), metavar="ROW", help=", ".join(ROWS)
    )
    there = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    parser.add_argument("--devices", nargs="+", choices=there, default=there, metavar="DEVICE", help=", ".join(there))
    parser.add_argument("--threads", type=int, default=cores(), help="of PyTorch and OpenMM (default: all cores)")
    parser.add_argument("--output", type=Path, default=Path("benchmark"), help="folder of speed.json and speed.png")
    parser.add_argument("--quick", action="store_true", help="a few seconds, tiny boxes: a smoke test")
    parser.add_argument("--no-peers", action="store_true", help="without reference NewtonNet, MACE and TensorNet")
    chosen = parser.parse_args(arguments)
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    torch.set_num_threads(chosen.threads)
    started = time.perf_counter()
    console = Console(width=110)

    versions, missing = ({}, {"all peers": "--no-peers"}) if chosen.no_peers else peers.installed()
    for name, reason in missing.items():
        console.print(f"without {name}: {reason}")
    sizes: dict[str, Any] = {}
    if chosen.quick:
        # The reference needs a box of twice the cutoff.
        sizes = {"waters": 36 if versions else 4, "boxes": (2, 4), "replicas": 2}
    effort = Effort(rounds=5, budget=0.1, visit=0.001) if chosen.quick else Effort()

    report: dict[str, Any] = {"machine": {}, "peers": versions, "missing_peers": missing, "rows": {}}
    for device in chosen.devices:
        plan = Plan(device, chosen.threads, effort, tuple(versions), **sizes)
        report["machine"][device] = machine(chosen.threads, device)
        _introduce(report["machine"][device], console)
        rows = measure(plan, chosen.rows, console)
        report["rows"][device] = {row.key: vars(row) for row in rows}
    if there == ["cpu"]:
        report["missing_devices"] = {"cuda": "PyTorch finds no GPU"}
        console.print("\nGPU rows left out: PyTorch finds no GPU")
    report["wall_seconds"] = round(time.perf_counter() - started, 1)

    chosen.output.mkdir(parents=True, exist_ok=True)
    write_json(chosen.output / "speed.json", report)
    for device in chosen.devices:
        name = "speed.png" if device == "cpu" else f"speed-{device}.png"
        draw(report, device, chosen.output / name)
    console.print(f"{chosen.output / 'speed.json'}, {chosen.output / 'speed.png'}, {report['wall_seconds']:.0f} s")


if __name__ == "__main__":
    main()
