"""Potentials as OpenMM forces and Systems."""
