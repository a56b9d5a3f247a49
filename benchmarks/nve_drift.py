"""Energy conservation of a potential: drift over 20 ps at 0.5 fs, in float32 and float64.

    python benchmarks/nve_drift.py aspirin.pt

Prints one line for each precision, and JSON on request. Targets: float32 below 1 meV/atom/ps, float64 below 0.01.
"""

from __future__ import annotations

import argparse
import copy
import time

import torch

from ffpt_core import load
from ffpt_core.base.files import write_json
from ffpt_core.teachers import load_teacher
from ffpt_openmm.md.conservation import energy_drift


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="potential file")
    parser.add_argument("--teacher", default="aspirin", help="teacher whose relaxed molecule is the start")
    parser.add_argument("--length", type=float, default=20.0, help="ps")
    parser.add_argument("--timestep", type=float, default=0.5, help="fs")
    parser.add_argument("--temperature", type=float, default=500.0, help="K, of the initial velocities")
    parser.add_argument("--precision", choices=["float32", "float64"], nargs="*", default=["float32", "float64"])
    parser.add_argument("--output", help="JSON file")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    teacher, model = load_teacher(arguments.teacher), load(arguments.model)
    results = {}
    for precision in arguments.precision:
        started = time.perf_counter()
        result = energy_drift(
            copy.deepcopy(model).to(getattr(torch, precision)),
            teacher.topology,
            teacher.atoms,
            length=arguments.length,
            timestep=arguments.timestep,
            temperature=arguments.temperature,
        )
        results[precision] = result.to_dict()
        print(
            f"{precision}: drift {result.drift:+.5f} meV/atom/ps, fluctuation {result.fluctuation:.3f} meV/atom, "
            f"kinetic energy {result.kinetic.mean():.1f} meV/atom, {arguments.length:g} ps in "
            f"{time.perf_counter() - started:.0f} s"
        )
    if arguments.output:
        write_json(arguments.output, {"model": arguments.model, "timestep_fs": arguments.timestep, **results})


if __name__ == "__main__":
    main()
