"""Frames to learn from: rattled, packed, from dynamics, labelled."""
