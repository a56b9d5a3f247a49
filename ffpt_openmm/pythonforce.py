"""The function that an openmm.PythonForce calls."""

from __future__ import annotations

import logging
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ffpt_core import Potential, load
from ffpt_core.engine import ForceModule
from ffpt_core.errors import FfptError
from ffpt_core.export import check_evaluation, check_module, compile_module, probe_geometries
from ffpt_core.fused import FusedEvaluator, choose_kernel
from ffpt_core.units import KJ_PER_MOL, KJ_PER_MOL_NM, NANOMETRE

_log = logging.getLogger(__name__)

_Evaluate = Callable[[np.ndarray, np.ndarray | None], tuple[float, np.ndarray]]
"""(n_atoms, 3) positions and a (3, 3) box or None, in nm, to kJ/mol and (n_atoms, 3) kJ/mol/nm."""


class PotentialFunction:
    """Positions of an OpenMM State to energy (kJ/mol) and forces ((n_atoms, 3) kJ/mol/nm).

    It pickles, which OpenMM needs to serialise a PythonForce: what goes into the pickle is the potential's own
    file format and the atomic numbers, so a System written today is read by a later ffpt.

    Args:
        potential: what to evaluate.
        numbers: atomic numbers of the particles that the State will hold.
        periodic: evaluate in the box of the State.
        kernel: as in ffpt_core.fused.choose_kernel.

    Raises:
        FfptError: an element that the potential does not know; a kernel that is not available, or differs from
            the potential.
    """

    def __init__(
        self, potential: Potential, numbers: Sequence[int], periodic: bool = False, kernel: str = "auto"
    ) -> None:
        self.numbers = [int(z) for z in numbers]
        self.periodic = periodic
        self.kernel = kernel
        self.potential = potential
        potential.check_elements(np.array(self.numbers, dtype=int))
        make = _fused if choose_kernel(kernel, potential) == "fused" else _torch
        self._evaluate = make(potential, self.numbers, periodic)
        # Contexts of one System share this function, and with it the pair list that is kept from call to call.
        self._one_at_a_time = threading.Lock()

    def __call__(self, state: Any) -> tuple[float, np.ndarray]:
        """Called by OpenMM, possibly several times for the same step."""
        # _value skips the unit machinery; a State counts in nm.
        box = state.getPeriodicBoxVectors(asNumpy=True)._value if self.periodic else None
        positions = state.getPositions(asNumpy=True)._value
        with self._one_at_a_time:
            return self._evaluate(positions, box)

    def __getstate__(self) -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "potential"
            self.potential.save(path)
            contents = path.read_bytes()
        settings = {"numbers": self.numbers, "periodic": self.periodic, "kernel": self.kernel}
        return {"potential": contents, **settings}

    def __setstate__(self, state: dict[str, Any]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "potential"
            path.write_bytes(state["potential"])
            potential = load(path)
        self.__init__(potential, state["numbers"], state["periodic"], state["kernel"])  # type: ignore[misc]


def _fused(potential: Potential, numbers: Sequence[int], periodic: bool) -> _Evaluate:
    probes = probe_geometries(numbers, periodic)
    probe = FusedEvaluator(potential, probes[0].numbers, (periodic,) * 3)
    check_evaluation(
        lambda atoms: probe(atoms.positions, np.array(atoms.cell) if periodic else None)[:2], potential, probes
    )
    evaluator = FusedEvaluator(potential, numbers, (periodic,) * 3)

    def evaluate(positions: np.ndarray, box: np.ndarray | None) -> tuple[float, np.ndarray]:
        energy, forces, _ = evaluator(positions * NANOMETRE, None if box is None else box * NANOMETRE)
        forces *= 1.0 / KJ_PER_MOL_NM
        return energy / KJ_PER_MOL, forces

    return evaluate


def _torch(potential: Potential, numbers: Sequence[int], periodic: bool) -> _Evaluate:
    """In TorchScript where PyTorch still can, which saves a third of the time of a small molecule; else eager."""
    module: torch.nn.Module = ForceModule(potential, numbers, None, periodic)
    probes = probe_geometries(numbers, periodic)
    probe: torch.nn.Module = ForceModule(potential, probes[0].numbers.tolist(), None, periodic)
    try:
        module, probe = (torch.jit.freeze(compile_module(one)) for one in (module, probe))
    except FfptError as error:
        _log.info("the network runs in eager PyTorch: %s", error)
    check_module(probe, potential, probes)

    def evaluate(positions: np.ndarray, box: np.ndarray | None) -> tuple[float, np.ndarray]:
        arguments = (positions,) if box is None else (positions, box)
        energy, forces = module(*(torch.from_numpy(array) for array in arguments))
        return energy.item(), forces.numpy()

    return evaluate
