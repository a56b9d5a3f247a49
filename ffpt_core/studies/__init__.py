"""Demonstrations: whole studies as sequences of ffpt commands that a user could type."""
