"""Dynamics that a PLUMED input biases, as runs in folders."""
