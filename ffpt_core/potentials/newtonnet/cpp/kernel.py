"""The shared library of newtonnet.cpp: compiled once for each processor, loaded with ctypes."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
from pathlib import Path

import pooch

from ffpt_core.base.errors import FfptError
from ffpt_core.base.files import atomic_path

SOURCE = Path(__file__).with_name("src") / "newtonnet.cpp"
FLAGS = ("-std=c++17", "-O3", "-march=native", "-fno-math-errno", "-fPIC", "-shared")
COMPILERS = ("c++", "g++", "clang++")
"""Tried in this order, after the environment variable CXX."""

_pointer, _count, _integer = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int
_FRAMES = [*[_pointer] * 7, _count, _pointer]
_FUNCTIONS = {
    "create": (_pointer, [*[_integer] * 4, ctypes.c_double, _pointer, _integer, _pointer]),
    "destroy": (None, [_pointer]),
    "load": (_integer, [_pointer, _pointer, _integer]),
    "evaluate": (_integer, [_pointer, _count, *[_pointer] * 3, _count, *[_pointer] * 3, _integer, *[_pointer] * 3]),
    "evaluate_frames": (_integer, [*_FRAMES, _count, _count, _integer, *[_pointer] * 3]),
    "gradient": (_integer, [*_FRAMES, _count, *[_pointer] * 2, _integer, _pointer]),
}
"""Results and arguments, as newtonnet.cpp has them."""


@functools.cache
def load_kernel() -> ctypes.CDLL | str:
    """The library, compiled now if it is not in the cache folder; or one line on why it cannot be had."""
    try:
        path = _cached_path()
        if not path.exists():
            _compile(path)
        library = ctypes.CDLL(os.fspath(path))
    except (FfptError, OSError) as error:
        return str(error)
    for precision in ("float32", "float64"):
        for name, (result, arguments) in _FUNCTIONS.items():
            function = getattr(library, f"{precision}_{name}")
            function.restype, function.argtypes = result, arguments
    return library


def _cached_path() -> Path:
    """Named after all that the library depends on; home folders may be shared by machines that differ."""
    sources = [path.read_bytes() for path in sorted(SOURCE.parent.iterdir())]
    parts = [*sources, " ".join(FLAGS).encode(), os.environ.get("CXX", "").encode(), _processor().encode()]
    return Path(pooch.os_cache("ffpt")) / f"newtonnet-{hashlib.sha256(b' '.join(parts)).hexdigest()[:16]}.so"


def _processor() -> str:
    """What -march=native looks at."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return f"{platform.system()} {platform.machine()} {platform.processor()}"
    kept = {line for line in lines if line.startswith(("model name", "flags", "Features", "CPU part"))}
    return platform.machine() + "\n".join(sorted(kept))


def _compile(path: Path) -> None:
    """Compile the library to path.

    Raises:
        FfptError: no compiler, or it fails; the cache folder cannot be written to.
    """
    compiler = next(
        (found for name in (os.environ.get("CXX"), *COMPILERS) if name and (found := shutil.which(name))), None
    )
    if compiler is None:
        raise FfptError("no C++ compiler is installed (g++ or clang++)")
    with atomic_path(path) as temporary:
        # Apple's clang has no OpenMP: one thread then.
        for extra in (["-fopenmp"], []):
            command = [compiler, *FLAGS, *extra, os.fspath(SOURCE), "-o", os.fspath(temporary)]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode == 0:
                return
        complaint = next((line for line in done.stderr.splitlines() if "error" in line), f"status {done.returncode}")
        raise FfptError(f"{compiler} cannot compile {SOURCE.name}: {complaint}")
