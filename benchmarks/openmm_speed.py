"""What a potential costs in OpenMM: one evaluation, and one Langevin step through each backend and platform.

    OMP_NUM_THREADS=1 python benchmarks/openmm_speed.py aspirin.pt

Without a model, random weights of the paper's size. Prints processor milliseconds (of all threads), which other
jobs on the machine disturb less than the clock; the lower quartile over rounds that visit all cases in turn.
"""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Callable

import numpy as np
import torch
from ase import Atoms

from ffpt_core import Potential, load
from ffpt_core.engine import EnergyModule, ForceModule
from ffpt_core.export import compile_module
from ffpt_core.files import write_json
from ffpt_core.newtonnet import NewtonNet
from ffpt_core.teachers import Teacher, load_teacher
from ffpt_core.units import NANOMETRE
from ffpt_openmm import backends, create_system


def evaluations(potential: Potential, atoms: Atoms) -> dict[str, Callable[[], object]]:
    """Bare evaluations: the potential, and the engine's modules in the forms that PyTorch offers."""
    x = torch.as_tensor(atoms.positions / NANOMETRE)
    force, energy = (kind(potential, atoms.numbers.tolist()) for kind in (ForceModule, EnergyModule))
    scripted = {"script": compile_module(force), "frozen": torch.jit.freeze(compile_module(force))}
    scripted["optimize_for_inference"] = torch.jit.optimize_for_inference(compile_module(force))
    frozen_energy = torch.jit.freeze(compile_module(energy))

    def with_autograd() -> object:
        y = x.clone().requires_grad_(True)
        return torch.autograd.grad(frozen_energy(y), y)

    cases = {
        "evaluation, potential.energy_and_forces": lambda: potential.energy_and_forces(atoms),
        "evaluation, eager module": lambda: force(x),
        "evaluation, frozen, energy + autograd": with_autograd,
    }
    for name, module in scripted.items():
        cases[f"evaluation, {name}"] = lambda module=module: module(x)
    return cases


def steps(potential: Potential, teacher: Teacher) -> dict[str, Callable[[], object]]:
    """Ten Langevin steps through each backend and platform."""
    import openmm

    cases = {}
    usable = ["pythonforce"] if isinstance(backends.load_torchforce(), str) else ["torchforce", "pythonforce"]
    if shutil.which("c++"):
        usable.append("compiled")
    for backend in usable:
        system = create_system(potential, teacher.topology, backend=backend)
        for platform in ("Reference", "CPU"):
            integrator = openmm.LangevinMiddleIntegrator(1, 2, 0.0001)  # cold and slow: the geometry hardly changes
            properties = {"Threads": "1"} if platform == "CPU" else {}
            context = openmm.Context(system, integrator, openmm.Platform.getPlatformByName(platform), properties)
            context.setPositions(teacher.atoms.positions / NANOMETRE)
            cases[f"Langevin step, {backend}, {platform}"] = lambda context=context: context.getIntegrator().step(10)
    return cases


def measure(cases: dict[str, Callable[[], object]], rounds: int) -> dict[str, dict[str, float]]:
    """Processor and wall-clock milliseconds of a call, and of the first three, warm-up included."""
    results = {}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in cases}
    for name, call in cases.items():
        first = time.perf_counter()
        for _ in range(3):
            call()
        results[name] = {"first_three_wall_ms": 1000 * (time.perf_counter() - first)}
    for _ in range(rounds):
        for name, call in cases.items():
            clock, processor = time.perf_counter(), time.process_time()
            call()
            times[name].append((time.process_time() - processor, time.perf_counter() - clock))
    for name, values in times.items():
        scale = 100 if name.startswith("Langevin") else 1000
        processor, clock = np.percentile(np.array(values), 25, axis=0) * scale
        results[name] |= {"processor_ms": processor, "wall_ms": clock}
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", help="potential file")
    parser.add_argument("--teacher", default="aspirin")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--threads", type=int, default=1, help="of PyTorch")
    parser.add_argument("--precision", choices=["float32", "float64"], default="float32")
    parser.add_argument("--output", help="JSON file")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    teacher = load_teacher(arguments.teacher)
    if arguments.model:
        potential = load(arguments.model)
    else:
        elements = sorted(set(teacher.atoms.numbers.tolist()))
        potential = Potential(NewtonNet(), elements, scales=dict.fromkeys(elements, 0.01)).eval()
    potential = potential.to(getattr(torch, arguments.precision))
    results = measure(evaluations(potential, teacher.atoms) | steps(potential, teacher), arguments.rounds)
    print(
        f"{arguments.precision}, {arguments.threads} thread(s){'processor':>38} {'wall':>8} {'first 3, wall':>14}  ms"
    )
    for name, row in results.items():
        print(f"{name:54} {row['processor_ms']:8.2f} {row['wall_ms']:8.2f} {row['first_three_wall_ms']:14.0f}")
    if arguments.output:
        write_json(arguments.output, {"precision": arguments.precision, "threads": arguments.threads, **results})


if __name__ == "__main__":
    main()
