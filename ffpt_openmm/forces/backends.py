"""The parts of OpenMM that may be there or not, and the message when they are not."""

from __future__ import annotations

import functools
import importlib
import logging
from pathlib import Path
from types import ModuleType

from ffpt_core.base.errors import FfptError
from ffpt_core.potentials.newtonnet.cpp import load_kernel
from ffpt_core.potentials.ordered_sums import why_no_triton

BACKENDS: tuple[str, ...] = ("auto", "torchforce", "pythonforce")
"""Ways to run a potential inside OpenMM."""

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


def choose_backend(backend: str, platform: str | None = None) -> str:
    """What a backend of BACKENDS comes to here: "torchforce" or "pythonforce".

    Args:
        backend: one of BACKENDS.
        platform: OpenMM's name of the platform it will run on, where that is known already.

    Raises:
        FfptError: no such backend, or it is not installed, or not for this platform.
    """
    import openmm

    if backend not in BACKENDS:
        raise FfptError(f"there is no backend {backend!r}; there are {', '.join(BACKENDS)}")
    chosen = backend
    if backend == "auto":
        chosen, because = _fastest(platform)
        _log.info("forces through %s (%s)", chosen, because)
    if chosen == "torchforce":
        torchforce()
        if because := _why_no_torchforce(platform):
            raise FfptError(f'{because}: use backend="pythonforce"')
    elif not hasattr(openmm, "PythonForce"):
        raise FfptError(f"OpenMM {openmm.__version__} has no PythonForce: pip install 'openmm>=8.5'")
    return chosen


def _fastest(platform: str | None) -> tuple[str, str]:
    """The faster backend, and why."""
    import torch

    with_gpu = torch.cuda.is_available()
    if with_gpu and not why_no_triton(torch.device("cuda")):
        return "pythonforce", "the Triton kernels are the fastest on a GPU"
    on_cpu = platform in ("Reference", "CPU") if platform is not None else not with_gpu
    if on_cpu and not isinstance(load_kernel(), str):
        return "pythonforce", "the fused kernel is the fastest on a CPU"
    because = _why_no_torchforce(platform)
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
