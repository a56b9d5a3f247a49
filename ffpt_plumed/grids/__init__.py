"""Grids of collective variables, and the hills that are summed on them: what biases and free energies share."""
