"""NewtonNet on a GPU in Triton: the fastest way to run a potential there.

What PyTorch needs three hundred launches for takes some twenty here, which a CUDA graph replays. The kernels are
compiled at their first use (half a minute) and kept in Triton's cache folder. Where Triton, which comes with PyTorch
for CUDA on Linux, does not work, everything runs through PyTorch. Importing this package does not import Triton.
"""
