"""The function that an openmm.PythonForce calls."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ffpt_core import Potential, load
from ffpt_core.compilation import compiling
from ffpt_core.engine import ForceModule
from ffpt_core.errors import FfptError
from ffpt_core.export import check_module, compile_module, probe_geometries


class PotentialFunction:
    """Positions of an OpenMM State to energy (kJ/mol) and forces ((n_atoms, 3) kJ/mol/nm).

    It pickles, which OpenMM needs to serialise a PythonForce: what goes into the pickle is the potential's own
    file format and the atomic numbers, so a System written today is read by a later ffpt.

    Args:
        potential: what to evaluate.
        numbers: atomic numbers of the particles that the State will hold.
        periodic: evaluate in the box of the State.
        compiled: through torch.compile, which takes half a minute and then saves a third of the time on a CPU.

    Raises:
        FfptError: an element that the potential does not know; a compiled module that differs from it.
    """

    def __init__(
        self, potential: Potential, numbers: Sequence[int], periodic: bool = False, compiled: bool = False
    ) -> None:
        self.numbers = [int(z) for z in numbers]
        self.periodic = periodic
        self.compiled = compiled
        self.potential = potential
        potential.check_elements(np.array(self.numbers, dtype=int))
        module = ForceModule(potential, self.numbers, None, periodic)
        self._module = _compiled(module, potential) if compiled else _scripted(module, potential)

    def __call__(self, state: Any) -> tuple[float, np.ndarray]:
        """Called by OpenMM, possibly several times for the same step."""
        # _value skips the unit machinery; a State counts in nm.
        positions = torch.from_numpy(state.getPositions(asNumpy=True)._value)
        if self.periodic:
            box = torch.from_numpy(state.getPeriodicBoxVectors(asNumpy=True)._value)
            energy, forces = self._module(positions, box)
        else:
            energy, forces = self._module(positions)
        return energy.item(), forces.numpy()

    def __getstate__(self) -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "potential"
            self.potential.save(path)
            contents = path.read_bytes()
        settings = {"numbers": self.numbers, "periodic": self.periodic, "compiled": self.compiled}
        return {"potential": contents, **settings}

    def __setstate__(self, state: dict[str, Any]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "potential"
            path.write_bytes(state["potential"])
            potential = load(path)
        self.__init__(potential, state["numbers"], state["periodic"], state["compiled"])  # type: ignore[misc]


def _compiled(module: ForceModule, potential: Potential) -> torch.nn.Module:
    with compiling(module.network):
        check_module(module, potential, probe_geometries(module.numbers.tolist(), module.periodic))
    return module


def _scripted(module: ForceModule, potential: Potential) -> torch.nn.Module:
    """In TorchScript where PyTorch still can, which saves a third of the time of a small molecule; else eager."""
    frames = probe_geometries(module.numbers.tolist(), module.periodic)
    try:
        scripted = torch.jit.freeze(compile_module(module))
    except FfptError:
        check_module(module, potential, frames)
        return module
    check_module(scripted, potential, frames)
    return scripted
