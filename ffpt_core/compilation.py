"""Compiling a network with torch.compile, with errors that a user can act on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ffpt_core.errors import FfptError
from ffpt_core.newtonnet import NewtonNet


@contextmanager
def compiling(network: NewtonNet) -> Iterator[None]:
    """Have a network compiled, in place, by its first call in the block: for any number of atoms and pairs.

    Compare its results there with those of the plain network: compiled models have been wrong in public projects.

    Raises:
        FfptError: it does not compile, normally for lack of a C++ compiler.
    """
    network.compile(dynamic=True)
    try:
        yield
    except torch._dynamo.exc.BackendCompilerFailed as error:
        raise FfptError("PyTorch cannot compile the network: is a C++ compiler installed?") from error
