"""Measurements of speed and of energy conservation; `make benchmark` runs the former."""
