"""Rows of single evaluations: energy and forces of one structure."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np
import torch
from ase import Atoms

from benchmarks import peers, systems
from benchmarks.floor import RATE_ROWS, floor_counts
from benchmarks.rows.plan import Advance, Plan
from benchmarks.rows.result import Result
from benchmarks.rows.structures import engines_of, structure_of
from benchmarks.systems import along, motion
from benchmarks.timing import Case, Spread, paired_times
from ffpt_core import NetworkPotential
from ffpt_core.base.units import NANOMETRE
from ffpt_core.export.openmm_module import ForceModule

POTENTIAL = "ffpt, potential"
"""Potential.energy_and_forces: what ASE and scripts call."""

PRODUCT = "matrix product"
"""Cases of this name measure the rate of (rows x 128) (128 x 128)."""


def measure(system: str, plan: Plan, advance: Advance) -> Result:
    """Energy and forces of one structure by everything that can evaluate it."""
    atoms = structure_of(system, plan)
    frames = motion(atoms)
    potential = systems.random_potential(plan.device)
    n_pairs = potential.pairs(atoms)[0].shape[1]
    title, reach = {
        "aspirin": ("energy + forces, one aspirin", 4.0),
        "ho2": ("energy + forces, HO2", 3.0),
        "water": (f"energy + forces, {plan.waters} waters, periodic", 4.0),
    }[system]
    reach, goal = (reach, 6.0) if plan.device == "cpu" else (10.0, None)
    result = Result(system, title, "evaluation", "times faster", reach, goal)
    engines, skipped = engines_of(system, plan)
    result.skipped = dict(skipped)

    base = peers.REFERENCE
    rate_rows = RATE_ROWS[plan.device]
    cases = [Case(_product(rows), _product_call(rows, plan.device)) for rows in sorted({n_pairs, rate_rows})]
    cases.append(Case(POTENTIAL, along(potential.energy_and_forces, frames), against=base))
    cases.append(Case("ffpt, ASE calculator", along(potential.calculator().calculate, frames), against=base))
    cases.append(Case("ffpt, eager module", _module_call(potential, frames), against=base))
    cases += [Case(f"ffpt, {engine.backend}", engine.evaluate, against=base) for engine in engines]
    if peers.REFERENCE in plan.peers:
        reference = peers.Reference(potential)
        cases.append(Case(base, along(reference.energy_and_forces, frames), against=base))
        cases.append(Case(f"{base}, ASE", along(reference.calculator(), frames), against=base))
        result.details["largest_difference"] = _difference(potential, reference, frames)
    for name in plan.peers:
        if name in peers.FOR_SCALE:
            peer = _for_scale(name, plan.device)
            cases.append(Case(name, peer.evaluator(atoms), against=base))
            result.details.setdefault("peers", {})[name] = peer.settings

    times = paired_times(cases, plan.effort, plan.device, advance)
    result.add(cases, times)
    result.details |= {"n_atoms": len(atoms), "n_pairs": n_pairs}
    _add_floor(result, times, len(atoms), n_pairs, rate_rows)
    return result


@functools.cache
def _for_scale(name: str, device: str) -> peers.ForScale:
    return peers.FOR_SCALE[name](device)


def _module_call(potential: NetworkPotential, frames: Sequence[Atoms]) -> Callable[[], object]:
    periodic = bool(frames[0].pbc.any())
    module = ForceModule(potential, frames[0].numbers.tolist(), None, periodic)
    positions = [torch.as_tensor(frame.positions / NANOMETRE, device=potential.device) for frame in frames]
    if not periodic:
        return along(module, positions)
    box = torch.as_tensor(np.array(frames[0].cell) / NANOMETRE, device=potential.device)
    return along(lambda x: module(x, box), positions)


def _product(rows: int) -> str:
    return f"{PRODUCT}, {rows} rows"


def _product_call(rows: int, device: str) -> Callable[[], object]:
    left, right = torch.rand(rows, 128, device=device), torch.rand(128, 128, device=device)
    result = torch.empty_like(left)
    return lambda: torch.mm(left, right, out=result)


def _difference(potential: NetworkPotential, reference: peers.Reference, frames: Sequence[Atoms]) -> dict[str, float]:
    """Worst of all frames, by the potential itself and its calculator: energy, eV, and force, eV/Angstrom."""
    energies, forces = [], []
    calculator = potential.calculator()
    for frame in frames:
        energy, force = reference.energy_and_forces(frame)
        calculator.calculate(frame)
        for ours in (potential.energy_and_forces(frame), (calculator.results["energy"], calculator.results["forces"])):
            energies.append(abs(ours[0] - energy))
            forces.append(np.abs(ours[1] - force).max())
    return {"energy_eV": float(max(energies)), "force_eV_per_Angstrom": float(max(forces))}


def _add_floor(result: Result, times: dict[str, np.ndarray], n_atoms: int, n_pairs: int, rate_rows: int) -> None:
    """Floor in seconds from the best rate of the same round, and the share of each case that evaluates our network."""
    counts = floor_counts(n_atoms, n_pairs)
    rate = np.max([rows * 128 * 128 / times[_product(rows)][:, 0] for rows in {n_pairs, rate_rows}], axis=0)
    result.details["floor"] = counts
    result.details["product_gflops"] = Spread.of(2e-9 * rate).to_dict()
    for name, count in counts.items():
        count["seconds"] = float(np.median(count["multiply_adds"] / rate))  # type: ignore[assignment]
        for case in result.cases:
            if not case.startswith(PRODUCT) and case not in peers.FOR_SCALE:
                shares = count["multiply_adds"] / rate / times[case][:, 0]
                result.cases[case].setdefault("share_of_floor", {})[name] = Spread.of(shares).to_dict()
