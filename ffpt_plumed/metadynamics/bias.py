"""What biases a run: PLUMED's kernel, openmm-plumed or forces of OpenMM, behind one interface."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ffpt_core.base.errors import FfptError
from ffpt_plumed.kernel.library import find_kernel, has_kernel
from ffpt_plumed.kernel.plumed import flush_files
from ffpt_plumed.metadynamics.files import cut_files_back, sizes_of
from ffpt_plumed.text.plumed_input import PlumedInput

if TYPE_CHECKING:
    from openmm import Context, System

    from ffpt_plumed.kernel.force import PlumedFunction
    from ffpt_plumed.native import NativeBias

BIASES: tuple[str, ...] = ("auto", "plumed", "native", "openmm-plumed")
"""Ways to run a PLUMED input: auto is plumed where there is a kernel, else native."""

LOG = "plumed.log"


class Bias(Protocol):
    """A PLUMED input that acts on one trajectory in OpenMM.

    Made for a trajectory that begins, or for one that goes on from what ``save`` returned.
    """

    def attach(self, system: System) -> None:
        """Add its forces to a System that has all else already, before there is a Context."""

    def advance(self, context: Context, steps: int) -> None:
        """Integrate, and do what is due on the way.

        Raises:
            FfptError: the bias cannot go on; the message says why.
            openmm.OpenMMException: from OpenMM, at a step that it could not do.
        """

    def save(self, context: Context) -> dict[str, Any]:
        """Bring files up to the present step and force them to disk; what is needed to go on from here, for JSON."""

    def close(self) -> None:
        """Close the files."""


def choose_bias(bias: str) -> str:
    """What one of BIASES comes to here.

    Raises:
        FfptError: no such way.
    """
    if bias not in BIASES:
        raise FfptError(f"there is no bias {bias!r}; there are {', '.join(BIASES)}")
    if bias == "plumed":
        find_kernel()
    return ("plumed" if has_kernel() else "native") if bias == "auto" else bias


def create_bias(
    kind: str, script: PlumedInput, folder: Path, temperature: float, timestep: float, saved: dict[str, Any] | None
) -> Bias:
    """A bias whose files are in a folder, which must be the current one whenever the bias is used.

    Args:
        kind: one of BIASES but "auto".
        script: PLUMED input.
        folder: for its files, those that it reads included.
        temperature: K.
        timestep: ps.
        saved: where to go on; None: at the beginning.

    Raises:
        FfptError: no kernel; input that is wrong; files that do not fit.
    """
    sizes = None if saved is None else saved["sizes"]
    if sizes is not None:
        cut_files_back(folder, sizes)
    if kind == "native":
        return NativePlumed(script, folder, temperature, restart=sizes is not None)
    backend = "pythonforce" if kind == "plumed" else kind
    return KernelPlumed(script, folder, temperature, timestep, sizes, backend)


class KernelPlumed:
    """PLUMED's kernel.

    PLUMED restarts at the last step of the run before: it deposits no hill there, for that is in its file, but prints
    again, and writes the head of every file again. So the files are cut back to where they were once it has started.
    Hills are read back with the digits that their file has.

    Args:
        script, folder, temperature, timestep: as in create_bias.
        sizes: bytes of the files in the folder with which to go on; None: a beginning.
        backend: as in create_plumed_force.
    """

    def __init__(
        self,
        script: PlumedInput,
        folder: Path,
        temperature: float,
        timestep: float,
        sizes: dict[str, int] | None,
        backend: str,
    ) -> None:
        self._folder, self._backend, self._script = folder, backend, script
        self._settings: dict[str, Any] = {
            "temperature": temperature,
            "timestep": timestep,
            "restart": sizes is not None,
        }
        self._sizes = sizes
        self._function: PlumedFunction | None = None
        self._group = 0

    def attach(self, system: System) -> None:
        """See Bias."""
        from ffpt_plumed.kernel.force import PlumedForce, create_plumed_force

        force = create_plumed_force(self._script, system, backend=self._backend, **self._settings)
        if isinstance(force, PlumedForce):
            (self._folder / LOG).unlink(missing_ok=True)
            force.setLogFile(LOG)
            self._function = force.function
        self._group = 1 + max((other.getForceGroup() for other in system.getForces()), default=0)
        force.setForceGroup(self._group)
        system.addForce(force)

    def advance(self, context: Context, steps: int) -> None:
        """See Bias."""
        if self._sizes is not None:
            self._see(context)
            cut_files_back(self._folder, self._sizes)
            self._sizes = None
        with self._errors():
            context.getIntegrator().step(steps)

    def save(self, context: Context) -> dict[str, Any]:
        """See Bias."""
        self._see(context)
        return {"sizes": sizes_of(self._folder, self._script.outputs.appended)}

    def _see(self, context: Context) -> None:
        """Have PLUMED deposit and print at the present step, if it has not yet; its files are then up to date."""
        with self._errors():
            context.getState(energy=True, groups={self._group})
        flush_files()
        if self._function is not None:
            self._function.forget()  # the hill of this step acts from here on, as it will after a restart

    def close(self) -> None:
        """See Bias."""
        if self._function is not None:
            self._function.close()
        flush_files()

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """OpenMM passes on the text of an error in a PythonForce, not its class."""
        from openmm import OpenMMException

        try:
            yield
        except OpenMMException as error:
            if self._function is not None and self._function.error is not None:
                raise self._function.error from error
            raise


class NativePlumed:
    """PLUMED's input as forces of OpenMM.

    Args:
        script, folder, temperature: as in create_bias.
        restart: go on with the files in the folder.
    """

    def __init__(self, script: PlumedInput, folder: Path, temperature: float, restart: bool) -> None:
        self._folder, self._script = folder, script
        self._settings: dict[str, Any] = {"temperature": temperature, "restart": restart, "folder": folder}
        self._bias: NativeBias | None = None

    def attach(self, system: System) -> None:
        """See Bias."""
        from ffpt_plumed.native import add_bias

        self._bias = add_bias(system, self._script, **self._settings)

    def advance(self, context: Context, steps: int) -> None:
        """See Bias."""
        self._attached.advance(context, steps)

    def save(self, context: Context) -> dict[str, Any]:
        """See Bias."""
        self._attached.update(context)
        return {"sizes": sizes_of(self._folder, self._script.outputs.appended)}

    def close(self) -> None:
        """See Bias."""
        if self._bias is not None:
            self._bias.close()

    @property
    def _attached(self) -> NativeBias:
        assert self._bias is not None, "attach it first"
        return self._bias
