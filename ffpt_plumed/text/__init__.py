"""PLUMED's own texts: inputs, and tables of numbers."""
