"""A trajectory on a potential and a PLUMED bias, by OpenMM or by ASE, as the groups of a run move it."""

from __future__ import annotations

import contextlib
import json
import struct
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms

from ffpt_core.base.errors import FfptError
from ffpt_core.base.units import ASE_FEMTOSECOND, KJ_PER_MOL, NANOMETRE, PICOSECOND
from ffpt_core.potentials.ase import PotentialCalculator
from ffpt_core.potentials.interface import Potential
from ffpt_openmm.md.moving import WatchedPotential
from ffpt_openmm.md.replicas import Ensemble, Replicas
from ffpt_openmm.md.settings import MDSettings
from ffpt_plumed.kernel.ase import input_lines, one_line_errors, plumed_calculator
from ffpt_plumed.kernel.plumed import flush_files
from ffpt_plumed.metadynamics.bias import LOG, create_bias
from ffpt_plumed.metadynamics.files import cut_files_back, sizes_of
from ffpt_plumed.text.plumed_input import PlumedInput

if TYPE_CHECKING:
    from openmm.app import Topology


def pack(record: dict[str, Any], context: bytes = b"") -> bytes:
    """What a bias needs to go on, and what an OpenMM Context does, as one state."""
    text = json.dumps(record).encode()
    return struct.pack("<q", len(text)) + text + context


def unpack(state: bytes) -> tuple[dict[str, Any], bytes]:
    """What pack was given.

    Raises:
        ValueError: it is something else.
    """
    if len(state) < 8:
        raise ValueError("the state is too short")
    length = struct.unpack("<q", state[:8])[0]
    return json.loads(state[8 : 8 + length]), state[8 + length :]


class BiasedEnsemble(Ensemble):
    """One trajectory in OpenMM.

    Args:
        kind: of the bias, as in create_bias.
        script: PLUMED input.
        folder: of the bias's files.
        potential, topology, settings, starts: as in Replicas.
        state: where to go on; empty: the start.

    Raises:
        FfptError: as create_system and create_bias.
        openmm.OpenMMException: the state is of another platform or OpenMM, or damaged.
    """

    def __init__(
        self,
        kind: str,
        script: PlumedInput,
        folder: Path,
        potential: Potential,
        topology: Topology,
        settings: MDSettings,
        starts: Sequence[Atoms],
        state: bytes,
    ) -> None:
        saved, context = unpack(state) if state else (None, b"")
        self._folder = folder.resolve()
        self._bias = create_bias(
            kind, script, self._folder, settings.temperature, settings.timestep / PICOSECOND, saved
        )
        with contextlib.chdir(self._folder):
            super().__init__(potential, topology, settings, starts, (0,), self._bias.attach)
            if context:
                self.load(context)
            else:
                self.begin()

    def advance(self, steps: int) -> None:
        """See Replicas; raises what Bias.advance raises."""
        with contextlib.chdir(self._folder):
            self._bias.advance(self._context, steps)

    def without(self, lost: Collection[int]) -> BiasedEnsemble:
        """Never: the one trajectory that is biased has no others beside it."""
        raise NotImplementedError

    def save(self) -> bytes:
        """See Replicas: the bias comes up to this step first."""
        with contextlib.chdir(self._folder):
            return pack(self._bias.save(self._context), super().save())

    def close(self) -> None:
        """Close the files of the bias."""
        with contextlib.chdir(self._folder):
            self._bias.close()


class AseEnsemble(Replicas):
    """One trajectory in ASE: its Langevin dynamics, and its Plumed calculator over that of the potential.

    Args:
        script, folder, potential, topology, settings, starts, state: as in BiasedEnsemble.

    Raises:
        FfptError: no kernel; what PLUMED says about its input.
    """

    def __init__(
        self,
        script: PlumedInput,
        folder: Path,
        potential: Potential,
        topology: Topology,
        settings: MDSettings,
        starts: Sequence[Atoms],
        state: bytes,
    ) -> None:
        from ase.md.langevin import Langevin

        super().__init__(potential, topology, settings, starts, (0,))
        saved = unpack(state)[0] if state else None
        self._watched = WatchedPotential(potential)
        # Not the potential's own calculator, which may remember structures: a run must continue exactly.
        self._calculator = PotentialCalculator(self._watched)
        self._folder = folder.resolve()
        self._outputs = script.outputs
        self._picosecond = PICOSECOND * ASE_FEMTOSECOND
        self._atoms = starts[0].copy()
        self._atoms.set_masses(self._masses)
        if saved is not None:
            cut_files_back(self._folder, saved["sizes"])
        (self._folder / LOG).unlink(missing_ok=True)
        with contextlib.chdir(self._folder):
            self._plumed = plumed_calculator(
                self._calculator,
                input_lines(script),
                self._atoms,
                timestep=settings.timestep * ASE_FEMTOSECOND,
                temperature=settings.temperature,
                restart=saved is not None,
                log=LOG,
            )
        self._atoms.calc = self._plumed
        self._noise = np.random.default_rng(settings.noise_seed(self.replicas))
        self._dynamics = Langevin(
            self._atoms,
            settings.timestep * ASE_FEMTOSECOND,
            temperature_K=settings.temperature,
            friction=settings.friction / self._picosecond,
            fixcm=False,
            rng=self._noise,
        )
        self._step = 0
        if saved is None:
            self.begin()
        else:
            self._restore(saved)

    @property
    def step(self) -> int:
        """Steps done."""
        return self._step

    def advance(self, steps: int) -> None:
        """See Replicas. ASE computes the forces of the last step too, so PLUMED has seen it."""
        with contextlib.chdir(self._folder), one_line_errors(len(self._atoms)):
            for _ in range(steps):
                self._step += 1
                if not self._integrate():
                    return

    def _integrate(self) -> bool:
        """One step; whether all is still finite, which the guard is to find out and not an error of PLUMED."""
        try:
            self._dynamics.step()
        except (FfptError, RuntimeError):
            if np.isfinite(self._atoms.positions).all():
                raise
            return False
        return True

    def potential_energies(self) -> np.ndarray:
        """See Replicas: ASE's calculators remember what they have just computed."""
        return np.array([self._calculator.get_potential_energy(self._atoms) / KJ_PER_MOL])

    @property
    def fault(self) -> str:
        """See Replicas."""
        return self._watched.fault

    def without(self, lost: Collection[int]) -> AseEnsemble:
        """Never: the one trajectory that is biased has no others beside it."""
        raise NotImplementedError

    def hold_centres(self) -> None:
        """Nothing: ASE would take moved atoms for another step."""

    def save(self) -> bytes:
        """See Replicas. The forces are those before the hill of this step, which the next step takes."""
        flush_files()
        record = {
            "sizes": sizes_of(self._folder, self._outputs.appended),
            "step": self._step,
            "positions": self._atoms.positions.tolist(),
            "forces": self._atoms.get_forces().tolist(),
            "momenta": self._atoms.get_momenta().tolist(),
            "noise": self._noise.bit_generator.state,
        }
        return pack(record)

    def load(self, state: bytes) -> None:
        """Not possible: PLUMED's files belong to a state, so it is given when this is made."""
        raise NotImplementedError

    def close(self) -> None:
        """End PLUMED, which writes out its files."""
        self._plumed.plumed.finalize()
        flush_files()

    def _restore(self, saved: dict[str, Any]) -> None:
        self._atoms.positions = np.array(saved["positions"])
        self._atoms.set_momenta(np.array(saved["momenta"]))
        self._noise.bit_generator.state = saved["noise"]
        self._step = self._plumed.istep = saved["step"]
        with contextlib.chdir(self._folder), one_line_errors(len(self._atoms)):
            self._atoms.get_forces()
        flush_files()
        cut_files_back(self._folder, saved["sizes"])  # PLUMED has printed this step again, as KernelPlumed explains
        self._plumed.results["forces"] = np.array(saved["forces"])

    def _place(self, positions: np.ndarray, velocities: np.ndarray) -> None:
        self._atoms.positions = positions[0] * NANOMETRE
        self._atoms.set_velocities(velocities[0] * NANOMETRE / self._picosecond)

    def _raw_positions(self) -> np.ndarray:
        return self._atoms.positions[None] / NANOMETRE

    def _velocities(self) -> np.ndarray:
        return self._atoms.get_velocities()[None] * self._picosecond / NANOMETRE
