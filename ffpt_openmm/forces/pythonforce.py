"""The function that an openmm.PythonForce calls."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ffpt_core.base.units import KJ_PER_MOL, KJ_PER_MOL_NM, NANOMETRE
from ffpt_core.potentials.interface import Potential
from ffpt_core.potentials.network_potential import load
from ffpt_core.potentials.sources import saved_potential

ReplicaEvaluation = Callable[[np.ndarray, np.ndarray | None], tuple[np.ndarray, np.ndarray]]
"""Positions of all copies and a (3, 3) box or None, in nm, to (replicas,) kJ/mol and forces in kJ/mol/nm."""


class _Evaluated(NamedTuple):
    """Positions and box (nm), and what the potential gave there."""

    positions: np.ndarray
    box: np.ndarray | None
    energies: np.ndarray
    forces: np.ndarray

    def is_of(self, positions: np.ndarray, box: np.ndarray | None) -> bool:
        same_box = self.box is box or (self.box is not None and box is not None and np.array_equal(self.box, box))
        return same_box and np.array_equal(self.positions, positions)


class PotentialFunction:
    """Positions of an OpenMM State to energy (kJ/mol) and forces ((n_atoms, 3) kJ/mol/nm).

    It pickles, which OpenMM needs to serialise a PythonForce: what goes into the pickle is what the potential itself
    writes into the folder of a run, and the atomic numbers, so a System written today is read by a later ffpt.

    Args:
        potential: what to evaluate.
        numbers: atomic numbers of the particles that the State will hold, of one copy.
        periodic: evaluate in the box of the State.
        replicas: number of copies, which the State holds one after the other.

    Raises:
        FfptError: what the potential cannot do, such as an element that it does not know.
    """

    def __init__(self, potential: Potential, numbers: Sequence[int], periodic: bool = False, replicas: int = 1) -> None:
        self.numbers = [int(z) for z in numbers]
        self.periodic = periodic
        self.replicas = replicas
        self.potential = potential
        self._evaluate = evaluation(potential, self.numbers, periodic, replicas)
        # Contexts of one System share this function, and with it the pair list that is kept from call to call.
        self._one_at_a_time = threading.Lock()
        self._asked: _Evaluated | None = None
        self._last: _Evaluated | None = None

    def __call__(self, state: Any) -> tuple[float, np.ndarray]:
        """Called by OpenMM, possibly several times for the same step."""
        # _value skips the unit machinery; a State counts in nm.
        box = state.getPeriodicBoxVectors(asNumpy=True)._value if self.periodic else None
        positions = state.getPositions(asNumpy=True)._value
        with self._one_at_a_time:
            asked, self._asked = self._asked, None
            last = asked if asked is not None and asked.is_of(positions, box) else self._new(positions, box)
            self._last = last
        return float(last.energies.sum()), last.forces

    def energies(self, positions: np.ndarray, box: np.ndarray | None) -> np.ndarray:
        """(replicas,) kJ/mol of each copy, of which OpenMM knows the sum only.

        What the force has just computed is not computed again, nor does the force compute what was asked here.

        Args:
            positions: (replicas * n_atoms, 3) nm.
            box: (3, 3) nm, or None.
        """
        with self._one_at_a_time:
            for known in (self._asked, self._last):
                if known is not None and known.is_of(positions, box):
                    return known.energies
            self._asked = self._new(positions, box)
            return self._asked.energies

    def _new(self, positions: np.ndarray, box: np.ndarray | None) -> _Evaluated:
        return _Evaluated(positions, box, *self._evaluate(positions, box))

    def __getstate__(self) -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as folder:
            self.potential.save_into(folder)
            files = {
                str(path.relative_to(folder)): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()
            }
        return {"files": files, "numbers": self.numbers, "periodic": self.periodic, "replicas": self.replicas}

    def __setstate__(self, state: dict[str, Any]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            if "potential" in state:  # of before there were other potentials than those of a network
                path = Path(folder) / "potential.pt"
                path.write_bytes(state["potential"])
                potential: Potential = load(path)
            else:
                for name, contents in state["files"].items():
                    path = Path(folder) / name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(contents)
                potential = saved_potential(folder)
        self.__init__(potential, state["numbers"], state["periodic"], state["replicas"])  # type: ignore[misc]


def evaluation(
    potential: Potential, numbers: Sequence[int], periodic: bool = False, replicas: int = 1
) -> ReplicaEvaluation:
    """What a PythonForce computes, with the energy of each copy. Arguments and errors as PotentialFunction."""
    evaluator = potential.evaluator(numbers, (periodic,) * 3, replicas)

    def evaluate(positions: np.ndarray, box: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        energies, forces, _ = evaluator(positions * NANOMETRE, None if box is None else box * NANOMETRE)
        forces *= 1.0 / KJ_PER_MOL_NM
        return energies / KJ_PER_MOL, forces

    return evaluate
