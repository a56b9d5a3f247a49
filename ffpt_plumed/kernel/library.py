"""Finding libplumedKernel, which no package of the index carries, and starting it through the plumed wheel."""

from __future__ import annotations

import ctypes.util
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from ffpt_core.base.errors import FfptError

_NAMES = {"darwin": "libplumedKernel.dylib"}

_WITHOUT = (
    "inputs of DISTANCE, ANGLE, TORSION, COORDINATION, CUSTOM, COMBINE, walls, RESTRAINT, METAD and PRINT run "
    "without one (--bias native)"
)


def find_kernel() -> Path:
    """The path of PLUMED's shared library.

    Looked for in this order: the PLUMED_KERNEL variable (which must then be right), the active conda
    environment, Python's own prefix, the system's libraries.

    Raises:
        FfptError: no kernel; the message says how to get one, and what runs without.
    """
    name = _NAMES.get(sys.platform, "libplumedKernel.so")
    named = os.environ.get("PLUMED_KERNEL")
    if named:
        if not Path(named).is_file():
            raise FfptError(f"PLUMED_KERNEL points at {named}, which is not there")
        return Path(named)
    for prefix in (os.environ.get("CONDA_PREFIX"), sys.prefix):
        if prefix and (Path(prefix) / "lib" / name).is_file():
            return Path(prefix) / "lib" / name
    found = ctypes.util.find_library("plumedKernel")
    if found:
        return Path(found)
    raise FfptError(
        "no PLUMED kernel: install PLUMED ('conda install -c conda-forge plumed', or from source) "
        f"and set PLUMED_KERNEL to its {name}; {_WITHOUT}"
    )


def new_plumed() -> Any:
    """A plumed.Plumed over the kernel, not yet initialised.

    Raises:
        FfptError: no plumed wheel, no kernel, or a kernel that does not load.
    """
    kernel = find_kernel()
    try:
        import plumed
    except ImportError as error:
        raise FfptError(f'PLUMED needs its Python binding (pip install "ffpt[plumed]"): {error}; {_WITHOUT}') from error
    try:
        return plumed.Plumed(kernel=str(kernel))
    except RuntimeError as error:
        raise FfptError(f"the PLUMED kernel {kernel} does not load: {error}") from error


def has_kernel() -> bool:
    """Whether new_plumed works here."""
    try:
        new_plumed().finalize()
    except FfptError:
        return False
    return True


def kernel_version() -> str:
    """The version of the kernel as its log says it, such as "2.9.5".

    Raises:
        FfptError: as new_plumed.
    """
    plumed = new_plumed()
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        plumed.cmd("setMDEngine", "ffpt")
        plumed.cmd("setNatoms", 1)
        plumed.cmd("setTimestep", 0.001)
        plumed.cmd("setLogFile", str(log))
        plumed.cmd("init")
        plumed.finalize()
        text = log.read_text()
    _, found, rest = text.partition("Version:")
    return rest.split()[0] if found else "unknown"
