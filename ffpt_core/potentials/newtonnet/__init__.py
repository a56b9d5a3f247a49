"""NewtonNet, and everything that knows its layers: the network, its reference, its C++ and Triton kernels."""
