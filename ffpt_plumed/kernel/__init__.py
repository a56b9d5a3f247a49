"""PLUMED's kernel: found, started, as a force of OpenMM and in ASE."""
