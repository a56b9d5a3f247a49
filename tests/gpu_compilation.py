"""Compiles what an evaluation launches for a GPU that need not be there; test_gpu runs it in a process of its own.

    python tests/gpu_compilation.py 80

compiles for compute capability 8.0 and prints the kernels and the bytes of their machine code.
"""

from __future__ import annotations

import sys
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from ffpt_core import NetworkPotential
from ffpt_core.potentials.newtonnet.network import NewtonNet
from ffpt_core.potentials.newtonnet.triton import kernels
from ffpt_core.potentials.newtonnet.triton.network import TritonNetwork
from ffpt_core.potentials.newtonnet.triton.pair_list import PairList
from ffpt_core.potentials.ordered_sums import autograd
from ffpt_core.potentials.pair_index import add_pairs, ordered

_TYPES = {torch.float32: "*fp32", torch.float64: "*fp64", torch.int32: "*i32", torch.int64: "*i64"}


class Compiled:
    """Stands for a kernel: a launch compiles it, once for each set of constants."""

    def __init__(self, kernel: Any, target: GPUTarget, sizes: dict[str, int]) -> None:
        self.kernel, self.target, self.sizes = kernel, target, sizes

    def __getitem__(self, grid: tuple[int, ...]) -> Compiled:
        return self

    def __call__(self, *args: Any, num_warps: int = 4, **constants: Any) -> None:
        name = f"{self.kernel.__name__} {constants}"
        if name in self.sizes:
            return
        signature = {}
        for parameter, value in zip(self.kernel.arg_names, args, strict=False):
            kinds = {int: "i32", float: "fp32"}
            signature[parameter] = _TYPES[value.dtype] if isinstance(value, torch.Tensor) else kinds[type(value)]
        signature |= dict.fromkeys(constants, "constexpr")
        source = ASTSource(self.kernel, signature, constants)
        compiled = triton.compile(source, target=self.target, options={"num_warps": num_warps})
        self.sizes[name] = len(compiled.asm["cubin"])


def main(capability: int) -> None:
    target, sizes = GPUTarget("cuda", capability, 32), {}
    for name in kernels.__all__:
        setattr(kernels, name, Compiled(getattr(kernels, name), target, sizes))
    autograd.rows_added = Compiled(autograd.rows_added, target, sizes)
    potential = NetworkPotential(NewtonNet(n_features=32), (1, 8))
    for periodic in (False, True):
        pairs = PairList(3, 3, torch.device("cpu"))
        TritonNetwork(potential, torch.tensor([8, 1, 1]), pairs, periodic).launch()
    rows = torch.zeros(3, 2)
    add_pairs(rows, rows, rows, ordered(torch.tensor([[0, 0, 1], [1, 2, 2]]), 3))
    sys.stdout.writelines(f"{name}: {size}\n" for name, size in sizes.items())


if __name__ == "__main__":
    main(int(sys.argv[1]))
