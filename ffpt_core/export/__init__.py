"""Potentials as files that simulation engines run without ffpt."""
