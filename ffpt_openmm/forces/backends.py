"""The parts of OpenMM that may be there or not, and the message when they are not."""

from __future__ import annotations

import functools
import importlib
import logging
from pathlib import Path
from types import ModuleType

from ffpt_core.base.errors import FfptError
from ffpt_core.potentials.backends import choose_backend as choose_network_backend
from ffpt_core.potentials.interface import Potential
from ffpt_core.potentials.network_potential import NetworkPotential
from ffpt_openmm.forces.systems import HasSystem

BACKENDS: tuple[str, ...] = ("auto", "torchforce", "pythonforce", "openmm")
"""Ways to run a potential inside OpenMM; the last one for what has forces of OpenMM's own, such as a teacher."""

REFERENCE_UP_TO = 2000
"""Atoms up to which a step on OpenMM's Reference platform is faster: 2.0 against 2.5 ms at 1,536 atoms on an H200."""

_log = logging.getLogger(__name__)


@functools.cache
def load_torchforce() -> ModuleType | str:
    """The openmmtorch module, or one line on why it does not load."""
    import torch  # noqa: F401 (first: openmmtorch finds the libraries of torch only when they are loaded)

    root = logging.getLogger()
    root.addFilter(_about_simtk)  # openmmtorch 1.5 imports OpenMM by its old name, which logs a warning
    try:
        module = importlib.import_module("openmmtorch")
    except ImportError as error:
        return str(error).splitlines()[0]
    finally:
        root.removeFilter(_about_simtk)
    return _load_kernels() or module


def _load_kernels() -> str:
    """Load what `import openmm` could not load because torch was not there yet; returns why it fails, or ""."""
    import openmm

    if openmm.Platform.getPlatformByName("Reference").supportsKernels(["CalcTorchForce"]):
        return ""
    folder = Path(openmm.version.openmm_library_path, "plugins")
    for library in sorted(folder.glob("*OpenMMTorch*")):
        try:
            openmm.Platform.loadPluginLibrary(str(library))
        except openmm.OpenMMException as error:
            _log.debug("%s: %s", library.name, error)
    if openmm.Platform.getPlatformByName("Reference").supportsKernels(["CalcTorchForce"]):
        return ""
    return f"its kernels do not load from {folder}"


def _about_simtk(record: logging.LogRecord) -> bool:
    return "simtk.openmm" not in record.getMessage()


def torchforce() -> ModuleType:
    """The openmmtorch module.

    Raises:
        FfptError: it does not load.
    """
    module = load_torchforce()
    if isinstance(module, str):
        raise FfptError(
            f'TorchForce does not load ({module}): pip install "ffpt[openmm-torch]", or use backend="pythonforce"'
        )
    return module


def choose_backend(potential: Potential, backend: str = "auto", platform: str | None = None) -> str:
    """What a backend of BACKENDS comes to for a potential.

    Args:
        potential: what is to move the atoms, where it is to be evaluated.
        backend: one of BACKENDS.
        platform: OpenMM's name of the platform it will run on, where that is known already.

    Raises:
        FfptError: no such backend; it is not installed, or not for this platform or potential.
    """
    if backend not in BACKENDS:
        raise FfptError(f"there is no backend {backend!r}; there are {', '.join(BACKENDS)}")
    chosen = backend
    if backend == "auto":
        chosen, because = _fastest(potential, platform)
        _log.info("forces through %s (%s)", chosen, because)
    reason = _why_not(potential, chosen, platform)
    if reason:
        raise FfptError(reason)
    return chosen


def _why_not(potential: Potential, backend: str, platform: str | None) -> str:
    """Why a backend cannot be had for a potential, in one line, or ""."""
    import openmm

    if backend == "openmm" and not isinstance(potential, HasSystem):
        return "the potential has no System of OpenMM: it has no backend 'openmm'"
    if backend == "torchforce":
        if not isinstance(potential, NetworkPotential):
            return "the potential is no network of ffpt: it has no backend 'torchforce'"
        torchforce()
        because = _why_no_torchforce(platform)
        return because and f'{because}: use backend="pythonforce"'
    if backend == "pythonforce" and not hasattr(openmm, "PythonForce"):
        return f"OpenMM {openmm.__version__} has no PythonForce: pip install 'openmm>=8.5'"
    return ""


def _fastest(potential: Potential, platform: str | None) -> tuple[str, str]:
    """The faster backend, and why."""
    if isinstance(potential, HasSystem):
        return "openmm", "its forces are OpenMM's own"
    if not isinstance(potential, NetworkPotential):
        return "pythonforce", "it is no network of ffpt"
    fastest = choose_network_backend("auto", potential).name
    if fastest != "torch":
        return "pythonforce", f"the backend {fastest} is the fastest on {potential.device.type}"
    because = _why_no_torchforce(platform)
    if not because and potential.on_gpu and platform in ("Reference", "CPU"):
        because = f"a TorchForce on the platform {platform} would leave the GPU"
    return ("pythonforce", because) if because else ("torchforce", "openmmtorch loads")


def _why_no_torchforce(platform: str | None) -> str:
    """Why TorchForce cannot be used, or ""."""
    import openmm

    module = load_torchforce()
    if isinstance(module, str):
        return f"openmmtorch does not load: {module}"
    if platform is not None and not openmm.Platform.getPlatformByName(platform).supportsKernels(["CalcTorchForce"]):
        return f"openmmtorch has no kernels for the platform {platform}"
    return ""


def choose_platform(platform: str = "auto", n_atoms: int | None = None) -> str:
    """The OpenMM platform for a system whose only costly force is a potential.

    "auto" is CUDA where PyTorch and OpenMM both have it, and Reference otherwise: a call of a PythonForce costs
    9 us there and 400 us on the CPU platform, whose threads would also compete with PyTorch's. Reference it is as well
    for few atoms on a GPU: OpenMM's CUDA platform adds half a millisecond to a step (docs/performance.md).

    Args:
        platform: OpenMM's name, or "auto".
        n_atoms: of the system, or of one of its replicas; None: many.

    Raises:
        FfptError: this OpenMM has no such platform.
    """
    import openmm
    import torch

    names = [openmm.Platform.getPlatform(k).getName() for k in range(openmm.Platform.getNumPlatforms())]
    if platform == "auto":
        small = n_atoms is not None and n_atoms <= REFERENCE_UP_TO
        return "CUDA" if "CUDA" in names and torch.cuda.is_available() and not small else "Reference"
    if platform not in names:
        raise FfptError(f"this OpenMM has no platform {platform!r}; it has {', '.join(names)}")
    return platform


def choose_platform_of(
    potential: Potential, platform: str = "auto", n_atoms: int | None = None, periodic: bool = False
) -> str:
    """choose_platform for a potential.

    What has forces of OpenMM's own is the work of OpenMM itself: on a GPU however few atoms there are, and without one
    on the CPU platform for a box.
    """
    if not isinstance(potential, HasSystem):
        return choose_platform(platform, n_atoms)
    chosen = choose_platform(platform)
    return choose_platform("CPU") if platform == "auto" and chosen == "Reference" and periodic else chosen
