"""Molecular dynamics in folders: replicas, checkpoints, the guard."""
