"""Finding libplumedKernel, which no package of the index carries."""

from __future__ import annotations

import ctypes.util
import os
import sys
from pathlib import Path

from ffpt_core.errors import FfptError

_NAMES = {"darwin": "libplumedKernel.dylib"}


def find_kernel() -> Path:
    """The path of PLUMED's shared library.

    Looked for in this order: the PLUMED_KERNEL variable (which must then be right), the active conda
    environment, Python's own prefix, the system's libraries.

    Raises:
        FfptError: no kernel; the message says how to get one.
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
        f"and set PLUMED_KERNEL to its {name}"
    )
