"""Verbs of the ffpt command that need reactions or PLUMED: one module each."""
