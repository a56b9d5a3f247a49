"""Work on a GPU, recorded once as a CUDA graph and replayed with one launch."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

_log = logging.getLogger(__name__)

_WARM_UP = 2
"""Calls before a recording, in which libraries prepare what they cannot prepare during one."""


class Recording:
    """A function as a CUDA graph. Where there is no GPU, or where a recording fails, it is called as it is.

    Args:
        function: without arguments or result. It works on tensors that stay where they are, launches the same work at
            each call, and reads no value on the host. It is called a few times here, with no effect on state.
        state: all tensors whose values outlast a call and which it changes.
        pool: memory of temporary tensors, shared by recordings that take turns (torch.cuda.graph_pool_handle).
    """

    def __init__(self, function: Callable[[], None], state: Sequence[Tensor], pool: Any) -> None:
        self._call = function
        self._graph: torch.cuda.CUDAGraph | None = None
        if not state[0].is_cuda:
            return
        kept = [tensor.detach().clone() for tensor in state]
        others = torch.cuda.Stream()
        others.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(others):
            for _ in range(_WARM_UP):
                function()
                with torch.no_grad():
                    torch._foreach_copy_(list(state), kept)
        torch.cuda.current_stream().wait_stream(others)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, pool=pool):
                function()
        except RuntimeError as error:
            _log.warning("steps are launched one kernel at a time, slowly: %s", str(error).splitlines()[0])
            return
        self._call, self._graph = graph.replay, graph

    @property
    def recorded(self) -> bool:
        """Whether calls replay a graph."""
        return self._graph is not None

    def __call__(self) -> None:
        """Do it once more."""
        self._call()
