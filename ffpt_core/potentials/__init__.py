"""Potentials: what turns positions into energies and forces, ours and those of others."""
