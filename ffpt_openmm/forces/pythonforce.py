"""The function that an openmm.PythonForce calls."""

from __future__ import annotations

import logging
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from ffpt_core import Potential, load
from ffpt_core.base.errors import FfptError
from ffpt_core.base.units import KJ_PER_MOL, KJ_PER_MOL_NM, NANOMETRE
from ffpt_core.export.openmm_module import ForceModule
from ffpt_core.export.torchscript import check_evaluation, check_module, compile_module, probe_geometries
from ffpt_core.potentials.backends import choose_kernel, make_evaluator

_log = logging.getLogger(__name__)

ReplicaEvaluation = Callable[[np.ndarray, np.ndarray | None], tuple[np.ndarray, np.ndarray]]
"""Positions of all copies and a (3, 3) box or None, in nm, to (replicas,) kJ/mol and forces in kJ/mol/nm."""


class PotentialFunction:
    """Positions of an OpenMM State to energy (kJ/mol) and forces ((n_atoms, 3) kJ/mol/nm).

    It pickles, which OpenMM needs to serialise a PythonForce: what goes into the pickle is the potential's own
    file format and the atomic numbers, so a System written today is read by a later ffpt.

    Args:
        potential: what to evaluate.
        numbers: atomic numbers of the particles that the State will hold, of one copy.
        periodic: evaluate in the box of the State.
        kernel: as in ffpt_core.potentials.backends.choose_kernel.
        replicas: number of copies, which the State holds one after the other.

    Raises:
        FfptError: an element that the potential does not know; a kernel that is not available, or differs from
            the potential.
    """

    def __init__(
        self,
        potential: Potential,
        numbers: Sequence[int],
        periodic: bool = False,
        kernel: str = "auto",
        replicas: int = 1,
    ) -> None:
        self.numbers = [int(z) for z in numbers]
        self.periodic = periodic
        self.kernel = kernel
        self.replicas = replicas
        self.potential = potential
        self._evaluate = evaluation(potential, self.numbers, periodic, kernel, replicas)
        # Contexts of one System share this function, and with it the pair list that is kept from call to call.
        self._one_at_a_time = threading.Lock()

    def __call__(self, state: Any) -> tuple[float, np.ndarray]:
        """Called by OpenMM, possibly several times for the same step."""
        # _value skips the unit machinery; a State counts in nm.
        box = state.getPeriodicBoxVectors(asNumpy=True)._value if self.periodic else None
        positions = state.getPositions(asNumpy=True)._value
        with self._one_at_a_time:
            energies, forces = self._evaluate(positions, box)
        return float(energies.sum()), forces

    def __getstate__(self) -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "potential"
            self.potential.save(path)
            contents = path.read_bytes()
        names = ("numbers", "periodic", "kernel", "replicas")
        return {"potential": contents, **{name: getattr(self, name) for name in names}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "potential"
            path.write_bytes(state["potential"])
            potential = load(path)
        settings = {name: value for name, value in state.items() if name != "potential"}
        self.__init__(potential, **settings)  # type: ignore[misc]


def evaluation(
    potential: Potential, numbers: Sequence[int], periodic: bool = False, kernel: str = "auto", replicas: int = 1
) -> ReplicaEvaluation:
    """What a PythonForce computes, with the energy of each copy. Arguments and errors as PotentialFunction."""
    potential.check_elements(np.array(numbers, dtype=int))
    chosen = choose_kernel(kernel, potential)
    if chosen == "torch":
        return _torch(potential, list(numbers), periodic, replicas)
    return _evaluator(chosen, potential, list(numbers), periodic, replicas)


def _evaluator(
    kernel: str, potential: Potential, numbers: list[int], periodic: bool, replicas: int
) -> ReplicaEvaluation:
    probes = probe_geometries(numbers, periodic)
    probe = make_evaluator(kernel, potential, probes[0].numbers, (periodic,) * 3, replicas)

    def evaluate_probe(positions: np.ndarray, cell: np.ndarray | None) -> tuple[float, np.ndarray]:
        energies, forces, _ = probe(positions, cell)
        return float(energies.sum()), forces

    check_evaluation(evaluate_probe, potential, probes, replicas)
    evaluator = make_evaluator(kernel, potential, numbers, (periodic,) * 3, replicas)

    def evaluate(positions: np.ndarray, box: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        energies, forces, _ = evaluator(positions * NANOMETRE, None if box is None else box * NANOMETRE)
        forces *= 1.0 / KJ_PER_MOL_NM
        return energies / KJ_PER_MOL, forces

    return evaluate


def _torch(potential: Potential, numbers: list[int], periodic: bool, replicas: int) -> ReplicaEvaluation:
    """In TorchScript where PyTorch still can, which saves a third of the time of a small molecule; else eager."""
    probes = probe_geometries(numbers, periodic)
    module: torch.nn.Module = ForceModule(potential, numbers, None, periodic, replicas)
    probe: torch.nn.Module = ForceModule(potential, probes[0].numbers.tolist(), None, periodic, replicas)
    try:
        module, probe = (torch.jit.freeze(compile_module(one), ["evaluate"]) for one in (module, probe))
    except FfptError as error:
        _log.info("the network runs in eager PyTorch: %s", error)
    check_module(probe, potential, probes, replicas)

    def evaluate(positions: np.ndarray, box: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        tensors = torch.from_numpy(positions), None if box is None else torch.from_numpy(box)
        with torch.no_grad():
            energies, forces = cast(ForceModule, module).evaluate(*tensors)
        return energies.numpy(), forces.numpy()

    return evaluate
